import json

import pytest

from flows.angles import parse_angles
from flows.sampling import render_samples
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from tests.gaze_core.stages.redirection.tiny_run import train, write_dataset


def test_angles_are_pairs_of_degrees():
    assert parse_angles("0,25; -15,0", "--gaze") == ((0.0, 25.0), (-15.0, 0.0))


@pytest.mark.parametrize("text", ["", "5", "1,2,3", "up,left", "1;2"])
def test_other_notations_are_refused_with_an_example(text):
    with pytest.raises(BadInput, match='--pose .*expected "pitch,yaw" in degrees'):
        parse_angles(text, "--pose")


def test_a_trained_folder_and_a_subject_file_become_images(tmp_path):
    root = tmp_path / "root"
    write_dataset(root)
    for stage in ("mesh_head", "gaze_gaussian"):
        train(stage, root, root / stage)
    overrides = {"gazes_deg": ((0.0, 10.0),), "poses_deg": ((0.0, 0.0),), "sweep_s": 0.2}
    arguments = (root / "data" / "subject.h5", overrides, tmp_path / "out", Runtime(device="cpu"))
    sheet = render_samples(root / "gaze_gaussian", *arguments)
    assert sheet.is_file()
    assert len(list((tmp_path / "out").iterdir())) == 3
    with pytest.raises(BadInput, match="has no manifest.json that names its recording; give one with --input"):
        render_samples(root / "gaze_gaussian", None, *arguments[1:])


@pytest.mark.parametrize("report", [None, {}, {"artifacts": {}}])
def test_another_folder_is_refused(tmp_path, report):
    if report is not None:
        (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(BadInput, match="expected the folder of a trained GazeGaussian"):
        render_samples(tmp_path, None, {}, tmp_path / "out", Runtime())
