"""Stage: fits a MeshHead to the training frames."""

from pathlib import Path

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.geometry.landmarks import JAW
from gaze_core.losses.image import masked_l1, opacity_regulariser, silhouette
from gaze_core.losses.mesh import laplacian_smoothness
from gaze_core.models.redirection.mesh_head import MeshHead, MeshHeadConfig, MeshHeadOutput
from gaze_core.reproducibility import seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection.training_data import TrainingData, read_training_data, train
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card
from gaze_core.training.loop import FitConfig, LossTerms, Task, Term

NAME, VERSION = "mesh_head", 4
TRAINS = True  # may run in several processes


class MeshHeadLossWeights(Config):
    """Weight of each term; lengths enter in decimetres, as published."""

    rgb_l1: NonNegativeFloat = 1.0
    silhouette: NonNegativeFloat = 0.1
    hidden_matter: NonNegativeFloat = 0.1
    landmarks_dm2: NonNegativeFloat = 10.0  # published 0.1; labels of all 51 inner points deserve more
    landmark_sdf_dm: NonNegativeFloat = 0.1
    offset_dm2: NonNegativeFloat = 0.01
    laplacian_dm2: NonNegativeFloat = 100.0


class MeshHeadStageConfig(Config):
    """Everything that decides the fitted MeshHead."""

    model: MeshHeadConfig = MeshHeadConfig()
    loss_weights: MeshHeadLossWeights = MeshHeadLossWeights()
    fit: FitConfig = FitConfig(num_steps=400, batch_size=4, learning_rate=1e-3)


def run(config: MeshHeadStageConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Fits to `inputs["data"]`; writes `weights.safetensors` (with its card) and `stats.jsonl`.

    Resumes an interrupted run.
    """
    data = read_training_data(inputs["data"], config.fit.batch_size, context.runtime)
    model = build(config, data)
    task = Task(
        model=model,
        parameter_groups=_parameter_groups(model, config.fit.learning_rate),
        num_samples=data.train.num_samples,
        read_batches=data.batches,
        loss_terms=lambda m, batch, step: loss_terms(m(batch.camera, batch.head), batch, config.loss_weights),
        validation=data.validation(_measure),
    )
    return train(task, config.fit, data, data.card(NAME, VERSION, config), context)


def build(config: MeshHeadStageConfig, data: TrainingData) -> MeshHead:
    """A new MeshHead with the mean landmarks of the training frames."""
    seed_everything("initialise", NAME, config.fit.seed)
    return MeshHead(config.model, data.label("landmarks_3d_head_m").mean(dim=0))


def load(directory: Path) -> MeshHead:
    """The MeshHead that this stage wrote.

    Raises:
        MissingArtifact: no readable checkpoint.
        ContractViolation: a checkpoint of another stage or stage version.
    """
    path = directory / WEIGHTS_FILE
    card = read_card(path, NAME, VERSION)
    config = MeshHeadStageConfig.model_validate(card["config"])
    model = MeshHead(config.model, torch.zeros(68, 3))
    model.load_state_dict(load_weights(path))
    return model


def _parameter_groups(model: MeshHead, learning_rate: float) -> list[dict[str, object]]:
    landmarks = model.neutral_landmarks_m
    networks = [p for p in model.parameters() if p is not landmarks]
    return [{"params": networks, "lr": learning_rate}, {"params": [landmarks], "lr": 0.01 * learning_rate}]


def loss_terms(output: MeshHeadOutput, batch: GazeBatch, weights: MeshHeadLossWeights) -> LossTerms:
    """The terms with their weights; each name has the unit of its value."""
    rendering = output.rendering
    known = batch.valid.landmarks_3d.float()[:, None, None]
    # The jaw line's landmarks are contour points, which are not fixed on the skin.
    landmark_error_dm = 10 * (output.landmarks_m - batch.landmarks_3d_head_m)[:, JAW.stop :] * known
    values = {
        "rgb_l1": masked_l1(rendering.features[:, :3], batch.rgb_on_white, batch.observed_mask),
        "silhouette": silhouette(rendering.alpha, batch.head_mask, batch.observed_mask),
        "hidden_matter": opacity_regulariser(rendering.alpha, batch.observed_mask),
        "landmarks_dm2": landmark_error_dm.square().sum(-1).mean(),
        "landmark_sdf_dm": 10 * output.landmark_sdf_m.abs().mean(),
        "offset_dm2": 100 * output.offsets_m.square().mean(),
        "laplacian_dm2": 100 * laplacian_smoothness(output.surface.vertices_m, output.surface.faces),
    }
    return {name: Term(value, getattr(weights, name)) for name, value in values.items()}


def _measure(model: nn.Module, batch: GazeBatch) -> dict[str, Tensor]:
    output: MeshHeadOutput = model(batch.camera, batch.head)
    return {"head_l1": masked_l1(output.rendering.features[:, :3], batch.rgb_on_white, batch.head_mask)}
