"""Every stage runs on CUDA: training, validation and evaluation steps on tensors that say they lie there.

A new system adds a row for each of its stages.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import pytest
import torch

import gaze_core.stages
from gaze_core.artifacts import file_sha256
from gaze_core.config import Runtime
from gaze_core.data.batch import TensorRecord
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, split_with_held_out, write_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset
from gaze_core.models.estimation.face_estimator import FaceEstimatorConfig
from gaze_core.models.estimation.gaze_net import GazeNet, GazeNetConfig
from gaze_core.models.redirection.corrections import CorrectionsConfig
from gaze_core.models.redirection.densify import DensifyConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.driver import evaluate as driver_evaluate
from gaze_core.stages.driver import finetune, pretrain
from gaze_core.stages.estimation import evaluate as estimation_evaluate
from gaze_core.stages.estimation import features, train_single, train_temporal
from gaze_core.stages.judge import estimator
from gaze_core.stages.judge.faces import read_faces
from gaze_core.stages.one_shot import adapt
from gaze_core.stages.one_shot import autoencoder as one_shot_autoencoder
from gaze_core.stages.one_shot import evaluate as one_shot_evaluate
from gaze_core.stages.one_shot import pretrain as one_shot_pretrain
from gaze_core.stages.redirection import (
    code_encoder,
    downstream,
    evaluate,
    gaze_gaussian,
    invert,
    look_head,
    mesh_head,
    sample,
)
from gaze_core.stages.redirection.critic import CriticConfig
from gaze_core.stages.redirection.losses import GazeGaussianLossWeights
from gaze_core.stages.talker import coarse, fine
from gaze_core.stages.talker import evaluate as talker_evaluate
from gaze_core.stages.talker import render as talker_render
from gaze_core.training.checkpoint import save_weights
from gaze_core.training.loop import FitConfig
from tests.gaze_core.driver.conftest import driver_faces, extract_into, extracted, tiny_drive  # noqa: F401 (fixtures)
from tests.gaze_core.estimation.drawn_people import write_people
from tests.gaze_core.estimation.trained import EVALUATE, SINGLE, TEMPORAL
from tests.gaze_core.stages.one_shot.tiny_run import ADAPT, PRETRAIN, place  # noqa: F401 (fixture)
from tests.gaze_core.stages.redirection.tiny_run import CONFIGS
from tests.gaze_core.stages.talker import test_evaluate as talker_run
from tests.gaze_core.talker.drawn_talker import write_drawn
from tests.pretend_cuda import CUDA, pretended_cuda
from tests.tiny_subject import write_tiny_subject

SHORT = FitConfig(num_steps=2, batch_size=2)
FIT = SHORT.model_copy(update={"validate_every_steps": 1})
WITHOUT_TENSORS = {  # on a device
    "redirection.preprocess", "redirection.compare", "redirection.look_paste", "driver.compare", "driver.extract",
    "judge.landmark_gaze", "redirection.head_prior", "estimation.convert", "estimation.compare",
    "one_shot.prepare", "one_shot.compare", "talker.prepare", "talker.compare",
}  # fmt: skip
RUNTIME = Runtime(device="cpu", progress=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Data, and models from the CPU, as earlier stages leave them."""
    root = tmp_path_factory.mktemp("root")
    for folder, names in (("data", ("anna", "bert")), ("stranger", ("carl",))):
        (root / folder).mkdir()
        splits = []
        for number, name in enumerate(names):
            path = write_tiny_subject(root / folder / f"{name}.h5", num_images=12, subject=name)
            with h5py.File(path, "r+") as file:
                file["identity_code"][:, 0] = number
            one = split_with_held_out(name, range(9), range(9, 12), 0.2, seed=0)
            splits.append(one.model_copy(update={"file": path.name}))
        write_splits(root / folder / SPLITS_FILE, DatasetSplits(subjects=tuple(splits)))
    (root / "people").mkdir()
    for seed in range(3):
        write_tiny_subject(root / "people" / f"p{seed}.h5", 6, 32, f"p{seed}", seed)
    (root / "one").mkdir()
    write_tiny_subject(root / "one" / SUBJECT_FILE, num_images=4)
    (root / "photo").mkdir()
    (root / "photo" / "photo.png").write_bytes(b"named only")
    torch.manual_seed(3)
    network = GazeNetConfig(image_px=64, width=8, eye_width=8)
    card = {"stage": "estimator", "config": {"network": network.model_dump()}, "training_subjects": ["someone"]}
    save_weights(root / "critic.safetensors", GazeNet(network), card)
    for stage in (mesh_head, gaze_gaussian):
        inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
        config = CONFIGS[stage.NAME].model_copy(update={"fit": FIT})
        stage.run(config, inputs, StageContext(RUNTIME, root / stage.NAME))
    return root


