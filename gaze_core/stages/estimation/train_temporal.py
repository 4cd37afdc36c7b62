"""Stage: trains the temporal head on the features of a frozen single-frame model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import TensorRecord
from gaze_core.errors import ContractViolation
from gaze_core.estimation.checkpoints import TEMPORAL, card_of, save_estimation
from gaze_core.estimation.features import FeatureIndex, Role, read_features, windows
from gaze_core.estimation.recordings import Recording, read_index
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.models.estimation.temporal import FrameSequence, TemporalConfig, TemporalHead
from gaze_core.reproducibility import generator, seed_everything
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.estimation.train_single import KEPT, gaze_terms
from gaze_core.training.checkpoint import step_files
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import (
    FitConfig,
    LossTerms,
    OptimizerConfig,
    SelectionConfig,
    Task,
    Validation,
    fit,
)

NAME, VERSION, TRAINS = TEMPORAL, 1, True
_VALIDATION_BATCH = 256


class TrainTemporalConfig(Config):
    """How the head is trained. `drop_frames` of each clip are left out at random, as a camera loses them.

    `noise_deg` shakes the gaze of single frames: on the people whom the single-frame model has trained on it is steadier
    than on others.
    """

    hidden: PositiveInt = 128
    length: PositiveInt = 16
    hop: PositiveInt = 4  # frames between the starts of two clips
    drop_frames: NonNegativeInt = 2
    noise_deg: NonNegativeFloat = 0.0
    square_weight: float = Field(0.1, ge=0)
    fit: FitConfig = FitConfig(
        num_epochs=30,
        batch_size=64,
        optimizer=OptimizerConfig(name="adamw", weight_decay=1e-4),
        learning_rate=1e-3,
        final_learning_rate_ratio=1e-2,
        warmup_epochs=1,
        validate_every_epoch=True,
        validations_per_epoch=2,
        selection=SelectionConfig(keep=3),
        patience=10,
    )


@dataclass(frozen=True, eq=False)
class ClipBatch(TensorRecord):
    """B clips with their labels; `sample_index` is a position among the clips."""

    frames: FrameSequence
    target_rad: Float[Tensor, "b t 2"]
    valid: Bool[Tensor, "b t"]
    sample_index: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.sample_index)


def run(config: TrainTemporalConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on `inputs["features"]` of the recordings in `inputs["data"]`.

    Raises:
        ContractViolation: the features are of other recordings.
    """
    index = FeatureIndex.read(inputs["features"])
    extra = config.length + config.drop_frames
    training = _clips(inputs, index, "train", extra, config.hop)
    validation = _clips(inputs, index, "validation", config.length, config.length)
    seed_everything("estimation temporal", config.fit.seed)
    network = TemporalConfig(
        token_width=index.token_width, hidden=config.hidden, length=config.length, rate_hz=index.rate_hz
    )
    model = TemporalHead(network)
    task = Task(
        model=model,
        parameter_groups=[{"params": list(model.parameters())}],
        num_samples=len(training),
        read_batches=lambda order: _batches(training, order),
        loss_terms=lambda head, batch, step: _loss_terms(head, batch, step, config),
        validation=Validation(lambda: _in_order(validation), _measure),
    )
    summary = fit(task, config.fit, context.runtime, context.work_dir, context.log, context.progress, context.logger)
    card = card_of(NAME, VERSION, config, network, index.trained_on)
    weights = save_estimation(context.work_dir, model, card)
    best = {f"{KEPT}/{name}": path for name, path in step_files(context.work_dir).items()}
    return Produced(
        kind="checkpoint",
        files={weights.name: weights, STATS_FILE: context.work_dir / STATS_FILE} | best,
        metrics=summary.metrics() | {"num_train_clips": float(len(training))},
        subjects=index.trained_on,
    )


def _clips(inputs: Inputs, index: FeatureIndex, role: Role, length: int, hop: int) -> ClipBatch:
    """All clips of a role, in memory."""
    folder: Path = inputs["data"]
    names = {entry.info.name: entry.file for entry in read_index(folder).recordings}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("token", "gaze", "starts", "target")}
    for entry, features in zip(index.of(role), read_features(inputs["features"], index.of(role)), strict=True):
        if entry.info.name not in names:
            raise ContractViolation(
                f"{entry.info.name}: its features are there, but not its recording; compute them anew"
            )
        target = Recording(folder / names[entry.info.name])["gaze_rad"][features.frames]
        chosen = windows(features.starts, length, hop)
        starts = features.starts[chosen]
        starts[:, 0] = True
        for name, values in zip(parts, (features.token[chosen], features.gaze_rad[chosen], starts, target[chosen]),
                                strict=True):  # fmt: skip
            parts[name].append(values)
    token, gaze, starts, target = (torch.from_numpy(np.concatenate(values)) for values in parts.values())
    frames = FrameSequence(token.float(), gaze.float(), starts)
    return ClipBatch(frames, target.float(), target.isfinite().all(-1), torch.arange(len(token)))


def _batches(clips: ClipBatch, order: Iterable[list[int]]) -> Iterator[ClipBatch]:
    return (clips[items] for items in order)


def _in_order(clips: ClipBatch) -> Iterator[ClipBatch]:
    return (clips[slice(at, at + _VALIDATION_BATCH)] for at in range(0, len(clips), _VALIDATION_BATCH))


def _loss_terms(head: nn.Module, batch: ClipBatch, step: int, config: TrainTemporalConfig) -> LossTerms:
    batch = _changed(batch, step, config)
    return gaze_terms(head(batch.frames), batch.target_rad, batch.valid, config.square_weight)


def _measure(head: nn.Module, batch: ClipBatch) -> dict[str, Tensor]:
    """The error of all frames, and that of the single-frame model beside it."""
    names = {"gaze_error_deg": head(batch.frames), "single_frame_error_deg": batch.frames.gaze_rad}
    return {
        name: angular_error_deg(gaze, batch.target_rad)[batch.valid].mean() for name, gaze in names.items()
    }  # fmt: skip


def _changed(batch: ClipBatch, step: int, config: TrainTemporalConfig) -> ClipBatch:
    """Clips without some random frames, and with shaken gaze. Each clip has its own random numbers, on any process."""
    count, length = batch.valid.shape
    kept, noise = [], []
    for sample in batch.sample_index.tolist():
        random = generator("clip", config.fit.seed, step, sample)
        kept.append(torch.randperm(length, generator=random)[: length - config.drop_frames].sort().values)
        noise.append(torch.randn(len(kept[-1]), 2, generator=random))
    chosen = torch.stack(kept).to(batch.valid.device)
    rows = torch.arange(count, device=chosen.device)[:, None]
    run = batch.frames.starts.cumsum(1)[rows, chosen]  # number of the run that each kept frame belongs to
    starts = torch.ones_like(run, dtype=torch.bool)
    starts[:, 1:] = run[:, 1:] != run[:, :-1]
    shaken = torch.stack(noise).to(chosen.device) * float(np.deg2rad(config.noise_deg))
    frames = FrameSequence(batch.frames.token[rows, chosen], batch.frames.gaze_rad[rows, chosen] + shaken, starts)
    return ClipBatch(frames, batch.target_rad[rows, chosen], batch.valid[rows, chosen], batch.sample_index)
