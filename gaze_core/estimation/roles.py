"""Which participants train, which choose the weights, and which are measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from gaze_core.errors import BadInput
from gaze_core.estimation.recordings import IndexEntry, RecordingIndex

_EVERY = 8  # of the training participants, one chooses the weights where no others are left for it


@dataclass(frozen=True)
class Roles:
    """Recordings by role; who is measured has no other role. `notes` say what was decided, in words."""

    train: tuple[IndexEntry, ...]
    validation: tuple[IndexEntry, ...]
    test: tuple[IndexEntry, ...]
    notes: tuple[str, ...] = ()

    def participants(self, role: str) -> tuple[str, ...]:
        """The people of a role, sorted."""
        return tuple(sorted({entry.info.participant for entry in getattr(self, role)}))


def roles_of(index: RecordingIndex, cameras: Sequence[str] = ()) -> Roles:
    """The roles of a folder of recordings; only those of these cameras, if any are named.

    Where no test recording has labels (EVE withholds them), the validation participants are measured instead, and some of
    the training participants choose the weights.

    Raises:
        BadInput: there are too few labelled participants, or no recording of such a camera.
    """
    known = sorted({entry.info.camera for entry in index.recordings})
    if missing := sorted(set(cameras) - set(known)):
        raise BadInput(f"no recording of camera {', '.join(missing)}; there are: {', '.join(known) or 'none'}")
    usable = [e for e in index.recordings if e.num_valid and (not cameras or e.info.camera in cameras)]
    train, validation, test = ([e for e in usable if e.split == split] for split in ("train", "val", "test"))
    notes = []
    if not test:
        notes.append("No test recording has labels, so the validation participants are measured.")
        test, validation = validation, []
    if not validation:
        train, validation, note = _divided(train)
        notes.append(note)
    for name, entries in (("train", train), ("choose the weights", validation), ("be measured", test)):
        if not entries:
            counts = ", ".join(f"{s}: {len(index.of(s))}" for s in ("train", "val", "test"))
            raise BadInput(
                f"no recording is left to {name}; expected labelled recordings of two participants, or two of one, in train "
                f"and one in val or test; found recordings {counts}, {len(usable)} of them with usable frames"
            )
    return Roles(tuple(train), tuple(validation), tuple(test), tuple(notes))


def _divided(train: list[IndexEntry]) -> tuple[list[IndexEntry], list[IndexEntry], str]:
    """Training recordings, those that choose the weights, and a sentence about it."""
    people = sorted({entry.info.participant for entry in train})
    if len(people) > 1:
        chosen = set(people[_EVERY - 1 :: _EVERY] or people[-1:])
        note = f"Weights are chosen on {len(chosen)} of {len(people)} training participants, who do not train."
        return (
            [entry for entry in train if entry.info.participant not in chosen],
            [entry for entry in train if entry.info.participant in chosen],
            note,
        )
    last = max((entry.info.step for entry in train), default="")
    note = "There is one training participant: weights are chosen on the last of the recordings."
    return [e for e in train if e.info.step != last], [e for e in train if e.info.step == last], note
