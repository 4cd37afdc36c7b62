"""The training stages: exact resume after SIGKILL, self-contained checkpoints, refusals."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.models.redirection.corrections import CorrectionsConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import gaze_gaussian, mesh_head
from gaze_core.training.checkpoint import RESUME_FILE, WEIGHTS_FILE, read_card
from tests.gaze_core.stages.redirection.tiny_run import CONFIGS, train, write_dataset

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data set and a MeshHead trained on it without interruption."""
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    train("mesh_head", root, root / "mesh_head")
    return root


@pytest.mark.parametrize(("stage", "killed_at"), [("mesh_head", 5), ("gaze_gaussian", 3)])
def test_a_killed_training_run_again_ends_with_the_same_bytes(root, tmp_path, stage, killed_at):
    whole = train(stage, root, tmp_path / "whole")
    command = [
        sys.executable,
        "-m",
        "tests.gaze_core.stages.redirection.tiny_run",
        stage,
        str(root),
        str(tmp_path / "parts"),
        str(killed_at),
    ]
    # Sums of several threads round otherwise than those of one.
    env = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(command, cwd=ROOT, env=env, check=False)
    assert killed.returncode == -9
    assert (tmp_path / "parts" / RESUME_FILE).is_file()
    resumed = train(stage, root, tmp_path / "parts")
    assert resumed.metrics["resumed_from_step"] == killed_at // 2 * 2
    assert resumed.files[WEIGHTS_FILE].read_bytes() == whole.files[WEIGHTS_FILE].read_bytes()


def test_a_card_names_the_training_data_and_a_checkpoint_loads_without_it(root, tmp_path):
    train("gaze_gaussian", root, tmp_path)
    model, card = gaze_gaussian.load(tmp_path)
    assert {n for _, first, last in card["seen"]["frames"]["synthetic/tiny"] for n in range(first, last + 1)} == {
        *range(9)
    }
    assert card["normalization"]["size_px"] == 32
    assert [name for name, _ in card["enhancements"]][:1] == ["renderer"]
    assert not model.training
    assert read_card(tmp_path / WEIGHTS_FILE, "gaze_gaussian")["schema_version"] == 1


def test_stage_two_refuses_to_start_without_a_valid_stage_one(root, tmp_path):
    context = StageContext(Runtime(device="cpu"), tmp_path)
    inputs = {"data": root / "data", "mesh_head": tmp_path}
    with pytest.raises(MissingArtifact, match="no readable mesh_head checkpoint .* run the mesh_head stage"):
        gaze_gaussian.run(CONFIGS["gaze_gaussian"], inputs, context)
    train("gaze_gaussian", root, tmp_path)
    with pytest.raises(ContractViolation, match="written by stage 'gaze_gaussian', expected 'mesh_head'"):
        mesh_head.load(tmp_path)


def test_images_of_another_size_are_refused(root, tmp_path):
    config = CONFIGS["gaze_gaussian"]
    config = config.model_copy(update={"model": config.model.model_copy(update={"image_px": 64})})
    with pytest.raises(BadInput, match="images are 32 px, the model expects image_px 64"):
        gaze_gaussian.run(config, {"data": root / "data", "mesh_head": root / "mesh_head"},
                          StageContext(Runtime(device="cpu"), tmp_path))  # fmt: skip


def test_corrections_are_optimised_and_not_saved(root, tmp_path):
    config = CONFIGS["gaze_gaussian"].model_copy(update={"corrections": CorrectionsConfig()})
    inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
    produced = gaze_gaussian.run(config, inputs, StageContext(Runtime(device="cpu"), tmp_path))
    assert produced.metrics["correction_shift_mm"] > 0
    assert produced.metrics["correction_expression"] > 0
    model, _ = gaze_gaussian.load(tmp_path)
    assert not [name for name in model.state_dict() if "correction" in name]


@pytest.mark.parametrize(("label_source", "corrected"), [("target", True), ("exact", False)])
def test_labels_that_are_estimates_are_corrected(root, tmp_path, label_source, corrected):
    data = tmp_path / "data"
    shutil.copytree(root / "data", data)
    with h5py.File(data / SUBJECT_FILE, "a") as file:
        file.attrs["label_source"] = label_source
    config = CONFIGS["gaze_gaussian"].model_copy(update={"corrections": "auto"})
    inputs = {"data": data, "mesh_head": root / "mesh_head"}
    produced = gaze_gaussian.run(config, inputs, StageContext(Runtime(device="cpu"), tmp_path / "gg"))
    assert ("correction_shift_mm" in produced.metrics) == corrected


def test_of_several_processes_only_the_first_writes_the_weights(root, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    train("mesh_head", root, tmp_path)
    assert not (tmp_path / WEIGHTS_FILE).exists()
