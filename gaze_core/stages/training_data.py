"""The frames a training stage may see, as tensors, and the card that its checkpoint carries."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch
from gaze_core.data.schema import SCHEMA_VERSION
from gaze_core.data.splits import SPLITS_FILE, Splits, read_splits
from gaze_core.data.subjects import SUBJECT_FILE, SubjectDataset


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
