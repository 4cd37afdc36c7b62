"""Train, validation and test splits of frames or subjects: seeded and disjoint.

A splits file holds its digest, so that a file edited by hand is refused.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from gaze_core.config import Config
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.reproducibility import generator

SPLITS_FILE = "splits.json"
Role = Literal["train", "validation", "test"]


class Splits(Config):
    """Frame indices of one subject file. `test` is for evaluation only."""

    subject: str
    file: str = Field(SUBJECT_FILE, pattern=r"^[^/]+\.h5$")  # beside the splits file
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
        """Frames used by training: train and validation."""
        return {*self.train, *self.validation}

    @property
    def is_in_one_split(self) -> bool:
        """Whether all frames of the subject are in one split, as in a split by subject."""
        return sum(1 for part in (self.train, self.validation, self.test) if part) == 1


class DatasetSplits(Config):
    """The splits of all subject files of a dataset, of one person or of several."""

    subjects: tuple[Splits, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _different(self) -> Self:
        for name in ("subject", "file"):
            values = [getattr(splits, name) for splits in self.subjects]
            if len(values) != len(set(values)):
                raise ValueError(f"two subject files have the same {name}: {', '.join(sorted(values))}")
        return self

    def names(self, role: Role) -> tuple[str, ...]:
        """The subjects that have frames in this split, in order."""
        return tuple(splits.subject for splits in self.subjects if getattr(splits, role))


class SubjectSplits(Config):
    """Subjects of one source; names are unique within `source` only."""

    source: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        everything = [*self.train, *self.validation, *self.test]
        if len(everything) != len(set(everything)):
            raise ValueError(f"source {self.source}: a subject stands in more than one split")
        return self


def split_subjects(
    source: str, development: Iterable[str], test: Iterable[str] = (), validation_fraction: float = 0.1, seed: int = 0
) -> SubjectSplits:
    """The given test subjects; of the others (a release's `train/`) a seeded random share is for validation.

    The result does not depend on the order of the subjects. With `validation_fraction` 0 there is no validation
    subject, otherwise at least one.

    Raises:
        BadInput: the same subject is for development and for the test, or none is left to train on.
    """
    names, held_out = sorted(set(development)), sorted(set(test))
    if both := sorted(set(names) & set(held_out)):
        raise BadInput(
            f"{source}: {', '.join(both)}: in both the development and the test set; expected different people"
        )
    order = torch.randperm(len(names), generator=generator("split subjects", source, seed)).tolist()
    count = max(1, round(validation_fraction * len(names))) if validation_fraction > 0 else 0
    if count >= len(names):
        raise BadInput(
            f"{source}: {len(names)} development subjects leave none for training when {count} are for validation; "
            "give more subjects or a smaller validation_fraction"
        )
    validation = {names[i] for i in order[:count]}
    return SubjectSplits(
        source=source,
        train=tuple(name for name in names if name not in validation),
        validation=tuple(sorted(validation)),
        test=tuple(held_out),
    )


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


def split_video(
    subject: str, frames: Sequence[int], numbers: Sequence[int], gap: float, validation_fraction: float,
    test_fraction: float,
) -> Splits:  # fmt: skip
    """Contiguous blocks in time order, since neighbouring frames of one video are near copies of each other.

    `numbers` are the frame numbers in the recording. Before the validation and the test block there is a gap of at least
    `gap` frame numbers whose frames are in no split; they are taken from training.

    Raises:
        BadInput: too few frames for three blocks.
    """
    num_test, num_validation = (max(1, round(f * len(frames))) for f in (test_fraction, validation_fraction))
    test = len(frames) - num_test
    end = _before(numbers, test, gap)
    validation = max(0, end - num_validation)
    num_train = _before(numbers, validation, gap)
    if num_train < 2:
        raise BadInput(
            f"{subject}: {len(frames)} usable frames are too few to train, validate and test; give a longer "
            "recording or a smaller every_nth"
        )
    return Splits(
        subject=subject,
        train=tuple(frames[:num_train]),
        validation=tuple(frames[validation:end]),
        test=tuple(frames[test:]),
    )


def _before(numbers: Sequence[int], position: int, gap: float) -> int:
    """Number of leading frames that precede the one at `position` by more than the gap."""
    if position >= len(numbers):
        return max(0, position)
    return sum(number + gap < numbers[position] for number in numbers[:position])


def write_splits(path: Path, splits: DatasetSplits) -> None:
    """Writes splits as JSON with their digest."""
    path.write_text(json.dumps({**splits.model_dump(mode="json"), "digest": splits.digest()}, indent=1) + "\n")


def read_splits(path: Path) -> DatasetSplits:
    """The splits that preprocess wrote.

    Raises:
        ContractViolation: the file is missing, malformed, or was changed after it was written.
    """
    try:
        content = json.loads(path.read_text())
        digest = content.pop("digest", None) if isinstance(content, dict) else None
        splits = DatasetSplits.model_validate_json(json.dumps(content))
    except (OSError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise ContractViolation(f"{path}: not a splits file; run the preprocess stage ({error})") from error
    if digest is not None and digest != splits.digest():  # files of version 1 of preprocess have none
        raise ContractViolation(f"{path}: changed since it was written (digest {digest}); run the preprocess stage")
    return splits
