"""The whole redirection flow, on a subject of seconds: twice, forced, and with a lost artifact."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlparse

import h5py
import pytest

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.plans.redirection import redirection_plan
from gaze_core.training.checkpoint import WEIGHTS_FILE
from tests.gaze_core.reports.html import assert_self_contained, read_page
from tests.tiny_subject import write_tiny_subject

RUNTIME = Runtime(device="cpu", progress=False)
STEPS = [
    "mesh_head.model.cell_m=0.03", "mesh_head.fit.num_steps=2", "gaze_gaussian.fit.num_steps=2",
    "gaze_gaussian.model.cell_m=0.03", "gaze_gaussian.model.points_per_eye=20", "evaluate.num_shown=2",
]  # fmt: skip
STABLE_KEYS = {
    "psnr_db", "ssim", "gaze_error_deg", "identity_copy_gaze_error_deg", "estimator_floor_deg", "head_error_deg",
    "baseline", "verdict", "seconds", "stages", "enhancements", "digests", "versions", "dropped", "notes",
}  # fmt: skip


@pytest.mark.usefixtures("prefect_api")
def test_the_pipeline_runs_reports_and_reuses_every_stage(tmp_path):
    from flows.redirection import redirection

    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128)
    plan = redirection_plan("tiny", "synthetic", STEPS)

    def run(name, **options):
        redirection(subject, plan, tmp_path / name, RUNTIME, "tiny", **options)
        return json.loads((tmp_path / name / "report.json").read_text())

    first, second = run("first"), run("second")
    assert set(first) >= STABLE_KEYS
    assert first["psnr_db"] > 5
    assert first["baseline"]["psnr_db"] > 5
    names = [stage["name"] for stage in first["stages"]]
    expected = ["preprocess", "mesh_head", "gaze_gaussian", "gaze_gaussian (baseline)"]
    assert names == [*expected, "evaluate", "evaluate (baseline)", "compare"]
    assert not any(stage["cached"] for stage in first["stages"])
    assert all(stage["cached"] for stage in second["stages"])
    assert second["digests"] == first["digests"]
    assert [row["name"] for row in first["enhancements"]][0] == "renderer"

    from tasks.store.artifacts import Store

    store = Store.from_environment()
    page = tmp_path / "first" / "report.html"
    assert_self_contained(page)
    _, text = read_page(page)
    candidate = store.uri(ArtifactRef.model_validate(first["artifacts"]["candidate"])).removeprefix("file://")
    assert [row["name"] for row in first["trained"]] == ["mesh head", "candidate", "baseline"]
    assert Path(candidate, WEIGHTS_FILE).is_file()
    assert "ended after step 2: all steps were done; kept the weights of step" in text
    assert candidate in text
    assert "Perceptual loss: off (trained without; needs the asset vgg16)." in text
    assert "mesh_head: computed in" in (tmp_path / "first" / "log.txt").read_text()
    assert "mesh_head: cached in" in (tmp_path / "second" / "log.txt").read_text()

    lost = next(store_ref for store_ref in _references(store) if store_ref.stage == "mesh_head")
    shutil.rmtree(store.fetch(lost))
    third = run("third")
    rows = {stage["name"]: stage for stage in third["stages"]}
    assert not rows["mesh_head"]["cached"]
    assert "lost" in rows["mesh_head"]["detail"]
    assert rows["gaze_gaussian"]["cached"]  # the new MeshHead has the same content
    assert third["digests"] == first["digests"]

    forced = run("forced", force=("compare",))
    assert [stage["name"] for stage in forced["stages"] if not stage["cached"]] == ["compare"]


def _references(store):
    from gaze_core.artifacts import Manifest

    root = Path(urlparse(store.root_uri).path)
    return [Manifest.read(path.parent).ref for path in root.rglob("manifest.json")]


@pytest.mark.usefixtures("prefect_api")
def test_a_users_mistake_leaves_the_flow_as_it_was_raised(tmp_path):
    from flows.redirection import redirection

    broken = tmp_path / "subject.h5"
    broken.write_bytes(b"not a subject")
    with pytest.raises(BadInput, match=r"subject\.h5: .* found no readable HDF5 file"):
        redirection(broken, redirection_plan("tiny", "synthetic"), tmp_path / "out", RUNTIME)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("prefect_api")
def test_people_of_a_folder_are_split_and_the_test_folder_is_evaluated_only(tmp_path, monkeypatch):
    from flows import redirection as module
    from tasks.store.artifacts import Store

    for folder, names in (("train", ("anna", "bert")), ("test", ("carl",))):
        (tmp_path / folder).mkdir()
        for name in names:
            write_tiny_subject(tmp_path / folder / f"{name}.h5", num_images=8, size_px=128, subject=name)
    found = []

    class Enough(Exception):
        pass

    def train(data, *_):
        found.append(Store.from_environment().manifest(data).subjects)
        raise Enough

    monkeypatch.setattr(module, "train_mesh_head", train)
    plan = redirection_plan("tiny", "synthetic", STEPS)
    with pytest.raises(Enough):
        module.redirection(tmp_path / "train", plan, tmp_path / "out", RUNTIME, test=tmp_path / "test")
    (subjects,) = found
    assert subjects["test"] == ("carl",)
    assert sorted(subjects["train"] + subjects["validation"]) == ["anna", "bert"]


@pytest.mark.usefixtures("prefect_api")
def test_a_subject_that_the_judge_was_trained_on_is_refused_before_any_training(tmp_path, monkeypatch):
    from flows import redirection as module
    from gaze_core.errors import ContractViolation
    from gaze_core.evaluation.judge import CnnJudge

    known = CnnJudge().card["training_subjects"][0]
    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128, subject=known)
    monkeypatch.setattr(module, "train_mesh_head", lambda *_: pytest.fail("trained"))
    with pytest.raises(ContractViolation, match=f"was trained on the person of synthetic/{known}"):
        module.redirection(subject, redirection_plan("tiny", "synthetic", STEPS), tmp_path / "out", RUNTIME)


@pytest.mark.usefixtures("prefect_api")
def test_an_invalid_plan_is_refused_before_anything_is_imported(tmp_path, monkeypatch):
    from flows import redirection as module

    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=2, size_px=128)
    plan = redirection_plan("tiny", "synthetic", ["gaze_gaussian.model.renderer.num_heads=7"])
    monkeypatch.setattr(module, "preprocess_recording", lambda *_: pytest.fail("imported"))
    with pytest.raises(BadInput, match="expected a multiple of num_heads 7"):
        module.redirection(subject, plan, tmp_path / "out", RUNTIME)


@pytest.mark.usefixtures("prefect_api")
def test_a_run_without_a_baseline_trains_one_model_and_compares_it_with_the_identity_copy(tmp_path):
    from flows.redirection import redirection

    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128)
    plan = redirection_plan("tiny", "synthetic", [*STEPS, "baseline_renderer=null"])
    redirection(subject, plan, tmp_path / "out", RUNTIME, "tiny", return_state=True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    names = [stage["name"] for stage in report["stages"]]
    assert names == ["preprocess", "mesh_head", "gaze_gaussian", "evaluate", "compare"]
    assert report["baseline"] is None
    assert report["verdict"] in ("better", "equal", "regressed")


@pytest.mark.usefixtures("prefect_api")
def test_a_recording_is_evaluated_between_its_training_frames_and_at_its_end(tmp_path):
    from flows.redirection import redirection

    recording = write_tiny_subject(tmp_path / "ann.h5", num_images=64, size_px=128)
    with h5py.File(recording, "r+") as file:
        file.attrs["source"] = "video"
        file["held_out"][...] = False
    plan = redirection_plan("tiny", "synthetic", [*STEPS, "evaluate.num_shown=1"])
    result = redirection(recording, plan, tmp_path / "out", RUNTIME, "tiny", return_state=True).result()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    names = [stage["name"] for stage in report["stages"]]
    assert names[4:-1] == [
        "evaluate", "evaluate, last block", "evaluate (baseline)", "evaluate, last block (baseline)"
    ]  # fmt: skip
    last = report["last_block"]
    assert last["psnr_db"] != report["psnr_db"]
    assert last["baseline"]["psnr_db"] > 5
    assert result.numbers["last_block_psnr_db"] == last["psnr_db"]
    assert any(line.startswith("last_block_psnr_db") for line in result.headline())


@pytest.mark.usefixtures("prefect_api")
def test_a_recording_starts_from_the_known_head_and_its_baseline_from_scratch(tmp_path):
    from flows.redirection import redirection

    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128)
    shorter = ["adapt.codes.num_steps=1", "adapt.weights.num_steps=2"]
    plan = redirection_plan("tiny", "synthetic", [*STEPS, *shorter], start="known")
    redirection(subject, plan, tmp_path / "out", RUNTIME, "tiny")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    names = [stage["name"] for stage in report["stages"]]
    assert names == [
        "preprocess", "head_prior", "invert", "mesh_head", "gaze_gaussian", "evaluate", "evaluate (baseline)", "compare"
    ]  # fmt: skip
    assert report["artifacts"]["candidate"]["stage"] == "invert"
    assert report["artifacts"]["baseline"]["stage"] == "gaze_gaussian"
    (start,) = [row["detail"] for row in report["enhancements"] if row["name"] == "start"]
    assert "adapted to tiny by" in start
    assert any("starts from the known head" in note for note in report["notes"])

    alone = plan.model_copy(update={"baseline_renderer": None})
    redirection(subject, alone, tmp_path / "alone", RUNTIME, "tiny", return_state=True)
    report = json.loads((tmp_path / "alone" / "report.json").read_text())
    assert [stage["name"] for stage in report["stages"]] == [
        "preprocess",
        "head_prior",
        "invert",
        "evaluate",
        "compare",
    ]
    assert all(stage["cached"] for stage in report["stages"][:4])
