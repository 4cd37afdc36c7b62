"""The one-shot flow and its commands, on drawn people."""

import json

import cv2
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.plans.one_shot import OneShotPlan, with_same_split
from gaze_core.stages.one_shot.adapt import OneShotAdaptConfig
from gaze_core.stages.one_shot.evaluate import OneShotEvaluateConfig
from tests.flows.cli.test_main import gazeworks
from tests.gaze_core.one_shot.tiny_people import drawn_people
from tests.gaze_core.stages.one_shot.tiny_run import ADAPT, place  # noqa: F401 (fixture)

RUNTIME = Runtime(device="cpu", progress=False)


@pytest.fixture
def files(place, tmp_path):  # noqa: F811
    data = drawn_people(tmp_path / "GazeCapture.h5", {"00901": 12, "00902": 3, "00903": 6})
    return {"data": data, "checkpoint": place / "base"}


def plan_of(**changes):
    values = ADAPT.model_dump(mode="json") | {"num_steps": 1, "validate_every_steps": 1}
    return with_same_split(
        OneShotPlan(
            adapt=OneShotAdaptConfig.model_validate(values),
            evaluate=OneShotEvaluateConfig(judge="cnn", num_shown=2),
            **changes,
        )
    )


@pytest.mark.usefixtures("prefect_api")
def test_a_run_reports_before_and_after_and_is_cached(files, tmp_path):
    from flows.one_shot import one_shot

    plan = plan_of(person="903", strategies=("minimal",), sample_counts=(1,))
    result = one_shot(files, plan, tmp_path / "out", RUNTIME)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["person"]["person"] == "00903"  # although others come before in the file
    assert "person 00903 was asked for: 6 samples in the file" in (tmp_path / "out" / "log.txt").read_text()
    assert set(report["evaluations"]) == {"before", "after", "single image", "other before", "other after"}
    assert set(report["strategies"]) == {"selective", "minimal"}
    assert report["strategies"]["minimal"]["trained"] < report["strategies"]["selective"]["trained"]
    assert set(report["sample_counts"]) == {"4", "1"}
    assert (tmp_path / "out" / "model" / "weights.safetensors").is_file()
    assert (tmp_path / "out" / "model" / "person.json").is_file()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "somebody else" in page
    assert "Nine gazes" in page
    assert result.numbers["eye_psnr_before_db"] == report["numbers"]["eye_psnr_before_db"]
    one_shot(files, plan, tmp_path / "again", RUNTIME)
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    assert {row["how"] for row in again["stages"]} == {"cached"}
    assert again["numbers"] == report["numbers"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "GazeCapture.h5"], "adapting never starts from random weights; give --checkpoint"),
        (["--checkpoint", "BASE"], "no data; give --data GazeCapture.h5"),
        (["--data", "absent.h5", "--checkpoint", "BASE"], "absent.h5: no such file or folder"),
        (["--data", "GazeCapture.h5", "--checkpoint", "BASE", "--strategy", "selectiv"], "did you mean selective?"),
        (["--data", "GazeCapture.h5", "--checkpoint", "BASE", "--set", "adapt.num_stpes=3"], "did you mean num_steps?"),
    ],
)
def test_a_mistake_is_one_line(files, tmp_path, monkeypatch, capsys, arguments, expected):
    monkeypatch.chdir(tmp_path)
    given = [str(files["checkpoint"]) if one == "BASE" else one for one in arguments]
    code, out, err = gazeworks(monkeypatch, capsys, "one-shot", "run", *given)
    assert (code, out) == (2, "")
    assert expected in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.usefixtures("prefect_api")
def test_an_unknown_person_lists_the_nearest(files, tmp_path, monkeypatch, capsys):
    arguments = (
        "--data",
        files["data"],
        "--checkpoint",
        files["checkpoint"],
        "--person",
        "00904",
        "--out",
        tmp_path / "o",
    )
    code, _, err = gazeworks(monkeypatch, capsys, "one-shot", "run", *arguments)
    assert code == 2
    assert "no person '00904' among 3; the nearest names are" in err


@pytest.mark.parametrize(
    ("gaze", "expected"),
    [
        ("left", "--gaze 'left': expected"),
        ("0,5;0,6", 'expected one "pitch,yaw", camera, or a CSV'),
        ("0,90", "yaw_deg: Input should be less than or equal to 60"),
        ("absent.csv", "absent.csv: no readable CSV"),
        ("bad.csv", "bad.csv: line 3: expected three numbers"),
        ("other.csv", "other.csv: expected the columns frame, pitch_deg, yaw_deg"),
    ],
)
def test_gazes_that_cannot_be_meant(tmp_path, monkeypatch, gaze, expected):
    from flows.cli.one_shot import _gazes
    from gaze_core.errors import BadInput

    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("frame,pitch_deg,yaw_deg\n0,1,2\n5,up,0\n")
    (tmp_path / "other.csv").write_text("frame,pitch,yaw\n0,1,2\n")
    with pytest.raises(BadInput) as raised:
        _gazes(gaze)
    assert expected in str(raised.value)


def test_gazes_of_a_table_hold_from_their_frame_on(tmp_path):
    from flows.cli.one_shot import _gazes
    from gaze_core.stages.one_shot.apply import OneShotApplyConfig

    table = tmp_path / "gaze.csv"
    table.write_text("frame,pitch_deg,yaw_deg\n20,0,15\n5,10,0\n")
    config = OneShotApplyConfig(gazes=_gazes(str(table)))
    asked = [np.rad2deg(config.gaze_rad(frame)).round(6).tolist() for frame in (0, 5, 19, 20, 99)]
    assert asked == [[10, 0], [10, 0], [10, 0], [0, 15], [0, 15]]
    assert [gaze.frame for gaze in _gazes("camera")] == [0]


@pytest.mark.usefixtures("prefect_api")
def test_a_picture_without_a_face_is_one_line(files, tmp_path, monkeypatch, capsys, shared_data):
    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    photo = tmp_path / "photos" / "photo.png"
    photo.parent.mkdir()
    cv2.imwrite(str(photo), np.full((300, 300, 3), 120, np.uint8))
    arguments = ("--checkpoint", files["checkpoint"], "--input", photo, "--out", tmp_path / "out")
    code, _, err = gazeworks(monkeypatch, capsys, "one-shot", "apply", *arguments)
    assert code == 2
    assert "photo.png: no face of 48 px or more was found" in err
