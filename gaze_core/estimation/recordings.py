"""Converted recordings: one HDF5 file for each recording and camera, and an index of the folder.

A file holds, for N frames in order of time, normalised crops (RGB) of the face and of both eyes, their labels, and the
screen. Left and right are the subject's. Gaze is in the frame of the face crop's virtual camera (docs/conventions.md);
`rotation` turns the real camera's frame into it, `origin_m` is where the gaze starts in the real camera's frame.
Labels are read at once, images in pieces.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from numpy import ndarray
from pydantic import ValidationError

from gaze_core.atomic import replacing, write_text
from gaze_core.config import Config
from gaze_core.data.self_contained import require_self_contained
from gaze_core.errors import BadInput
from gaze_core.estimation.recording_schema import IMAGES, LABELS, SCHEMA_VERSION, RecordingInfo

INDEX_FILE = "index.json"
_CHUNK = 4  # frames of images that are stored, and so read, together
_BLOCK = 1024  # frames of labels


class RecordingWriter:
    """Writes a recording's file below `folder`, block by block; the file appears when the block of `with` succeeds."""

    def __init__(self, folder: Path, info: RecordingInfo) -> None:
        self.path = folder / f"{info.name}.h5"
        self._info, self._count, self._last_s = info, 0, -np.inf
        folder.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._file = self._stack.enter_context(h5py.File(self._stack.enter_context(replacing(self.path)), "w"))
        for name in IMAGES:
            side = self._side(name)
            self._create(name, (side, side, 3), "uint8", _CHUNK, "lzf")
        for name, (shape, dtype, _) in LABELS.items():
            self._create(name, shape, dtype, _BLOCK, None)

    def append(self, block: Mapping[str, Any]) -> None:
        """Adds n frames: an array of n for each image and label; labels with a missing value may be left out.

        Raises:
            BadInput: the arrays do not fit the file, a name is unknown, or times do not increase.
        """
        count = len(block["time_s"])
        if unknown := set(block) - set(LABELS) - set(IMAGES):
            raise BadInput(
                f"{self.path.name}: unknown fields {', '.join(sorted(unknown))}; expected {', '.join(LABELS)}"
            )
        times_s = np.asarray(block["time_s"], dtype=np.float64)
        if not (np.diff(times_s, prepend=self._last_s) > 0).all():
            raise BadInput(
                f"{self.path.name}: times do not increase after frame {self._count}; sort the frames by time"
            )
        for name in (*IMAGES, *LABELS):
            dataset = self._file[name]
            values = self._values(name, block, count, dataset)
            dataset.resize(self._count + count, axis=0)
            dataset[self._count :] = values
        self._count += count
        self._last_s = float(times_s[-1]) if count else self._last_s

    @property
    def num_frames(self) -> int:
        """Frames that were added."""
        return self._count

    def _values(self, name: str, block: Mapping[str, Any], count: int, dataset: h5py.Dataset) -> Any:
        if name not in block and name in LABELS and LABELS[name][2] is not None:
            return np.full((count, *dataset.shape[1:]), LABELS[name][2], dataset.dtype)
        if name not in block or np.shape(block[name]) != (count, *dataset.shape[1:]):
            found = np.shape(block[name]) if name in block else "nothing"
            raise BadInput(f"{self.path.name}: {name} should have shape {(count, *dataset.shape[1:])}, found {found}")
        return block[name]

    def _create(self, name: str, shape: tuple[int, ...], dtype: str, chunk: int, packed: str | None) -> None:
        self._file.create_dataset(
            name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(chunk, *shape), compression=packed
        )

    def _side(self, name: str) -> int:
        return self._info.face_px if name == "face" else self._info.eye_px

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.attrs.update(_attributes(self._info))
        self._stack.__exit__(kind, error, trace)


def _attributes(info: RecordingInfo) -> dict[str, Any]:
    """Readable ones, and all of them as JSON in `info`."""
    values = info.model_dump(mode="json", exclude={"screen", "face_px", "eye_px", "source"})
    out = {"schema_version": SCHEMA_VERSION, "info": info.model_dump_json()} | values
    if info.screen:
        screen = info.screen
        out |= {"screen_px": screen.size_px, "screen_m": screen.size_m, "screen_to_camera": screen.matrix}
    return out


