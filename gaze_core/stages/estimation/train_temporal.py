"""Stage: trains the temporal head on the features of a frozen single-frame model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import TensorRecord
from gaze_core.estimation.checkpoints import TEMPORAL, card_of, save_estimation
from gaze_core.estimation.features import FeatureIndex, Role, windows
from gaze_core.estimation.table import FrameTable
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

NAME, VERSION, TRAINS = TEMPORAL, 2, True
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
        read_batches=lambda order: (training.batch(items) for items in order),
        loss_terms=lambda head, batch, step: _loss_terms(head, batch, step, config),
        validation=Validation(validation.in_order, _measure),
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


@dataclass(frozen=True, eq=False)
class _Clips:
    """Clips of a role: the frames of all recordings once, and the frames of each clip."""

    token: Float[Tensor, "n d"]  # in half precision
    gaze_rad: Float[Tensor, "n 2"]
    target_rad: Float[Tensor, "n 2"]
    starts: Bool[Tensor, " n"]
    chosen: Int[Tensor, "c t"]

    def __len__(self) -> int:
        return len(self.chosen)

    def batch(self, items: Sequence[int]) -> ClipBatch:
        """These clips; each begins without memory."""
        at = self.chosen[list(items)]
        starts = self.starts[at]
        starts[:, 0] = True
        target = self.target_rad[at]
        frames = FrameSequence(self.token[at].float(), self.gaze_rad[at], starts)
        return ClipBatch(frames, target, target.isfinite().all(-1), torch.tensor(list(items)))

    def in_order(self) -> Iterator[ClipBatch]:
        """All clips in order."""
        ends = [*range(_VALIDATION_BATCH, len(self), _VALIDATION_BATCH), len(self)]
        return (self.batch(range(low, high)) for low, high in zip([0, *ends], ends, strict=False))


def _clips(inputs: Inputs, index: FeatureIndex, role: Role, length: int, hop: int) -> _Clips:
    """All clips of a role; none holds frames of two recordings."""
    table = FrameTable.read(inputs["data"], inputs["features"], index, role)
    first = np.flatnonzero(np.diff(table.owners, prepend=-1))
    ends = [*first[1:], len(table)]
    chosen = [low + windows(table.starts[low:high], length, hop) for low, high in zip(first, ends, strict=True)]
    return _Clips(
        token=torch.from_numpy(table.token).half(),
        gaze_rad=torch.from_numpy(table.single_rad).float(),
        target_rad=torch.from_numpy(table.truth_rad).float(),
        starts=torch.from_numpy(table.starts),
        chosen=torch.from_numpy(np.concatenate(chosen)),
    )


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
