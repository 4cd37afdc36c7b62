"""Stage: trains the single-frame model on converted recordings; the validation participants choose the weights."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.estimation.augmentation import EyeFaceAugmentation, augmented
from gaze_core.estimation.checkpoints import SINGLE, card_of, save_estimation
from gaze_core.estimation.frames import FrameBatch, FrameSet, open_recordings, valid_frames
from gaze_core.estimation.pictures import gaze_pictures, write_picture
from gaze_core.estimation.recordings import read_index
from gaze_core.estimation.roles import Roles, roles_of
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.losses.angular import masked_angular_rad, masked_square_rad2
from gaze_core.models.estimation.gazetr import GazeTR, GazeTRConfig, GazeTROutput
from gaze_core.reproducibility import seed_everything
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.training.checkpoint import step_files
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import (
    FitConfig,
    LossTerms,
    OptimizerConfig,
    SelectionConfig,
    Task,
    Term,
    Validation,
    fit,
)

NAME, VERSION, TRAINS = SINGLE, 1, True
PICTURES, KEPT = (
    "pictures",
    "best",
)  # folders of the artifact: predictions of each epoch, weights of the best validations
_VALIDATION_BATCH, _NUM_SHOWN = 64, 8
PUBLISHED_FIT = FitConfig(
    num_epochs=30,
    batch_size=64,
    optimizer=OptimizerConfig(name="adamw", weight_decay=1e-4),
    learning_rate=1e-4,
    final_learning_rate_ratio=1e-3,
    warmup_epochs=2,
    validate_every_epoch=True,
    validations_per_epoch=2,
    selection=SelectionConfig(keep=3),
    patience=10,
    keep_every_epochs=1,
)


class TrainSingleConfig(Config):
    """What is trained, on which frames, and how long. An epoch's pictures are drawn every `fit.keep_every_epochs`."""

    network: GazeTRConfig = GazeTRConfig()
    cameras: tuple[str, ...] = ()  # all, if none is named
    frame_stride: PositiveInt = 1  # every so manieth valid frame of a recording is used
    max_train_frames: PositiveInt | None = None
    max_validation_frames: PositiveInt | None = 10_000
    square_weight: NonNegativeFloat = 0.1  # of the mean square error beside the angle
    changes: EyeFaceAugmentation = EyeFaceAugmentation()
    fit: FitConfig = PUBLISHED_FIT


def run(config: TrainSingleConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Trains on the recordings in `inputs["data"]`.

    Raises:
        BadInput: no participants are left for a role, the files differ in size, or pretrained weights are missing.
    """
    roles = roles_of(read_index(inputs["data"]), config.cameras)
    training, validation = frame_sets(inputs["data"], roles, config)
    seed_everything("estimation single", config.fit.seed)
    model = GazeTR(config.network)
    model.load_pretrained()
    task = single_task(model, training, validation, config, context)
    summary = fit(task, config.fit, context.runtime, context.work_dir, context.log, context.progress, context.logger)
    people = {role: roles.participants(role) for role in ("train", "validation")}
    card = card_of(NAME, VERSION, config, config.network, people)
    weights = save_estimation(context.work_dir, model, card)
    pictures = {f"{PICTURES}/{path.name}": path for path in sorted((context.work_dir / PICTURES).glob("*.png"))}
    best = {f"{KEPT}/{name}": path for name, path in step_files(context.work_dir).items()}
    return Produced(
        kind="checkpoint",
        files={weights.name: weights, STATS_FILE: context.work_dir / STATS_FILE} | pictures | best,
        metrics=summary.metrics()
        | {"num_train": float(len(training)), "num_validation": float(len(validation))}
        | {"num_parameters": float(sum(parameter.numel() for parameter in model.parameters()))},
        notes=roles.notes,
        subjects=people,
    )


def frame_sets(folder: Path, roles: Roles, config: TrainSingleConfig) -> tuple[FrameSet, FrameSet]:
    """The frames that train and those that choose the weights."""
    sets = []
    for entries, at_most in ((roles.train, config.max_train_frames), (roles.validation, config.max_validation_frames)):
        recordings = open_recordings(folder, entries)
        sets.append(FrameSet(recordings, valid_frames(recordings, config.frame_stride, at_most)))
    return sets[0], sets[1]


def single_task(
    model: GazeTR, training: FrameSet, validation: FrameSet, config: TrainSingleConfig, context: StageContext
) -> Task[FrameBatch]:
    """The task of `fit`."""
    workers = context.runtime.num_workers

    def read_batches(order: Iterable[list[int]]) -> Iterator[FrameBatch]:
        return training.batches(order, workers)

    def loss_terms(network: nn.Module, batch: FrameBatch, step: int) -> LossTerms:
        images, gaze = augmented(
            batch.images, batch.gaze_rad, batch.sample_index, step, config.fit.seed, config.changes
        )
        out: GazeTROutput = network(images)
        return gaze_terms(out.gaze_rad, gaze, batch.valid, config.square_weight)

    return Task(
        model=model,
        parameter_groups=[{"params": list(model.parameters())}],
        num_samples=len(training),
        read_batches=read_batches,
        loss_terms=loss_terms,
        validation=Validation(lambda: validation.in_order(_VALIDATION_BATCH, workers), _measure),
        save_epoch=partial(_draw_epoch, model, validation, context.work_dir),
    )


def gaze_terms(predicted: Tensor, target: Tensor, valid: Tensor, square_weight: float) -> LossTerms:
    """The angle between prediction and target, and a share of the mean square error; only of valid samples."""
    terms = {"angle_rad": Term(masked_angular_rad(predicted, target, valid))}
    if square_weight:
        terms["square_rad2"] = Term(masked_square_rad2(predicted, target, valid), square_weight)
    return terms


def _measure(network: nn.Module, batch: FrameBatch) -> dict[str, Tensor]:
    out: GazeTROutput = network(batch.images)
    return {"gaze_error_deg": angular_error_deg(out.gaze_rad, batch.gaze_rad).mean()}


def _draw_epoch(model: GazeTR, validation: FrameSet, work_dir: Path, weights: Path) -> None:
    """Draws the predictions of some validation frames, where `fit` would save the weights of an epoch."""
    chosen: Any = evenly_spaced(len(validation), min(_NUM_SHOWN, len(validation)))
    batch = validation[chosen]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        predicted = model(batch.to(model.mean.device).images).gaze_rad.float().cpu().numpy()
    model.train(was_training)
    picture = gaze_pictures(batch.face.numpy(), predicted.astype(np.float64), batch.gaze_rad.numpy())
    write_picture(work_dir / PICTURES / f"predictions_{weights.stem}.png", picture)