class Recording:
    """A converted recording: labels in memory, images read as they are asked for. May be sent to other processes.

    Raises:
        BadInput: the file is missing, damaged, or not a converted recording of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: h5py.File | None = None
        file = self._opened()
        self.info = read_info(file, path)
        try:
            self._labels = {name: np.asarray(file[name][()]) for name in LABELS}
            lengths = {len(file[name]) for name in (*LABELS, *IMAGES)}
        except (KeyError, OSError) as error:
            raise BadInput(f"{path}: damaged ({error}); convert it again") from error
        if len(lengths) != 1:
            raise BadInput(f"{path}: damaged, fields have {sorted(lengths)} frames; convert it again")

    def __len__(self) -> int:
        return len(self._labels["time_s"])

    def __getitem__(self, name: str) -> Shaped[ndarray, "n ..."]:
        """A label of all frames, by its name in LABELS."""
        return self._labels[name]

    @property
    def time_s(self) -> Float[ndarray, " n"]:
        """Times of the frames, from the beginning of the recording."""
        return self._labels["time_s"]

    @property
    def valid(self) -> Bool[ndarray, " n"]:
        """Frames whose face, eyes and gaze can be used."""
        return self._labels["valid"]

    def images(self, name: str, frames: Int[ndarray, " k"] | Sequence[int] | slice) -> UInt8[ndarray, "k h w 3"]:
        """Crops (`face`, `left_eye` or `right_eye`) of frames in any order, repeated ones too."""
        data = self._opened()[name]
        if isinstance(frames, slice):
            return np.asarray(data[frames])
        wanted, places = np.unique(np.asarray(frames, dtype=np.int64), return_inverse=True)
        if not len(wanted):
            return np.empty((0, *data.shape[1:]), np.uint8)
        # Runs of neighbours are read at once; h5py reads lists of single frames slowly.
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > _CHUNK) + 1)
        read = np.concatenate([data[run[0] : run[-1] + 1][run - run[0]] for run in runs])
        return np.asarray(read[places])

    def close(self) -> None:
        """Closes the file; the next reading of images opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _opened(self) -> h5py.File:
        if self._file is None:
            self._file = opened(self.path)
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}  # each process opens the file itself


def opened(path: Path) -> h5py.File:
    """A recording's HDF5 file for reading.

    Raises:
        BadInput: it is missing, damaged, or names data in other files.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a converted recording, made by: gazeworks estimate convert")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path}: not a readable HDF5 file, truncated or of another format ({error})") from error
    require_self_contained(file, path)
    return file


def read_info(file: h5py.File, path: Path) -> RecordingInfo:
    """The attributes of a converted recording.

    Raises:
        BadInput: it is none, or of another version.
    """
    version = file.attrs.get("schema_version")
    if version != SCHEMA_VERSION or "info" not in file.attrs:
        raise BadInput(
            f"{path}: not a converted recording of version {SCHEMA_VERSION} (found {version}); "
            "convert it with: gazeworks estimate convert"
        )
    try:
        return RecordingInfo.model_validate_json(str(file.attrs["info"]))
    except ValidationError as error:
        raise BadInput(f"{path}: its attribute info does not say what it is ({error.error_count()} errors)") from error


class IndexEntry(Config):
    """One file of the folder."""

    file: str
    info: RecordingInfo
    num_frames: int
    num_valid: int

    @property
    def split(self) -> str:
        """train, val or test."""
        return self.info.split


class RecordingIndex(Config):
    """The files of a folder of converted recordings, and what could not be converted."""

    schema_version: int = SCHEMA_VERSION
    recordings: tuple[IndexEntry, ...]
    problems: tuple[str, ...] = ()  # one line for each file or stretch that was left out

    def of(self, split: str) -> tuple[IndexEntry, ...]:
        """The recordings of a split."""
        return tuple(entry for entry in self.recordings if entry.split == split)


def write_index(folder: Path, problems: Sequence[str] = ()) -> RecordingIndex:
    """Writes `index.json` for the recordings that lie in the folder.

    Raises:
        BadInput: one of them is damaged.
    """
    entries = []
    for path in sorted(folder.glob("*.h5")):
        with opened(path) as file:
            info, valid = read_info(file, path), np.asarray(file["valid"][()])
        entries.append(IndexEntry(file=path.name, info=info, num_frames=len(valid), num_valid=int(valid.sum())))
    index = RecordingIndex(recordings=tuple(entries), problems=tuple(problems))
    write_text(folder / INDEX_FILE, index.model_dump_json(indent=1) + "\n")
    return index


def read_index(folder: Path) -> RecordingIndex:
    """The index of a folder of converted recordings.

    Raises:
        BadInput: there is none, it is damaged, or a file that it names is missing.
    """
    path = folder / INDEX_FILE
    if not path.is_file():
        raise BadInput(f"{folder}: no {INDEX_FILE}; expected converted recordings, made by: gazeworks estimate convert")
    try:
        index = RecordingIndex.model_validate_json(path.read_text())
    except ValidationError as error:
        raise BadInput(f"{path}: not an index of recordings ({error.error_count()} errors); convert again") from error
    missing = [entry.file for entry in index.recordings if not (folder / entry.file).is_file()]
    if missing:
        raise BadInput(f"{folder}: {missing[0]} is missing, of {len(missing)} files; convert again")
    return index
