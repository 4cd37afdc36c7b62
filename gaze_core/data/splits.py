"""Train, validation and test frames of a subject file: seeded, disjoint, written to disk, never made up on reading."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from pydantic import ValidationError, model_validator

from gaze_core.config import Config
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.reproducibility import generator

SPLITS_FILE = "splits.json"


class Splits(Config):
    """Frame indices of one subject file. `test` is only ever evaluated."""

    subject: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        everything = [*self.train, *self.validation, *self.test]
        if len(everything) != len(set(everything)):
            raise ValueError(f"subject {self.subject}: a frame stands in more than one split")
        return self

    @property
    def seen(self) -> set[int]:
        """Frames that training may look at."""
        return {*self.train, *self.validation}


def split_with_held_out(
    subject: str, development: Sequence[int], test: Sequence[int], validation_fraction: float, seed: int
) -> Splits:
    """The given test frames; of the others a seeded random share is for validation."""
    order = torch.randperm(len(development), generator=generator("split", subject, seed)).tolist()
    shuffled = [development[i] for i in order]
    count = max(1, round(validation_fraction * len(shuffled)))
    return Splits(
        subject=subject,
        train=tuple(sorted(shuffled[count:])),
        validation=tuple(sorted(shuffled[:count])),
        test=tuple(test),
    )


def split_video(subject: str, frames: Sequence[int], validation_fraction: float, test_fraction: float) -> Splits:
    """Contiguous blocks in time order, since neighbouring frames of one video are near copies of each other.

    Raises:
        BadInput: too few frames for three blocks.
    """
    num_test, num_validation = (max(1, round(f * len(frames))) for f in (test_fraction, validation_fraction))
    num_train = len(frames) - num_test - num_validation
    if num_train < 2:
        raise BadInput(
            f"{subject}: {len(frames)} usable frames are too few to train, validate and test; give a longer "
            "recording or a smaller every_nth"
        )
    return Splits(
        subject=subject,
        train=tuple(frames[:num_train]),
        validation=tuple(frames[num_train : num_train + num_validation]),
        test=tuple(frames[num_train + num_validation :]),
    )


def read_splits(path: Path) -> Splits:
    """The splits that preprocess wrote.

    Raises:
        ContractViolation: the file is missing or not of this form.
    """
    try:
        return Splits.model_validate_json(path.read_text())
    except (OSError, ValidationError) as error:
        raise ContractViolation(f"{path}: not a splits file; run the preprocess stage ({error})") from error
