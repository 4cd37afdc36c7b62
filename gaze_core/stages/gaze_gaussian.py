"""Stage: train GazeGaussian, with the DiT or the baseline renderer, from a fitted MeshHead."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.losses.disentangle import orthogonality
from gaze_core.losses.image import dissimilarity, hidden_matter, masked_l1, silhouette
from gaze_core.models.corrections import CorrectionsConfig, FrameCorrections
from gaze_core.models.gaze_gaussian import GazeGaussian, GazeGaussianConfig, GazeGaussianOutput
from gaze_core.models.hand_over import start_from_mesh_head
from gaze_core.models.mesh_head import MeshHeadConfig
from gaze_core.models.renderers import enlarge
from gaze_core.reproducibility import seed_everything
from gaze_core.splat.gaussians import Rendering
from gaze_core.stages import mesh_head
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.training_data import TrainingData, read_training_data, train
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card
from gaze_core.training.loop import FitConfig, Task

NAME, VERSION = "gaze_gaussian", 3
TRAINS = True  # may run in several processes


class GazeGaussianLossWeights(Config):
    """Weight of each term. `raw` is the enlarged first three raster channels, `final` the renderer's image."""

    raw_l1: NonNegativeFloat = 1.0
    final_l1: NonNegativeFloat = 1.0
    eyes_l1: NonNegativeFloat = 1.0
    dissimilarity: NonNegativeFloat = 0.1
    silhouette: NonNegativeFloat = 0.1
    hidden_matter: NonNegativeFloat = 0.1
    face_in_openings: NonNegativeFloat = 0.1
    eye_centers_dm2: NonNegativeFloat = 10.0
    orthogonality: NonNegativeFloat = 0.01


class LearningRates(Config):
    """Relative to the run's learning rate."""

    positions: PositiveFloat = 0.2
    appearance: PositiveFloat = 5.0
    networks: PositiveFloat = 1.0


class GazeGaussianStageConfig(Config):
    """Everything that decides the trained model."""

    model: GazeGaussianConfig = GazeGaussianConfig()
    loss_weights: GazeGaussianLossWeights = GazeGaussianLossWeights()
    learning_rates: LearningRates = LearningRates()
    corrections: CorrectionsConfig | None = None  # for labels that are estimates
    fit: FitConfig = FitConfig(num_steps=500, batch_size=4, learning_rate=1e-3, final_learning_rate_ratio=0.1)


