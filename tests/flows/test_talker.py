"""The talker's flow on a drawn subject: run twice, forced, champion, measured again, rendered with other sound."""

import json

import av
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.plans.talker import TalkerPlan, talker_plan
from gaze_core.talker.subject_files import write_wav
from tests.flows.cli.test_main import gazeworks
from tests.flows.uploaded import uploaded_files
from tests.gaze_core.reports.html import assert_self_contained, headings
from tests.gaze_core.stages.talker.test_evaluate import COARSE, EVALUATE, FINE
from tests.gaze_core.talker.drawn_talker import write_drawn

RUNTIME = Runtime(device="cpu", progress=False)
STAGES = [f"talker_{name}" for name in ("coarse", "fine", "render", "evaluate", "compare")]


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return write_drawn(tmp_path_factory.mktemp("drawn") / "subject")


def plan():
    return TalkerPlan(coarse=COARSE, fine=FINE, evaluate=EVALUATE)


@pytest.mark.usefixtures("prefect_api")
def test_the_flow_trains_renders_measures_and_reuses_every_stage(subject, tmp_path, monkeypatch, capsys):
    from flows.talker import talker
    from tasks.tracking.registry import champion

    def run(name, **options):
        talker(subject, plan(), tmp_path / name, RUNTIME, return_state=True, **options)
        return json.loads((tmp_path / name / "report.json").read_text())

    first = run("first")
    assert uploaded_files("talker") == {"report/report.html", "report/report.json", "report/film.mp4"}
    assert [stage["name"] for stage in first["stages"]] == STAGES
    assert [stage["how"] for stage in first["stages"]] == ["computed"] * 5
    assert_self_contained(tmp_path / "first" / "report.html")
    assert {"Held-out time", "Checks", "Training, looked at"} <= set(headings(tmp_path / "first" / "report.html"))
    with av.open(str(tmp_path / "first" / "film.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 30
    assert (tmp_path / "first" / "model" / "talker" / "talker.json").is_file()
    name = first["registry"].partition(" version")[0]
    assert name.startswith("talker-")
    assert name.endswith("-drawn")
    assert (champion(name) is not None) == (first["verdict"] == "better")
    again = run("again", force=("talker_evaluate",))
    # A measured speed is part of an evaluation, so what follows it is computed again, too.
    assert [stage["how"] for stage in again["stages"]] == ["cached"] * 3 + ["computed"] * 2
    speed = {"frames_per_s"}
    assert {k: v for k, v in again["numbers"].items() if k not in speed} == pytest.approx(
        {k: v for k, v in first["numbers"].items() if k not in speed}
    )

    write_wav(tmp_path / "speech.wav", np.zeros(16_000 * 5, np.float32))
    film = tmp_path / "other.mp4"
    options = ("--gaze", "camera", "--seconds", "0.4", "--out", film)
    code, _, err = gazeworks(
        monkeypatch, capsys, "talker", "render", "--checkpoint", tmp_path / "first", *options
    )  # fmt: skip
    assert not code, err
    with av.open(str(film)) as opened:
        assert sum(1 for _ in opened.decode(video=0)) == 10
    code, _, err = gazeworks(
        monkeypatch, capsys, "talker", "render", "--checkpoint", tmp_path / "first", "--sound", tmp_path / "speech.wav"
    )  # fmt: skip
    assert (code, "audio features that the head was not trained on" in err) == (2, True), err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("train",), "Missing option '--recording'"),
        (("train", "--recording", "absent.mp4"), "absent.mp4: no such file or folder; expected a video with sound"),
        (("train", "--recording", ".", "--set", "fine.num_stpes=3"), "did you mean num_steps?"),
        (("train", "--recording", ".", "--preset", "tinny"), "did you mean tiny?"),
        (("prepare", "--input", "absent.mp4"), "absent.mp4: no such file or folder"),
        (("render", "--checkpoint", ".", "--sound", "absent.wav"), "absent.wav: no such file"),
        (("render", "--checkpoint", ".", "--gaze", "absent.csv"), "absent.csv: no such file"),
        (("evaluate", "--checkpoint", "absent"), "absent"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, arguments, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").touch()
    code, _, err = gazeworks(monkeypatch, capsys, "talker", *arguments)
    assert (code, expected in err) == (2, True), err


def test_a_gaze_that_cannot_be_meant():
    from flows.cli.talker import _driving

    assert _driving("0,15", "recorded", None, 0)["camera_gaze_deg"] == (0, 15)
    assert _driving("looks.CSV", "generator", 2.0, 1) == {
        "gaze": "table",
        "blinks": "generator",
        "most_s": 2.0,
        "seed": 1,
    }
    for gaze, blinks in (("left", "recorded"), ("0,1;0,2", "recorded"), ("camera", "often")):
        with pytest.raises(BadInput):
            _driving(gaze, blinks, None, 0)


def test_presets_name_what_is_on_this_machine():
    assert talker_plan("demo").coarse.num_steps < talker_plan("small").coarse.num_steps
    with pytest.raises(BadInput, match="did you mean tiny"):
        talker_plan("tinny")
