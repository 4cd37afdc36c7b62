"""The estimation flow on drawn people: run twice, forced, champion, evaluation and comparison of what it trained."""

import json

import pytest

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.models.estimation.gazetr import GazeTRConfig
from gaze_core.plans.estimation import estimation_plan
from tests.flows.uploaded import uploaded_files
from tests.gaze_core.estimation.drawn_people import write_people
from tests.gaze_core.reports.html import assert_self_contained, headings, read_page

RUNTIME = Runtime(device="cpu", progress=False)
PEOPLE = {"train01": "train", "train02": "train", "val01": "val", "test01": "test", "test02": "test"}
STAGES = [
    "estimation_single",
    "estimation_features",
    "estimation_temporal",
    "estimation_evaluate",
    "estimation_compare",
]
SECTIONS = [
    "Example frames", "Checks", "Errors", "Calibration for a person", "Errors by group", "Predictions after each epoch",
    "Training curves", "Data", "Trained models", "Sources",
]  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people") / "eve", PEOPLE, noise=0.03)


def small_plan(**fit):
    plan = estimation_plan("demo")
    network = GazeTRConfig(variant="tiny", face_px=32, eye_px=24, width=16, num_layers=1, dropout=0.0)
    changed = {"num_epochs": 2, "batch_size": 16, "learning_rate": 5e-3} | fit
    single = plan.single.model_copy(update={"network": network, "fit": plan.single.fit.model_copy(update=changed)})
    temporal = plan.temporal.model_copy(
        update={"hidden": 8, "fit": plan.temporal.fit.model_copy(update={"num_epochs": 2, "batch_size": 8})}
    )
    evaluate = plan.evaluate.model_copy(update={"calibration_draws": 3})
    return plan.model_copy(update={"single": single, "temporal": temporal, "evaluate": evaluate})


@pytest.mark.usefixtures("prefect_api")
def test_the_flow_trains_both_models_reports_and_reuses_every_stage(people, tmp_path):
    from flows.estimation import estimation, estimation_evaluation
    from flows.references import data_of, find_reference
    from tasks.tracking.registry import champion, model_name

    def run(name, **options):
        estimation(people, small_plan(), tmp_path / name, RUNTIME, return_state=True, **options)
        return json.loads((tmp_path / name / "report.json").read_text())

    first = run("first")
    assert uploaded_files("estimation") == {"report/report.html", "report/report.json"}
    assert {"figures/predictions_epoch_001.png", "figures/predictions_epoch_002.png"} < uploaded_files(
        "estimation_single"
    )
    second = run("second")
    assert [stage["name"] for stage in first["stages"]] == STAGES
    assert [stage["how"] for stage in first["stages"]] == ["computed"] * 5
    assert [stage["how"] for stage in second["stages"]] == ["cached"] * 5
    assert second["numbers"] == first["numbers"]
    assert set(first["evaluation"]["rows"]) == {
        "constant", "head pose", "single frame", "EMA", "median", "shuffled time", "temporal",
    }  # fmt: skip
    html = tmp_path / "first" / "report.html"
    assert_self_contained(html)
    assert headings(html) == SECTIONS
    _, text = read_page(html)
    for fact in ("2 people whom no training has seen", "20 samples", "shuffled time", "By stimulus", "Epoch 1"):
        assert fact in text
    forced = run("forced", force=("estimation_compare",))
    assert [stage["how"] for stage in forced["stages"]] == ["cached"] * 4 + ["computed"]

    name = model_name("estimation", ("test01", "test02"))
    assert first["registry"].startswith(f"{name} version 1")
    is_better = first["verdict"] == "better"
    assert (champion(name) is not None) == is_better == first["registry"].endswith("now the champion")

    candidate = find_reference(str(tmp_path / "first"))
    again = estimation_evaluation(candidate, None, data_of(candidate), small_plan(), tmp_path / "again", RUNTIME)
    assert again.numbers == pytest.approx(first["numbers"])
    assert again.registry == ""
    itself = estimation_evaluation(candidate, candidate, people, small_plan(), tmp_path / "itself", RUNTIME)
    assert itself.verdict == again.verdict


@pytest.mark.usefixtures("prefect_api")
def test_a_model_that_is_worse_than_another_ends_as_regressed(people, tmp_path):
    from flows.estimation import estimation, estimation_evaluation
    from flows.references import data_of, find_reference

    estimation(people, small_plan(), tmp_path / "good", RUNTIME)
    # So small a rate learns nothing; its gaze stays near the lens.
    estimation(people, small_plan(learning_rate=1e-9), tmp_path / "bad", RUNTIME)
    good, bad = (find_reference(str(tmp_path / name)) for name in ("good", "bad"))
    state = estimation_evaluation(
        bad, good, data_of(bad), small_plan(), tmp_path / "compared", RUNTIME, return_state=True
    )
    assert (state.type.value, state.name) == ("COMPLETED", "Regressed")
    assert "(baseline)" in state.message
    report = json.loads((tmp_path / "compared" / "report.json").read_text())
    assert report["comparison"]["against"] == "baseline"


def test_what_is_no_recording_is_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="not a layout of EVE; expected"):
        estimation_plan("tiny").require_ready({"data": tmp_path / "empty"})
    one = write_people(tmp_path / "one", {"train01": "train"}, num_frames=30)
    with pytest.raises(BadInput, match="no recording is left to train"):
        estimation_plan("tiny").require_ready({"data": one})
    with pytest.raises(BadInput, match="unknown preset 'tinny'; expected one of: demo, tiny, .*did you mean tiny"):
        estimation_plan("tinny")