@dataclass(frozen=True)
class Row:
    """A stage with functions that make its configuration and inputs from the fixtures' folder."""

    stage: object
    config: Callable[[Path], object]
    inputs: dict[str, str]


def _everything(root):
    """GazeGaussian with all optional parts."""
    weights = GazeGaussianLossWeights(gaze_deg=0.1, synthetic_gaze_deg=0.1, critics_after=0)
    critic = CriticConfig(path=root / "critic.safetensors", sha256=file_sha256(root / "critic.safetensors"))
    return CONFIGS["gaze_gaussian"].model_copy(
        update={
            "fit": FIT,
            "loss_weights": weights,
            "critic": critic,
            "corrections": CorrectionsConfig(),
            "densify": DensifyConfig(num_frames=2),
        }  # fmt: skip
    )


def _pretraining(_):
    config = pretrain.DriverPretrainConfig(network=FaceEstimatorConfig(image_px=32, hidden=16), num_validations=2)
    return config.model_copy(update={"fit": config.fit.model_copy(update={"num_steps": 2, "batch_size": 4})})


ROWS = {
    "redirection.mesh_head": Row(
        mesh_head, lambda _: CONFIGS["mesh_head"].model_copy(update={"fit": FIT}), {"data": "data"}
    ),
    "redirection.gaze_gaussian": Row(gaze_gaussian, _everything, {"data": "data", "mesh_head": "mesh_head"}),
    "redirection.code_encoder": Row(
        code_encoder,
        lambda _: code_encoder.CodeEncoderStageConfig(model={"image_px": 32, "width": 8}, fit=FIT),
        {"data": "data"},
    ),
    "redirection.invert": Row(
        invert,
        lambda _: invert.InvertConfig(codes=SHORT, weights=SHORT),
        {"data": "stranger", "checkpoint": "gaze_gaussian"},
    ),
    "redirection.evaluate": Row(
        evaluate, lambda _: evaluate.EvaluateConfig(num_shown=1), {"data": "data", "checkpoint": "gaze_gaussian"}
    ),
    "redirection.downstream": Row(
        downstream,
        lambda _: downstream.DownstreamConfig(num_real=2, num_generated=2, num_steps=1, batch_size=2, num_repeats=1),
        {"data": "data", "checkpoint": "gaze_gaussian"},
    ),
    "redirection.look_head": Row(
        look_head,
        lambda _: look_head.LookHeadConfig(gaze_deg=(0, 10)),
        {"data": "stranger", "checkpoint": "gaze_gaussian", "recording": "photo"},
    ),
    "redirection.sample": Row(
        sample, lambda _: sample.SampleConfig(sweep_s=0.1), {"data": "one", "checkpoint": "gaze_gaussian"}
    ),
    "driver.pretrain": Row(pretrain, _pretraining, {"people": "people"}),
}
OTHERS = {  # below: they need a drive or recordings, or are no task; the last one is tested with its photograph
    "driver.finetune", "driver.evaluate", "judge.estimator", "estimation.train_single", "estimation.features",
    "estimation.train_temporal", "estimation.evaluate", "one_shot.autoencoder",
    "one_shot.pretrain", "one_shot.adapt", "one_shot.evaluate", "one_shot.apply",
    "talker.coarse", "talker.fine", "talker.render", "talker.evaluate",
}  # fmt: skip


def test_every_stage_has_its_row():
    found = {
        info.name.removeprefix("gaze_core.stages.")
        for info in pkgutil.walk_packages(gaze_core.stages.__path__, "gaze_core.stages.")
        if not info.ispkg and hasattr(importlib.import_module(info.name), "VERSION")
    }
    assert found - {"redirection.official_checkpoint"} == {*ROWS, *OTHERS, *WITHOUT_TENSORS}


@pytest.mark.parametrize("name", ROWS)
def test_a_stage_runs_on_cuda(root, tmp_path, monkeypatch, name):
    row = ROWS[name]
    inputs = {key: root / folder for key, folder in row.inputs.items()}
    with pretended_cuda(monkeypatch) as cuda:
        row.stage.run(row.config(root), inputs, StageContext(RUNTIME, tmp_path))
    assert cuda.num_moved > 10  # or it would have been a run on the CPU


def test_a_driver_s_stages_run_on_cuda(root, extracted, tmp_path, monkeypatch):  # noqa: F811
    with pretended_cuda(monkeypatch):
        for name, stage, config, inputs in (
            ("base", pretrain, _pretraining(root), {"people": root / "people"}),
            ("tuned", finetune, finetune.DriverFinetuneConfig(epochs=1), {"data": extracted, "base": tmp_path / "base"}),
            ("e", driver_evaluate, driver_evaluate.DriverEvaluateConfig(),
             {"data": extracted, "checkpoint": tmp_path / "tuned"}),
        ):  # fmt: skip
            (tmp_path / name).mkdir()
            stage.run(config, inputs, StageContext(RUNTIME, tmp_path / name))


