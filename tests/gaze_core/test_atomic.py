"""Writes are atomic, and a full disk is reported in one line."""

import errno
import os

import pytest
from safetensors import SafetensorError

from gaze_core.atomic import replacing, write_text
from gaze_core.errors import NoSpace


def test_the_new_text_replaces_the_old_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "x.json"
    write_text(path, "old")
    write_text(path, "né")
    assert path.read_text(encoding="utf-8") == "né"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "full"), NoSpace),
        (OSError(errno.EACCES, "not yours"), PermissionError),
        (SafetensorError(os.strerror(errno.ENOSPC)), NoSpace),
        (RuntimeError("[enforce fail at inline_container.cc:672]"), NoSpace),
        (RuntimeError("a fault"), RuntimeError),
        (KeyError("a fault"), KeyError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else repr(value),
)
def test_a_failing_block_leaves_the_old_file(tmp_path, error, raised):
    path = tmp_path / "x.json"
    write_text(path, "good")

    def write(partial):
        partial.write_text("ha")
        raise error

    with pytest.raises(raised), replacing(path) as partial:
        write(partial)
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_on_the_disk_before_the_file_gets_its_name(tmp_path, monkeypatch):
    path, told = tmp_path / "x.json", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: told.append((os.fstat(descriptor).st_size, path.exists())))
    write_text(path, "four")
    assert told == [(4, False)]


def test_temporary_names_match_no_searched_pattern(tmp_path):
    with replacing(tmp_path / "x.h5") as partial:
        partial.touch()
        assert not list(tmp_path.glob("*.h5"))
