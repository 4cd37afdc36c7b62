"""GazeCapture's layout: one HDF5 file with a group for each person, `pixels` and `labels` (FAZE, STED).

`pixels` are (N, H, W, 3) uint8 normalised faces. `labels` are (N, 4) or (N, 8) radians, `[pitch, yaw]` of gaze, head and, in
eight columns, of the left and the right eye's gaze. Beside them our writer stores `landmarks_px` (N, 68, 2), which
published files lack; they spare the search for the eyes. Only the people who are asked for are read.
"""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from gaze_core.data.adapters.fields import angles_in_range, rgb_image
from gaze_core.data.adapters.hdf5 import Column, Rows, UnusableFrame, opened
from gaze_core.data.adapters.sted import EYES, GAZE, HEAD, WITH_EYES, WITHOUT_EYES
from gaze_core.data.subject_writer import new_hdf5
from gaze_core.errors import BadInput

ChannelOrder = Literal["auto", "rgb", "bgr"]
LANDMARKS, ORDER_ATTRIBUTE, NAMES_ATTRIBUTE = "landmarks_px", "channel_order", "people"
_COLUMNS = (
    Column("pixels", (None, None, 3), is_image=True),
    Column("labels", (None,)),
    Column(LANDMARKS, (68, 2), optional=True),
)
_PACKED = {"compression": "gzip", "compression_opts": 9}
_BGR_NAMES = ("Columbia", "EYEDIAP")  # STED reads these files of its own as BGR


@dataclass(frozen=True, eq=False)
class PersonArrays:
    """The samples of one person. `rows` are their places in the file they were read from."""

    pixels: UInt8[ndarray, "n h w 3"]  # RGB
    labels: Float[ndarray, "n k"]  # radians: gaze, head, and the eyes' gaze in eight columns
    landmarks_px: Float[ndarray, "n 68 2"] | None = None
    rows: Int[ndarray, " n"] | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def gaze(self) -> Float[ndarray, "n 2"]:
        """Gaze in the normalised camera's frame."""
        return self.labels[:, GAZE]

    @property
    def head(self) -> Float[ndarray, "n 2"]:
        """Where the face points, in the same frame."""
        return self.labels[:, HEAD]


def count_samples(path: Path) -> dict[str, int]:
    """Number of stored samples of each person, in the file's order. No picture is read.

    Raises:
        BadInput: the file cannot be read, or holds no person.
    """
    with opened(path) as file:
        names = [name for name in file if isinstance(file[name], h5py.Group)]
        written = [str(name) for name in file.attrs.get(NAMES_ATTRIBUTE, ())]  # HDF5 itself sorts them
        names = written if sorted(written) == sorted(names) else names
        people = {name: _length(file[name], path) for name in names}
    if not people:
        raise BadInput(f"{path}: expected one group for each person with pixels and labels, found none")
    return people


def require_person(path: Path, name: str, people: Mapping[str, int]) -> str:
    """The name of a person, whose zeros in front may be left out.

    Raises:
        BadInput: there is no such person; the nearest names are listed.
    """
    if name in people:
        return name
    padded = [known for known in people if known.lstrip("0") == name.lstrip("0")]
    if len(padded) == 1:
        return padded[0]
    near = difflib.get_close_matches(name, list(people), n=5, cutoff=0.3) or list(people)[:5]
    raise BadInput(f"{path}: no person {name!r} among {len(people)}; the nearest names are {', '.join(near)}")


def is_bgr(path: Path, order: ChannelOrder) -> bool:
    """Whether pictures are stored as BGR: as given, else by the file's attribute, else by the published file's name."""
    if order != "auto":
        return order == "bgr"
    with opened(path) as file:
        stored = str(file.attrs.get(ORDER_ATTRIBUTE, ""))
    return stored == "bgr" if stored else path.name.startswith(_BGR_NAMES)


def read_person(path: Path, name: str, order: ChannelOrder = "auto", rows: Sequence[int] | None = None) -> PersonArrays:
    """The usable samples of one person, of these rows or of all. Unusable ones are left out and counted by reason.

    Raises:
        BadInput: the person or its data is not as published, or no sample is usable.
    """
    bgr = is_bgr(path, order)
    pixels, labels, landmarks, kept = [], [], [], []
    dropped: Counter[str] = Counter()
    seen: set[bytes] = set()
    with opened(path) as file:
        group = file[require_person(path, name, {key: 0 for key in file})]
        table = Rows(group, _COLUMNS)
        _require_width(group, path)
        for row in range(len(table)) if rows is None else rows:
            try:
                label = table.numbers("labels", row)
                for part, key in (
                    (label[GAZE], "gaze"),
                    (label[HEAD], "head"),
                    (label[EYES].reshape(-1, 2), "eye_gaze"),
                ):
                    angles_in_range(part, key)
                image = rgb_image(table.read("pixels", row), bgr)
                points = table.numbers(LANDMARKS, row) if LANDMARKS in table else None
                if (key_of := image.tobytes()) in seen:
                    raise UnusableFrame("duplicate")
            except UnusableFrame as error:
                dropped[str(error)] += 1
                continue
            seen.add(key_of)
            pixels.append(image)
            labels.append(label)
            kept.append(row)
            if points is not None:
                landmarks.append(points)
        total = len(table)
    if not kept:
        why = f"none of {total} samples is usable ({dict(dropped)})" if total else "has no samples"
        raise BadInput(f"{path}: person {name} {why}; choose another person")
    return PersonArrays(
        np.stack(pixels), np.stack(labels), np.stack(landmarks) if landmarks else None, np.array(kept), dict(dropped)
    )


def write_people(path: Path, people: Mapping[str, PersonArrays], source: str = "rendered") -> None:
    """Writes a file in the published layout atomically; gzip, one picture to a chunk."""
    with new_hdf5(path) as file:
        file.attrs.update({ORDER_ATTRIBUTE: "rgb", "source": source, NAMES_ATTRIBUTE: list(people)})
        for name, person in people.items():
            group = file.create_group(name)
            chunk = (1, *person.pixels.shape[1:]) if len(person.pixels) else None
            group.create_dataset("pixels", data=person.pixels, chunks=chunk, **(_PACKED if chunk else {}))
            group.create_dataset("labels", data=person.labels.astype(np.float32))
            if person.landmarks_px is not None:
                group.create_dataset(LANDMARKS, data=person.landmarks_px.astype(np.float32))
            if person.rows is not None:
                group.create_dataset("rows", data=person.rows)


def _length(group: h5py.Group, path: Path) -> int:
    labels = group.get("labels")
    if not isinstance(labels, h5py.Dataset) or "pixels" not in group:
        raise BadInput(
            f"{path}: {group.name} lacks pixels or labels, found {', '.join(group) or 'nothing'}; is it a FAZE or STED file?"
        )
    return len(labels)


def _require_width(group: h5py.Group, path: Path) -> None:
    shape = group["labels"].shape
    if len(shape) != 2 or shape[1] not in (WITHOUT_EYES, WITH_EYES):
        raise BadInput(
            f"{path}{group.name}: labels should have shape (N, {WITHOUT_EYES}) or (N, {WITH_EYES}), found {shape}; "
            "is it a FAZE or STED file?"
        )