def test_the_stages_of_the_estimation_run_on_cuda(tmp_path, monkeypatch):
    data = write_people(tmp_path / "data", {"train01": "train", "val01": "val", "test01": "test"}, num_frames=80)
    fit = {"num_epochs": 1, "batch_size": 8}
    single = SINGLE.model_copy(update={"fit": SINGLE.fit.model_copy(update=fit)})
    temporal = TEMPORAL.model_copy(update={"fit": TEMPORAL.fit.model_copy(update=fit)})
    inputs = {
        "data": data, "single": tmp_path / "single", "features": tmp_path / "made" / "features",
        "temporal": tmp_path / "temporal",
    }  # fmt: skip
    with pretended_cuda(monkeypatch) as cuda:
        for name, stage, config in (
            ("single", train_single, single), ("made", features, features.FeaturesConfig()),
            ("temporal", train_temporal, temporal), ("found", estimation_evaluate, EVALUATE),
        ):  # fmt: skip
            (tmp_path / name).mkdir()
            before = cuda.num_moved
            stage.run(config, inputs, StageContext(RUNTIME, tmp_path / name))
            assert cuda.num_moved > before


def test_the_one_shot_stages_run_on_cuda(place, tmp_path, monkeypatch):  # noqa: F811
    people, one = place / "many" / "people", place / "one" / "data"
    small = one_shot_autoencoder.OneShotAutoencoderConfig(network={"channels": 4, "width": 8, "blocks": 1}, fit=FIT)
    with pretended_cuda(monkeypatch) as cuda:
        for name, stage, config, inputs in (
            ("autoencoder", one_shot_autoencoder, small, {"people": (people, place / "one" / "people")}),
            ("base", one_shot_pretrain, PRETRAIN, {"data": place / "many" / "data"}),
            ("adapted", adapt, ADAPT, {"data": one, "checkpoint": tmp_path / "base"}),
            ("evaluated", one_shot_evaluate, one_shot_evaluate.OneShotEvaluateConfig(split=ADAPT.split, num_shown=1),
             {"data": one, "checkpoint": tmp_path / "adapted"}),
        ):  # fmt: skip
            (tmp_path / name).mkdir()
            stage.run(config, inputs, StageContext(RUNTIME, tmp_path / name))
    assert cuda.num_moved > 10


def test_the_talker_s_stages_run_on_cuda(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a pretended device")
    data = write_drawn(tmp_path / "data")
    inputs = {"data": data, "coarse": tmp_path / "coarse", "checkpoint": tmp_path / "fine"}
    with pretended_cuda(monkeypatch) as cuda:
        for name, stage, config in (
            ("coarse", coarse, talker_run.COARSE), ("fine", fine, talker_run.FINE),
            ("film", talker_render, talker_render.TalkerRenderConfig()),
            ("found", talker_evaluate, talker_run.EVALUATE),
        ):  # fmt: skip
            (tmp_path / name).mkdir()
            before = cuda.num_moved
            stage.run(config, inputs, StageContext(RUNTIME, tmp_path / name))
            assert cuda.num_moved > before


def test_the_judge_learns_on_cuda(root, tmp_path, monkeypatch):
    config = estimator.EstimatorConfig(
        network=GazeNetConfig(image_px=32, width=8, eye_width=8), num_steps=1, batch_size=4
    )
    faces = read_faces([SubjectDataset(root / "one" / SUBJECT_FILE)])
    with pretended_cuda(monkeypatch):
        estimator.optimise(GazeNet(config.network), faces, config, RUNTIME, tmp_path, 0)


def test_what_is_left_on_the_cpu_is_found(root, tmp_path, monkeypatch):
    monkeypatch.setattr(TensorRecord, "to", lambda batch, device: replace(batch))
    with pretended_cuda(monkeypatch), pytest.raises(RuntimeError, match="at least two devices, cpu and cuda:0"):
        ROWS["redirection.mesh_head"].stage.run(
            CONFIGS["mesh_head"].model_copy(update={"fit": FIT}),
            {"data": root / "data"},
            StageContext(RUNTIME, tmp_path),
        )


def test_cuda_is_pretended_as_it_is(monkeypatch):
    with pretended_cuda(monkeypatch):
        here, there = torch.ones(3), torch.ones(3).to("cuda")
        assert (there + torch.tensor(1.0)).device == torch.zeros(2, device=there.device).device == CUDA
        assert there[torch.tensor([0])].device == there.clone().device == torch.zeros_like(there).device == CUDA
        assert there.cpu().device.type == (here.to(there)).cpu().device.type == "cpu"
        layer = torch.nn.Linear(3, 1).to(CUDA)
        layer(there).sum().backward()
        assert layer.weight.grad.device == layer.weight.device == CUDA
        with pytest.raises(RuntimeError, match="two devices"):
            here + there
        with pytest.raises(RuntimeError, match="indices should be"):
            here[torch.tensor([0]).to("cuda")]
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