def run(config: GazeGaussianStageConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on `inputs["data"]` from `inputs["mesh_head"]`; writes `weights.safetensors` and `stats.jsonl`.

    Goes on from an interrupted run.

    Raises:
        BadInput: the images have another size than the model is configured for.
        MissingArtifact, ContractViolation: no usable MeshHead checkpoint.
    """
    data = read_training_data(inputs["data"], config.fit.batch_size, context.runtime)
    if data.image_px != config.model.image_px:
        raise BadInput(f"images are {data.image_px} px, the model expects image_px {config.model.image_px}")
    seed_everything("initialise", NAME, config.fit.seed)
    head = mesh_head.load(inputs["mesh_head"])
    model = start_from_mesh_head(config.model, head, data.label("eye_centers_head_m").mean(dim=0))
    for name, detail in active_enhancements(model, config):
        context.logger.info("active: %s: %s", name, detail)
    corrections = FrameCorrections(*data.train.frames) if config.corrections else None
    trained = _Trained(model, corrections)
    task = Task(
        model=trained,
        parameter_groups=parameter_groups(model, corrections, config),
        num_samples=data.train.num_samples,
        read_batches=data.batches,
        loss_terms=lambda _, batch, step: trained.loss_terms(batch, config),
        validate=lambda _: _validation_l1(model, data.validation),
    )
    produced = train(task, config.fit, data, _card(config, data, model), context, result=model)
    return replace(produced, metrics={**produced.metrics, **(corrections.sizes() if corrections else {})})


class _Trained(nn.Module):
    """The model and what is learned beside it about the training frames."""

    def __init__(self, model: GazeGaussian, corrections: FrameCorrections | None) -> None:
        super().__init__()
        self.model, self.corrections = model, corrections

    def loss_terms(self, batch: GazeBatch, config: GazeGaussianStageConfig) -> dict[str, Tensor]:
        """All terms of one batch."""
        head = batch.head if self.corrections is None else self.corrections(batch)
        terms = loss_terms(self.model(batch.camera, head), batch, config.loss_weights)
        if self.corrections is not None and config.corrections is not None:
            terms |= self.corrections.penalties(config.corrections)
        return terms


def _card(config: GazeGaussianStageConfig, data: TrainingData, model: GazeGaussian) -> dict[str, object]:
    return data.card(NAME, VERSION, config) | {
        "mesh": model.mesh.model_dump(mode="json"),
        "num_face_points": model.face.num_points,
        "enhancements": active_enhancements(model, config),
        "people": _people(data),
    }


def _people(data: TrainingData) -> dict[str, list[float]]:
    """Mean and standard deviation of the identity codes between the people: whom an inversion starts from."""
    codes, subjects = data.label("identity_code"), data.train.frames[0]
    people = torch.stack([codes[subjects == n].mean(dim=0) for n in range(len(data.splits.names))])
    return {"mean": people.mean(dim=0).tolist(), "std": people.std(dim=0, correction=0).tolist()}


def load(directory: Path) -> tuple[GazeGaussian, dict[str, Any]]:
    """The trained model, in evaluation mode, and its card.

    Raises:
        MissingArtifact: no readable checkpoint.
        ContractViolation: a checkpoint of another stage or stage version.
    """
    path = directory / WEIGHTS_FILE
    card = read_card(path, NAME)
    if card["stage_version"] != VERSION:
        raise ContractViolation(f"{path}: {NAME} v{card['stage_version']}, expected v{VERSION}; train it again")
    config = GazeGaussianStageConfig.model_validate(card["config"])
    model = GazeGaussian(config.model, MeshHeadConfig.model_validate(card["mesh"]), card["num_face_points"])
    model.load_state_dict(load_weights(path))
    if "person" in card:  # adapted to someone
        model.become(torch.tensor(card["person"]))
    return model.eval(), card


def active_enhancements(model: GazeGaussian, config: GazeGaussianStageConfig) -> list[tuple[str, str]]:
    """What this run has beyond the published baseline, with numbers; also what it goes without."""
    weights = config.loss_weights
    rows = model.enhancements()
    rows.append(("orthogonality loss", f"weight {weights.orthogonality}" if weights.orthogonality else "off"))
    rows.append(
        ("corrections of each training frame", "codes and pose" if config.corrections else "off (exact labels)")
    )
    rows.append(("weak supervision by synthetic gaze", "off (needs a gaze critic; not part of this preset)"))
    rows.append(("latent autoencoder", "off (needs pretrained weights; the renderer works on the raster)"))
    return rows


def parameter_groups(
    model: GazeGaussian, corrections: FrameCorrections | None, config: GazeGaussianStageConfig
) -> list[dict[str, object]]:
    """Positions, appearance, networks and corrections with their learning rates."""
    rates, base = config.learning_rates, config.fit.learning_rate
    positions = [model.face.means_m, model.eyes.means_m, model.eyes.centers_m]
    appearance = [stream.features for stream in (model.face, model.eyes)]
    appearance += [stream.attributes for stream in (model.face, model.eyes)]
    own = {id(p) for p in positions + appearance}
    networks = [p for p in model.parameters() if id(p) not in own]
    groups: list[dict[str, object]] = [
        {"params": positions, "lr": base * rates.positions},
        {"params": appearance, "lr": base * rates.appearance},
        {"params": networks, "lr": base * rates.networks},
    ]
    if corrections is not None and config.corrections is not None:
        rate = base * config.corrections.learning_rate
        groups.append({"params": list(corrections.parameters()), "lr": rate})
    return groups


def loss_terms(output: GazeGaussianOutput, batch: GazeBatch, weights: GazeGaussianLossWeights) -> dict[str, Tensor]:
    """The weighted terms, each under its own name."""
    assert output.face is not None
    assert output.eyes is not None
    assert output.first_activations is not None
    assert output.eye_centers_m is not None
    target, head_mask, eyes_mask = batch.rgb_on_white, batch.head_mask, batch.eyes_mask
    observed = batch.observed_mask
    raw_head, raw_face, raw_eyes = (_enlarged(r, target) for r in (output.head, output.face, output.eyes))
    raw = masked_l1(raw_head[:, :3], target, observed)
    raw = raw + masked_l1(raw_face[:, :3], target, head_mask * (1 - eyes_mask))
    openings = masked_l1(raw_face[:, 3:], torch.zeros_like(eyes_mask), eyes_mask)
    return {
        "raw_l1": weights.raw_l1 * raw,
        "raw_eyes_l1": weights.eyes_l1 * masked_l1(raw_eyes[:, :3], target, eyes_mask),
        "final_l1": weights.final_l1 * masked_l1(output.rgb, target, observed),
        "final_eyes_l1": weights.eyes_l1 * masked_l1(output.rgb, target, eyes_mask),
        "final_dissimilarity": weights.dissimilarity * dissimilarity(output.rgb, target, observed),
        "raw_dissimilarity": weights.dissimilarity * dissimilarity(raw_head[:, :3], target, observed),
        "silhouette": weights.silhouette * silhouette(raw_head[:, 3:], head_mask, observed),
        "hidden_matter": weights.hidden_matter * hidden_matter(raw_head[:, 3:], observed),
        "face_in_openings": weights.face_in_openings * openings,
        "eye_centers_dm2": weights.eye_centers_dm2 * 100 * _squared(output.eye_centers_m - batch.eye_centers_head_m),
        "orthogonality": weights.orthogonality * orthogonality(*output.first_activations),
    }


def _squared(difference: Tensor) -> Tensor:
    return difference.square().sum(-1).mean()


def _enlarged(rendering: Rendering, like: Tensor) -> Tensor:
    """RGB and alpha of a raster at the size of the target, four channels."""
    rgba = torch.cat([rendering.features[:, :3], rendering.alpha], dim=1)
    return enlarge(rgba, like.shape[-1] // rgba.shape[-1])


def _validation_l1(model: nn.Module, batch: GazeBatch) -> float:
    output: GazeGaussianOutput = model(batch.camera, batch.head)
    return float(masked_l1(output.rgb, batch.rgb_on_white, batch.head_mask))
