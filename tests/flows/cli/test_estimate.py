"""`gazeworks estimate convert` and `synth`: what they print, and each mistake one line with exit code 2."""

import json

import pytest

from tests.flows.cli.test_main import gazeworks
from tests.gaze_core.estimation.eve_files import write_step


def test_recordings_are_converted_and_problems_named(monkeypatch, capsys, tmp_path):
    write_step(tmp_path / "eve")
    (write_step(tmp_path / "eve", "val02", "step001_video_b") / "basler.h5").unlink()
    sizes = ("--face-px", 16, "--eye-px", 8)
    arguments = ("estimate", "convert", tmp_path / "eve", "--out", tmp_path / "out", *sizes)
    code, printed, err = gazeworks(monkeypatch, capsys, *arguments)
    lines = printed.strip().splitlines()
    assert code == 0, err
    assert lines[0].startswith("val02/step001_video_b/basler: no basler.h5")
    assert lines[1] == f"{tmp_path / 'out'}: 1 recordings, 20 frames, 20 of them with a valid gaze"
    code, printed, _ = gazeworks(monkeypatch, capsys, *arguments, "--json")
    found = json.loads(printed)
    assert [one["file"] for one in found["recordings"]] == ["train01__step007__basler.h5"]
    assert len(found["problems"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "absent", "--out", "out"], "absent: no such folder; expected EVE"),
        (["convert", ".", "--out", "../elsewhere"], "not a layout of EVE; expected"),
        (["convert", ".", "--out", "out"], "lies inside the input"),
        (["convert", ".", "--out", "../elsewhere", "--camera", "phone"], "no camera 'phone'; expected basler"),
        (["synth", "--out", "out", "--train", "0", "--val", "0", "--test", "0"], "no people; give at least one"),
        (["synth", "--out", "out", "--set", "film.noize=3"], "noise"),
        (["synth", "--out", "taken"], "not empty, and not synthetic EVE; choose another --out"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    code, _, err = gazeworks(monkeypatch, capsys, "estimate", *arguments)
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert message in err
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["taken"]
