"""`gazeworks import gazegaussian`: a published file in, a folder for `gazeworks sample` out."""

import pytest

from flows.sampling import render_samples
from gaze_core.config import Runtime
from gaze_core.synthesis.packs import pack_path
from tests.flows.cli.test_main import gazeworks
from tests.gaze_core.models.official import official_state as published


def test_an_imported_checkpoint_is_sampled_as_the_messages_advise(monkeypatch, capsys, tmp_path):
    path = published.official_file(tmp_path / "ckpt.pth", published.official_state(raster_px=128))
    out = tmp_path / "official"
    code, printed, err = gazeworks(
        monkeypatch, capsys, "import", "gazegaussian", path, "--out", out, "--recordings", "any"
    )
    assert code == 0, err
    assert f"{published.FACE_POINTS} face and {published.EYE_POINTS} eye Gaussians" in printed
    assert "no licence" in printed
    code, _, err = gazeworks(monkeypatch, capsys, "sample", "--checkpoint", out, "--out", tmp_path / "samples")
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert "names no recording; give one with --input SUBJECT.h5" in err
    overrides = {"gazes_deg": ((0.0, 10.0),), "poses_deg": ((0.0, 0.0),), "sweep_s": 0.08}
    render_samples(out, pack_path("synthetic_128"), overrides, tmp_path / "samples", Runtime(device="cpu"))
    assert len(list((tmp_path / "samples").iterdir())) == 3  # noise: the weights are random


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pth"], "absent.pth: no such file; expected the published GazeGaussian checkpoint"),
        (["text.pth"], "text.pth: not a torch file, or truncated; expected the published"),
        (["text.pth", "--scale", "0"], "--scale 0: expected a number near 1"),
        (["text.pth", "--scale", "nan"], "--scale nan: expected a number near 1"),
        (["text.pth", "--scale", "1.2"], "--scale 1.2: converted files name their own scale"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("no weights")
    code, _, err = gazeworks(monkeypatch, capsys, "import", "gazegaussian", *arguments, "--out", "out")
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["text.pth"]
