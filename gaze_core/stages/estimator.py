"""Stage: train the gaze judge on many identities, so that it can judge renderings of people it has never seen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.artifacts import file_sha256
from gaze_core.config import Config, Runtime
from gaze_core.data.batch import GazeBatch
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.evaluation.judge import MANIFEST_FILE, WEIGHTS_FILE, JudgeManifest, head_pitchyaw
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.estimator import MIRRORED_POINTS, POINTS, GazeNet, GazeNetConfig, GazeNetOutput
from gaze_core.reproducibility import derived_seed, seed_everything
from gaze_core.training.checkpoint import save_weights, write_atomically
from gaze_core.training.loop import FitConfig, FitSummary, Task, fit

NAME, VERSION = "estimator", 1


class Augmentation(Config):
    """Ranges of what training images go through. Renderings are soft, so the judge must have seen soft images."""

    shift_px: NonNegativeFloat = 4.0
    scale: NonNegativeFloat = 0.08  # relative
    gain: NonNegativeFloat = 0.25  # relative, of brightness and again of each colour
    gamma: NonNegativeFloat = 0.25  # of its logarithm
    noise: NonNegativeFloat = 0.04  # standard deviation at most
    blur_px: NonNegativeFloat = 1.3  # standard deviation at most
    soft_fraction: float = Field(0.6, ge=0, le=1)  # share of images that are blurred or shrunk and enlarged
    smallest_size: float = Field(0.45, gt=0, le=1)  # of the shrunk image, relative


class EstimatorLossWeights(Config):
    """Weight of each term: angles in radians, points in widths of the image."""

    gaze_l1: NonNegativeFloat = 1.0
    head_l1: NonNegativeFloat = 0.5
    points_l1: NonNegativeFloat = 5.0


class EstimatorConfig(Config):
    """Everything that decides the trained judge."""

    model: GazeNetConfig = GazeNetConfig()
    augmentation: Augmentation = Augmentation()
    loss_weights: EstimatorLossWeights = EstimatorLossWeights()
    validation_fraction: float = Field(0.15, gt=0, lt=1)  # of the subjects
    fit: FitConfig = FitConfig(
        num_steps=1500, batch_size=64, learning_rate=2e-3, final_learning_rate_ratio=0.01, warmup_steps=50,
        validate_every_steps=100, patience=1000, max_grad_norm=5.0,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrainedJudge:
    """The files of a judge, what its manifest says, and how training went."""

    weights: Path
    manifest_file: Path
    manifest: JudgeManifest
    summary: FitSummary


def train_judge(
    files: Sequence[Path], config: EstimatorConfig, out_dir: Path, runtime: Runtime = Runtime()
) -> TrainedJudge:
    """Trains on subject files, some of which are kept apart to measure the error on unseen identities.

    The result depends on the files' content and the configuration alone (on a CPU, bit for bit). An interrupted run goes
    on from `out_dir`.

    Raises:
        BadInput: fewer than two subjects, or images of another size than the network's.
    """
    train, validation = split_subjects(files, config.validation_fraction, config.fit.seed)
    seen, unseen = (_read(part, config.model.image_px) for part in (train, validation))
    seed_everything("initialise", NAME, config.fit.seed)
    model = GazeNet(config.model)
    task = Task(
        model=model,
        parameter_groups=[{"params": list(model.parameters()), "lr": config.fit.learning_rate}],
        num_samples=len(seen),
        read_batch=lambda items: seen[items],
        loss_terms=lambda m, batch, step: loss_terms(m, batch, config),
        validate=lambda m: gaze_error_deg(m, unseen),
    )
    summary = fit(task, config.fit, runtime, out_dir / "work")
    out_dir.mkdir(parents=True, exist_ok=True)
    weights, manifest_file = out_dir / WEIGHTS_FILE, out_dir / MANIFEST_FILE
    save_weights(weights, model, {"stage": NAME, "stage_version": VERSION})
    manifest = JudgeManifest(
        name="cnn",
        stage_version=VERSION,
        model=config.model,
        weights_sha256=file_sha256(weights),
        training_subjects=tuple(_subject(path) for path in train),
        validation_subjects=tuple(_subject(path) for path in validation),
        num_training_images=len(seen),
        num_validation_images=len(unseen),
        validation_gaze_error_deg=round(gaze_error_deg(model.eval(), unseen), 3),
        seed=config.fit.seed,
        num_steps=summary.num_steps,
        config_digest=config.digest(),
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n"
    write_atomically(manifest_file, lambda temporary: temporary.write_text(text))
    return TrainedJudge(weights, manifest_file, manifest, summary)


def split_subjects(files: Sequence[Path], fraction: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Training and validation files; which subject goes where depends on its name and the seed, not on the others.

    Raises:
        BadInput: fewer than two files.
    """
    if len(files) < 2:
        raise BadInput(f"{len(files)} subject files; a judge needs at least two, one of them to validate on")
    ranked = sorted(files, key=lambda path: derived_seed("judge", seed, _subject(path)))
    count = max(1, round(fraction * len(files)))
    return sorted(ranked[count:]), sorted(ranked[:count])


def _subject(path: Path) -> str:
    return SubjectDataset(path).subject


