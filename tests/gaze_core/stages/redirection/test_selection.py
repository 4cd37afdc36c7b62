"""Selection in runs with critics: weights are selected once all terms act, by a gaze error.

The gaze estimators are ridge regressions from all pixels of heads that face the camera; critic and judge are fitted to
different images. The judge takes no part in training.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, split_with_held_out, write_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset
from gaze_core.evaluation.renderings import gaze_in_camera
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.losses.gaze import GazeCritic, SyntheticGazeConfig, sample_target_gaze
from gaze_core.models.redirection.gaze_gaussian import GazeGaussianConfig
from gaze_core.models.redirection.mesh_head import MeshHeadConfig
from gaze_core.models.redirection.renderers import RendererConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import gaze_gaussian, mesh_head
from gaze_core.stages.redirection.critic import CriticConfig
from gaze_core.stages.redirection.losses import GazeGaussianLossWeights
from gaze_core.training.loop import FitConfig
from tests.tiny_subject import write_tiny_subject

SIDE_PX, NUM_STEPS = 48, 80
HOW = {"batch_size": 3, "learning_rate": 3e-3}
MESH = mesh_head.MeshHeadStageConfig(
    model=MeshHeadConfig(cell_m=0.025, hidden=16, feature_width=8, color_channels=4), fit=FitConfig(num_steps=40, **HOW)
)
RENDERER = RendererConfig(channels=8, token_width=16, depth=1, num_heads=2, patch_px=8)
PLAIN = gaze_gaussian.GazeGaussianStageConfig(
    model=GazeGaussianConfig(
        image_px=SIDE_PX, raster_px=SIDE_PX, cell_m=0.02, points_per_eye=60, renderer=RENDERER
    ),
    fit=FitConfig(num_steps=NUM_STEPS, validate_every_steps=8, final_learning_rate_ratio=0.1, **HOW),
    synthetic_gaze=SyntheticGazeConfig(full_after=0.4),
)  # fmt: skip
WITH_CRITICS = PLAIN.model_copy(
    update={
        "loss_weights": GazeGaussianLossWeights(gaze_deg=0.1, synthetic_gaze_deg=0.1, critics_after=0.4),
        "critic": CriticConfig(path=Path("made by the test"), sha256="0" * 64),
    }
)


def frontal(path, num_images, seed):
    """Large eyes in heads with little rotation, so that linear regression can predict the gaze."""
    return write_tiny_subject(path, num_images, SIDE_PX, seed=seed, turning=0.15, eye_radius_m=0.02)


def ridge(path):
    """An estimator with the interface of a GazeNet: `[pitch, yaw]` as a linear function of all pixels."""
    batch = SubjectDataset(path).everything
    pixels, gaze = batch.rgb_on_white.flatten(1).double(), batch.gaze_camera.double()
    middle, offset = pixels.mean(dim=0), gaze.mean(dim=0)
    kernel = (pixels - middle) @ (pixels - middle).T + 3 * torch.eye(len(pixels)).double()
    weights = ((pixels - middle).T @ torch.linalg.solve(kernel, gaze - offset)).float()

    class Ridge(torch.nn.Module):
        config = SimpleNamespace(image_px=SIDE_PX)

        def forward(self, rgb):
            return SimpleNamespace(gaze_camera=(rgb.flatten(1) - middle.float()) @ weights + offset.float())

    return Ridge()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("selection")
    (root / "data").mkdir()
    frontal(root / "data" / SUBJECT_FILE, 24, seed=0)
    splits = split_with_held_out("tiny", range(18), range(18, 24), 0.3, seed=0)
    write_splits(root / "data" / SPLITS_FILE, DatasetSplits(subjects=(splits,)))
    mesh_head.run(MESH, {"data": root / "data"}, StageContext(Runtime(device="cpu"), root / "mesh_head"))
    return root


def trained(root, name, config):
    inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
    produced = gaze_gaussian.run(config, inputs, StageContext(Runtime(device="cpu"), root / name))
    return gaze_gaussian.load(root / name)[0], produced.metrics


def error_deg(model, judge, batch):
    """Gaze error of heads that are redirected to other gazes than the recorded ones."""
    target = sample_target_gaze(SyntheticGazeConfig(), 1.0, batch.subject_index, batch.sample_index, 5)
    with torch.no_grad():
        image = model(batch.camera, batch.head.with_gaze(target)).rgb
    return float(angular_error_deg(judge(image).gaze_camera, gaze_in_camera(batch, target)).mean())


def test_a_run_with_critics_ends_better_in_gaze_than_the_same_run_without(root, tmp_path, monkeypatch):
    critic, judge = (ridge(frontal(tmp_path / f"{seed}.h5", 250, seed)) for seed in (1, 2))
    monkeypatch.setattr("gaze_core.stages.redirection.losses.load_critic", lambda _: GazeCritic(critic))
    test = SubjectDataset(frontal(tmp_path / "test.h5", 40, seed=9)).everything
    without, _ = trained(root, "without", PLAIN)
    taught, metrics = trained(root, "with", WITH_CRITICS)
    assert metrics["kept_step"] > 0.4 * NUM_STEPS  # nothing is selected before all terms act
    assert error_deg(taught, judge, test) < error_deg(without, judge, test) - 1
