"""`gazeworks talker` from the command line: what it refuses before it works."""

import pytest

from tests.flows.cli.test_main import gazeworks


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["synth", "--out", "full"], "full: not empty; choose another --out"),
     (["prepare", "--input", "none.mp4"], "none.mp4: no such file or folder; expected a video or a published subject"),
     (["render", "--checkpoint", "full", "--sound", "none.wav"], "none.wav: no such file"),
     (["render", "--checkpoint", "full"], "full: expected the folder of a trained")],
)  # fmt: skip
def test_what_it_cannot_use_is_one_line(monkeypatch, capsys, tmp_path, arguments, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine\n")
    code, _, err = gazeworks(monkeypatch, capsys, "talker", *arguments)
    assert (code, expected in err) == (2, True), err
    assert "Traceback" not in err
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine\n"
