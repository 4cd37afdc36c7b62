"""Data on which weights were trained or selected, and the check that no evaluation uses it."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from gaze_core.config import Config
from gaze_core.data.people import Origin, SourceFrame
from gaze_core.data.splits import Splits
from gaze_core.errors import ContractViolation

Stretch = tuple[int, int, int]  # camera, first and last frame


class Seen(Config):
    """Seen data: `people` (`people.person_key`) with all their frames, and stretches of `frames` of other people."""

    people: tuple[str, ...] = ()
    frames: dict[str, tuple[Stretch, ...]] = {}

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> "Seen":
        """The seen data recorded in a checkpoint's card.

        Raises:
            ContractViolation: the card does not record it.
        """
        if "seen" not in card:
            raise ContractViolation(
                f"a {card.get('stage')} checkpoint that does not record what data it has seen; train it again"
            )
        return cls.model_validate(card["seen"])

    def __or__(self, other: "Seen") -> "Seen":
        frames = {
            person: tuple(dict.fromkeys((*self.frames.get(person, ()), *other.frames.get(person, ()))))
            for person in (*self.frames, *other.frames)
        }
        return Seen(people=tuple(sorted({*self.people, *other.people})), frames=frames)

    def has_seen(self, person: str) -> bool:
        """Whether any frame of the person was seen."""
        return person in self.people or person in self.frames

    def seen_frames(self, person: str, frames: Iterable[SourceFrame]) -> list[SourceFrame]:
        """The frames among these of a person that were seen."""
        if person in self.people:
            return list(frames)
        stretches = self.frames.get(person, ())
        return [
            (number, camera)
            for number, camera in frames
            if any(camera == of and first <= number <= last for of, first, last in stretches)
        ]


def require_unseen(who: str, seen: Seen, person: str, frames: Sequence[SourceFrame]) -> None:
    """Refuses to evaluate the model `who` on frames of `person` that it has seen, since the result would be too good.

    Raises:
        ContractViolation: with the number of seen frames and the first of them.
    """
    if known := seen.seen_frames(person, frames):
        of = "the person" if person in seen.people else f"{len(known)} of the {len(frames)} test frames"
        raise ContractViolation(
            f"{who} was trained on {of} of {person} (first: frame {known[0][0]}); expected none; evaluate on others, or "
            "with the split that it was trained with, or train again"
        )


def seen_in_training(files: Iterable[tuple[Path, Splits]]) -> Seen:
    """The seen data of weights that are trained on, and selected by, these splits of subject files.

    A file split by frames contributes its training and validation frames; a person in a single split contributes all.
    """
    people: list[str] = []
    frames: dict[str, tuple[Stretch, ...]] = {}
    for path, splits in files:
        if not splits.seen:
            continue
        origin = Origin.read(path)
        if splits.is_in_one_split:
            people.append(origin.person)
        else:
            frames[origin.person] = stretches(origin, splits.train) + stretches(origin, splits.validation)
    return Seen(people=tuple(sorted(people)), frames=frames)


def stretches(origin: Origin, positions: Iterable[int]) -> tuple[Stretch, ...]:
    """Source frames at these positions of a subject file.

    In a video the frames between neighbouring samples also count as seen, since they are nearly the same image.
    """
    if origin.is_video:
        runs = _runs(enumerate(sorted(positions)), lambda row: row[1] - row[0])
        return tuple((origin.frames[a][1], origin.frames[a][0], origin.frames[b][0]) for (_, a), (_, b) in runs)
    ordered = sorted({(camera, number) for number, camera in origin.at(tuple(positions))})
    runs_of = _runs(enumerate(ordered), lambda row: (row[1][0], row[1][1] - row[0]))
    return tuple((first[0], first[1], last[1]) for (_, first), (_, last) in runs_of)


def _runs(rows: Iterable[Any], key: Any) -> list[tuple[Any, Any]]:
    """First and last of each run of rows with one key."""
    groups = (list(group) for _, group in groupby(rows, key=key))
    return [(group[0], group[-1]) for group in groups]
