"""Shared by the training stages: training and validation frames, the card of a checkpoint, training to an artifact."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config, Runtime
from gaze_core.data.batch import GazeBatch, concatenate
from gaze_core.data.loading import SubjectLoader, require_compatible, subject_loader
from gaze_core.data.schema import SCHEMA_VERSION
from gaze_core.data.seen import Seen, seen_in_training
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, read_splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import StageContext
from gaze_core.training.checkpoint import WEIGHTS_FILE, epoch_file, save_weights
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig, Task, Validation, fit
from gaze_core.training.processes import is_main_process

_MAX_VALIDATION_FRAMES, _VALIDATION_BATCH = 64, 8


@dataclass(frozen=True)
class TrainingData:
    """Training frames of one or several subjects, validation frames in memory, and their origin.

    The loader's `subject_index` numbers the subjects that have training frames.
    """

    splits: DatasetSplits
    seen: Seen
    train: SubjectLoader[GazeBatch]
    held_out: GazeBatch  # validation frames: all, or evenly spaced ones if there are many
    image_px: int
    normalization: dict[str, Any]
    label_sources: frozenset[str]

    def identity_codes(self) -> Tensor:
        """The mean identity code of each training person, (people, 80)."""
        codes, subjects = self.label("identity_code"), self.train.frames[0]
        return torch.stack([codes[subjects == n].mean(dim=0) for n in range(len(self.train.datasets))])

    def label(self, name: str) -> Tensor:
        """A label of all training frames, by its name in `GazeBatch`."""
        return torch.from_numpy(self.train.labels[name])

    def batches(self, order: Iterable[list[int]]) -> Iterator[GazeBatch]:
        """Batches of the training frames with these indices."""
        return self.train.batches(order)

    def validation(self, measure: Callable[[nn.Module, GazeBatch], Mapping[str, Tensor]]) -> Validation[GazeBatch]:
        """Validation by `measure` on the validation frames, in small batches."""
        starts = range(0, len(self.held_out), _VALIDATION_BATCH)
        return Validation(lambda: (self.held_out[start : start + _VALIDATION_BATCH] for start in starts), measure)

    def card(self, stage: str, version: int, config: Config) -> dict[str, Any]:
        """The card of a checkpoint: what is needed to load it and to check its lineage."""
        return {
            "stage": stage,
            "stage_version": version,
            "config": config.model_dump(mode="json"),
            "schema_version": SCHEMA_VERSION,
            "normalization": self.normalization,
            "image_px": self.image_px,
            "seen": self.seen.model_dump(mode="json"),
        }


def read_training_data(dataset_dir: Path, batch_size: int, runtime: Runtime) -> TrainingData:
    """Reads the training and validation frames that the preprocess stage wrote.

    Raises:
        BadInput: subjects of different image size or normalisation.
    """
    splits = read_splits(dataset_dir / SPLITS_FILE)
    files = [(dataset_dir / one.file, one) for one in splits.subjects]
    training = [SubjectDataset(path, subset=one.train) for path, one in files if one.train]
    loader = subject_loader(training, batch_size, runtime.num_workers)
    held_out = [SubjectDataset(path, subset=one.validation) for path, one in files if one.validation]
    if not held_out:
        raise BadInput("the data has no frame for validation; expected some in splits.json; run preprocess again")
    require_compatible([*training, *held_out])
    share = max(1, _MAX_VALIDATION_FRAMES // len(held_out))
    validation = concatenate([dataset.batch(evenly_spaced(len(dataset), share)) for dataset in held_out])
    seen, sources = seen_in_training(files), frozenset(dataset.label_source for dataset in training)
    return TrainingData(splits, seen, loader, validation, training[0].size_px[0], training[0].normalization, sources)


def train(
    task: Task[GazeBatch],
    config: FitConfig,
    data: TrainingData,
    card: Mapping[str, Any],
    context: StageContext,
    result: nn.Module | None = None,
) -> Produced:
    """Optimises, or resumes an interrupted run; returns the weights with their card, and the history.

    `result` is the part of the task's model whose weights are saved, if not all of it.
    """
    saved = result or task.model
    task = replace(task, save_epoch=lambda path: save_weights(path, saved, card))
    summary = fit(task, config, context.runtime, context.work_dir, context.log, context.progress, context.logger)
    weights = context.work_dir / WEIGHTS_FILE
    if is_main_process():
        save_weights(weights, saved, card)
    epochs = sorted(context.work_dir.glob(epoch_file(0).replace("000", "*")))
    return Produced(
        kind="checkpoint",
        files={path.name: path for path in (weights, context.work_dir / STATS_FILE, *epochs)},
        metrics=summary.metrics(),
        normalization=data.normalization,
        subjects={role: data.splits.names(role) for role in ("train", "validation") if data.splits.names(role)},
    )