def _read(files: Sequence[Path], image_px: int) -> GazeBatch:
    batches = [SubjectDataset(path).everything for path in files]
    for path, batch in zip(files, batches, strict=True):
        if batch.camera.size_px != (image_px, image_px):
            raise BadInput(f"{path}: images of {batch.camera.size_px} px, the judge expects {image_px} px square")
    return _concatenate(batches)


def _concatenate(records: Sequence[Any]) -> Any:
    """One record with the batches of all; what is not a tensor is the first's."""
    values = {field.name: [getattr(record, field.name) for record in records] for field in fields(records[0])}
    joined = {name: torch.cat(parts) for name, parts in values.items() if isinstance(parts[0], Tensor)}
    joined |= {name: _concatenate(parts) for name, parts in values.items() if is_dataclass(parts[0])}
    return replace(records[0], **joined)


def loss_terms(model: nn.Module, batch: GazeBatch, config: EstimatorConfig) -> dict[str, Tensor]:
    """The weighted terms on an augmented, half mirrored batch, each under its own name."""
    rgb, points_px = augment(batch, config.augmentation)
    flip = torch.rand(len(batch), device=rgb.device) < 0.5
    size_px = rgb.shape[-1]
    rgb = torch.where(flip[:, None, None, None], rgb.flip(-1), rgb)
    mirrored = points_px[:, list(MIRRORED_POINTS)] * points_px.new_tensor([-1, 1]) + points_px.new_tensor([size_px, 0])
    points_px = torch.where(flip[:, None, None], mirrored, points_px)
    sign = torch.where(flip[:, None], rgb.new_tensor([1.0, -1.0]), rgb.new_tensor([1.0, 1.0]))
    output: GazeNetOutput = model(rgb)
    weights = config.loss_weights
    return {
        "gaze_l1": weights.gaze_l1 * functional.l1_loss(output.gaze_camera, batch.gaze_camera * sign),
        "head_l1": weights.head_l1 * functional.l1_loss(output.head_pitchyaw, head_pitchyaw(batch) * sign),
        "points_l1": weights.points_l1 * functional.l1_loss(output.points_px, points_px) / size_px,
    }


def augment(
    batch: GazeBatch, config: Augmentation
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b k 2"]]:
    """Images on white after a change of colour, place and sharpness, and where `POINTS` are then, in pixels."""
    count, size_px = len(batch), batch.rgb.shape[-1]

    def uniform(limit: float, *shape: int) -> Tensor:
        return (torch.rand(count, *shape, device=batch.rgb.device) * 2 - 1) * limit

    color = batch.rgb.clamp_min(1e-4) ** uniform(config.gamma, 1, 1, 1).exp()
    color = color * (1 + uniform(config.gain, 1, 1, 1)) * (1 + uniform(config.gain / 2, 3, 1, 1))
    rgb = (color * batch.head_mask + 1 - batch.head_mask).clamp(0, 1)
    scale, shift_px = 1 + uniform(config.scale, 1), uniform(config.shift_px, 2)
    # grid_sample pulls: the content at `source` appears at `place`, with source = (place - shift) / scale from the centre.
    inverse = torch.cat(
        [torch.eye(2, device=rgb.device) / scale[..., None], -(shift_px * 2 / size_px / scale)[..., None]], dim=-1
    )
    grid = functional.affine_grid(inverse, list(rgb.shape), align_corners=False)
    rgb = 1 + functional.grid_sample(rgb - 1, grid, align_corners=False)  # white outside
    points_px = (batch.landmarks_2d_px[:, list(POINTS)] - size_px / 2) * scale[..., None] + shift_px[:, None] + size_px / 2
    soft = (torch.rand(count, device=rgb.device) < config.soft_fraction)[:, None, None, None]
    rgb = torch.where(soft, _softened(rgb, config), rgb)
    noise = torch.randn_like(rgb) * (uniform(config.noise, 1, 1, 1)).abs()
    return (rgb + noise).clamp(0, 1), points_px


def _softened(rgb: Float[Tensor, "b 3 h w"], config: Augmentation) -> Float[Tensor, "b 3 h w"]:
    """Blurred, and shrunk and enlarged, each by an amount that is the same for the batch."""
    amount, relative = torch.rand(2).tolist()
    sigma_px = 0.2 + amount * config.blur_px
    offsets = torch.arange(-4, 5, device=rgb.device, dtype=rgb.dtype)
    line = torch.exp(-(offsets**2) / (2 * sigma_px**2))
    line = (line / line.sum()).expand(3, 1, 1, -1)
    padded = functional.pad(rgb, (4, 4, 4, 4), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(padded, line, groups=3), line.transpose(2, 3), groups=3)
    small = config.smallest_size + (1 - config.smallest_size) * relative
    shrunk = functional.interpolate(rgb, scale_factor=small, mode="bilinear", antialias=True)
    enlarged = functional.interpolate(shrunk, size=rgb.shape[-2:], mode="bilinear")
    return torch.where(torch.rand(len(rgb), 1, 1, 1, device=rgb.device) < 0.5, blurred, enlarged)


def gaze_error_deg(model: nn.Module, batch: GazeBatch) -> float:
    """Mean angular error of the network on images as recorded, in degrees. Lower is better."""
    with torch.no_grad():
        readings = [model(batch[slice(i, i + 64)].rgb_on_white).gaze_camera for i in range(0, len(batch), 64)]
    return float(angular_error_deg(torch.cat(readings), batch.gaze_camera).mean())
