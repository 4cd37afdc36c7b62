"""The whole redirection flow, on a subject of seconds: twice, forced, and with a lost artifact."""

import json
import shutil
from urllib.parse import urlparse

import h5py
import pytest

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.plans.redirection import redirection_plan
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
    from pathlib import Path

    from gaze_core.artifacts import Manifest

    root = Path(urlparse(store.root_uri).path)
    return [Manifest.read(path.parent).ref for path in root.rglob("manifest.json")]


@pytest.mark.usefixtures("prefect_api")
def test_a_users_mistake_leaves_the_flow_as_it_was_raised(tmp_path):
    from flows.redirection import redirection

    broken = tmp_path / "subject.h5"
    broken.write_bytes(b"not a subject")
    with pytest.raises(BadInput, match=r"subject\.h5: not a readable HDF5 file"):
        redirection(broken, redirection_plan("tiny", "synthetic"), tmp_path / "out", RUNTIME)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("prefect_api")
def test_a_subject_that_the_judge_has_learned_from_is_refused_before_any_training(tmp_path, monkeypatch):
    from flows import redirection as module
    from gaze_core.errors import ContractViolation
    from gaze_core.evaluation.judge import CnnJudge

    known = CnnJudge().training_subjects[0]
    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128, subject=known)
    monkeypatch.setattr(module, "train_mesh_head", lambda *_: pytest.fail("trained"))
    with pytest.raises(ContractViolation, match=f"was trained on subject {known}"):
        module.redirection(subject, redirection_plan("tiny", "synthetic", STEPS), tmp_path / "out", RUNTIME)


@pytest.mark.usefixtures("prefect_api")
def test_what_cannot_be_evaluated_is_said_of_the_users_file_before_training(tmp_path):
    from flows.redirection import redirection
    from tasks.store.artifacts import Store

    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128)
    plan = redirection_plan("tiny", "synthetic", STEPS)
    with h5py.File(subject, "r+") as file:
        file["held_out"][...] = [False] * 11 + [True]
    with pytest.raises(BadInput, match="1 held-out frames; expected at least 2"):
        redirection(subject, plan, tmp_path / "out", RUNTIME)
    with h5py.File(subject, "r+") as file:
        file["valid/gaze"][...] = False
    with pytest.raises(BadInput) as caught:
        redirection(subject, plan, tmp_path / "out", RUNTIME)
    assert str(caught.value) == f"{subject}: tiny: no usable frame; left out: invalid_gaze: 12"
    assert {ref.stage for ref in _references(Store.from_environment())} == {"recording", "preprocess"}
