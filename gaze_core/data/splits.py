"""Train, validation and test frames of a subject, or subjects of a source: seeded, disjoint, never made up on reading.

On disk a division stands with its digest, so that a file that was changed by hand is refused.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self, TypeVar

import torch
from pydantic import Field, model_validator

from gaze_core.config import Config
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.reproducibility import generator

SPLITS_FILE = "splits.json"


class Splits(Config):
    """Frame indices of one subject file. `test` is only ever evaluated."""

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
        """Frames that training may look at."""
        return {*self.train, *self.validation}


class DatasetSplits(Config):
    """The divisions of all subject files of a dataset; one person's, or those of several who are learned together."""

    subjects: tuple[Splits, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _different(self) -> Self:
        for name in ("subject", "file"):
            values = [getattr(splits, name) for splits in self.subjects]
            if len(values) != len(set(values)):
                raise ValueError(f"two subject files have the same {name}: {', '.join(sorted(values))}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The subjects, in order."""
        return tuple(splits.subject for splits in self.subjects)

    @property
    def seen(self) -> dict[str, list[int]]:
        """The frames of each subject that training may look at."""
        return {splits.subject: sorted(splits.seen) for splits in self.subjects}


class SubjectSplits(Config):
    """Subjects of one source. Names are unique within `source` only; `seen` and `unseen` qualify them with it."""

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

    @property
    def seen(self) -> set[str]:
        """`source/subject` of those that training may look at."""
        return {f"{self.source}/{subject}" for subject in (*self.train, *self.validation)}

    @property
    def unseen(self) -> set[str]:
        """`source/subject` of those that are only ever evaluated."""
        return {f"{self.source}/{subject}" for subject in self.test}


def split_subjects(
    source: str, development: Iterable[str], test: Iterable[str] = (), validation_fraction: float = 0.1, seed: int = 0
) -> SubjectSplits:
    """The given test subjects; of the others (a release's `train/`) a seeded random share is for validation.

    The result does not depend on the order in which the subjects are given. With `validation_fraction` 0 nobody is
    kept for validation, otherwise at least one.

    Raises:
        BadInput: the same subject is for development and for the test, or none is left to train on.
    """
    names, held_out = sorted(set(development)), sorted(set(test))
    require_disjoint(names, held_out)
    order = torch.randperm(len(names), generator=generator("split subjects", source, seed)).tolist()
    count = max(1, round(validation_fraction * len(names))) if validation_fraction > 0 else 0
    if count >= len(names):
        raise BadInput(
            f"{source}: {len(names)} subjects to develop on, of which {count} are for validation, leave none to train "
            "on; give more subjects or a smaller validation_fraction"
        )
    validation = {names[i] for i in order[:count]}
    return SubjectSplits(
        source=source,
        train=tuple(name for name in names if name not in validation),
        validation=tuple(sorted(validation)),
        test=tuple(held_out),
    )


def require_disjoint(trained_on: Iterable[str], evaluated_on: Iterable[str]) -> None:
    """Refuses an evaluation on subjects that training saw. Qualify names with their source where there are several.

    Raises:
        BadInput: names the subjects that stand on both sides.
    """
    both = sorted(set(trained_on) & set(evaluated_on))
    if both:
        raise BadInput(
            f"subjects both trained and evaluated on: {', '.join(both)}; expected none, since numbers on seen "
            "subjects say nothing about others; evaluate on other subjects or train again without these"
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


_AnySplits = TypeVar("_AnySplits", DatasetSplits, SubjectSplits)


def write_splits(path: Path, splits: DatasetSplits | SubjectSplits) -> None:
    """Writes a division as JSON with its digest."""
    path.write_text(json.dumps({**splits.model_dump(mode="json"), "digest": splits.digest()}, indent=1) + "\n")


def read_splits(path: Path) -> DatasetSplits:
    """The frames of each subject that preprocess wrote.

    Raises:
        ContractViolation: the file is missing, not of this form, or was changed after it was written.
    """
    return _read(path, DatasetSplits)


def read_subject_splits(path: Path) -> SubjectSplits:
    """The subjects that `write_splits` wrote.

    Raises:
        ContractViolation: the file is missing, not of this form, or was changed after it was written.
    """
    return _read(path, SubjectSplits)


def _read(path: Path, kind: type[_AnySplits]) -> _AnySplits:
    try:
        content = json.loads(path.read_text())
        digest = content.pop("digest", None) if isinstance(content, dict) else None
        splits = kind.model_validate_json(json.dumps(content))
    except (OSError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise ContractViolation(f"{path}: not a splits file; run the preprocess stage ({error})") from error
    if digest is not None and digest != splits.digest():  # files of version 1 of preprocess have none
        raise ContractViolation(f"{path}: changed since it was written (digest {digest}); run the preprocess stage")
    return splits
