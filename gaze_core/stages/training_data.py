"""What the training stages share: the frames they may see, the card of a checkpoint, and training to an artifact."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gaze_core.artifacts import Produced
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.data.schema import SCHEMA_VERSION
from gaze_core.data.splits import SPLITS_FILE, Splits, read_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset
from gaze_core.stages.context import StageContext
from gaze_core.training.checkpoint import WEIGHTS_FILE, save_weights
from gaze_core.training.history import STATS_FILE
from gaze_core.training.loop import FitConfig, Task, fit


@dataclass(frozen=True)
class TrainingData:
    """Training and validation frames of one subject, in memory, and where they come from."""

    splits: Splits
    train: GazeBatch
    validation: GazeBatch
    image_px: int
    normalization: dict[str, Any]

    def card(self, stage: str, version: int, config: Config) -> dict[str, Any]:
        """What a checkpoint must say of itself, so that it can be used and its lineage checked without a name."""
        return {
            "stage": stage,
            "stage_version": version,
            "config": config.model_dump(mode="json"),
            "schema_version": SCHEMA_VERSION,
            "normalization": self.normalization,
            "image_px": self.image_px,
            "trained_on": {self.splits.subject: sorted(self.splits.seen)},
        }


def read_training_data(dataset_dir: Path) -> TrainingData:
    """Reads what the preprocess stage wrote, without the test frames."""
    splits = read_splits(dataset_dir / SPLITS_FILE)
    subject_file = dataset_dir / SUBJECT_FILE
    train, validation = (
        SubjectDataset(subject_file, subset=list(indices)) for indices in (splits.train, splits.validation)
    )
    return TrainingData(splits, train.everything, validation.everything, train.size_px[0], train.normalization)


def train(
    task: Task,
    config: FitConfig,
    data: TrainingData,
    card: Mapping[str, Any],
    context: StageContext,
    result: nn.Module | None = None,
) -> Produced:
    """Optimises, going on from an interrupted run, and packs the weights with their card and the history.

    `result` is the part of the task's model that is kept, if not all of it.
    """
    summary = fit(task, config, context.runtime, context.work_dir, context.log, context.progress)
    weights = context.work_dir / WEIGHTS_FILE
    save_weights(weights, result or task.model, card)
    return Produced(
        kind="checkpoint",
        files={WEIGHTS_FILE: weights, STATS_FILE: context.work_dir / STATS_FILE},
        metrics=summary.metrics(),
        normalization=data.normalization,
        subjects={"train": (data.splits.subject,)},
    )
