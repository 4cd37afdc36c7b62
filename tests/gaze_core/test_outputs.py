"""Output paths are checked before work begins, and left unchanged."""

from pathlib import Path

import pytest

from gaze_core.errors import BadInput
from gaze_core.outputs import output_file, output_folder

NOWHERE = Path("/proc/gazeworks")  # no user may make anything there, root included


def test_a_place_that_can_be_written_to_is_left_as_it_was(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "old.csv").write_text("1")
    assert output_folder(tmp_path / "there") == tmp_path / "there"
    assert output_folder(tmp_path / "a [me]" / "b #1") == tmp_path / "a [me]" / "b #1"
    assert output_file(tmp_path / "c" / "new.csv") == tmp_path / "c" / "new.csv"
    assert output_file(tmp_path / "old.csv").read_text() == "1"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old.csv", "there"]


@pytest.mark.parametrize(
    ("check", "place", "found"),
    [
        (output_folder, "file", "expected a folder that can be written to, but: there is a file"),
        (output_folder, "file/below", "not a directory"),
        (output_folder, "x" * 300, "file name too long"),
        (output_folder, NOWHERE, "no such file or directory"),
        (output_file, "folder", "expected a file that can be written, but: is a directory"),
        (output_file, "file/below", "there is a file|not a directory"),
        (output_file, NOWHERE / "x.csv", "no such file or directory"),
    ],
)
def test_an_unwritable_path_is_reported_in_one_line(tmp_path, check, place, found):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match=found) as caught:
        check(tmp_path / place)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / place) in str(caught.value)
