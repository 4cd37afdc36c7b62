"""Single frames of many recordings as batches: in memory if they fit, else read as they are needed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gaze_core.data.batch import TensorRecord
from gaze_core.data.loading import StartMethod
from gaze_core.errors import BadInput
from gaze_core.estimation.recording_schema import IMAGES
from gaze_core.estimation.recordings import IndexEntry, Recording
from gaze_core.models.estimation.gazetr import EyeFaceImages
from gaze_core.sampling import evenly_spaced

CACHE_BYTES = 3 * 2**30
_PREFETCH = 2


@dataclass(frozen=True, eq=False)
class FrameBatch(TensorRecord):
    """B frames as they are stored: RGB bytes, and their labels. `sample_index` is a position among the frames of a set."""

    face: UInt8[Tensor, "b f f 3"]
    left_eye: UInt8[Tensor, "b e e 3"]
    right_eye: UInt8[Tensor, "b e e 3"]
    head_rad: Float[Tensor, "b 2"]  # NaN where unknown
    gaze_rad: Float[Tensor, "b 2"]
    valid: Bool[Tensor, " b"]
    sample_index: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.sample_index)

    @property
    def images(self) -> EyeFaceImages:
        """The crops as floats in [0, 1], and the head pose."""
        crops = (getattr(self, name).permute(0, 3, 1, 2).float() / 255 for name in IMAGES)
        face, left, right = crops
        return EyeFaceImages(face, left, right, self.head_rad)


class FrameSet(Dataset[FrameBatch]):
    """Chosen frames of several recordings, in their order.

    Attributes:
        recordings: The recordings.
        owners: For each frame, the position of its recording.
        frames: For each frame, its position in the recording.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        frames: Sequence[Int[ndarray, " k"]],
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.recordings = list(recordings)
        self.owners = np.repeat(np.arange(len(recordings)), [len(part) for part in frames])
        self.frames = np.concatenate([np.zeros(0, np.int64), *frames]).astype(np.int64)
        if not len(self.frames):
            raise BadInput("no usable frame in these recordings; see the problems that the conversion has listed")
        self.head_rad, self.gaze_rad = (self._label(name).astype(np.float32) for name in ("head_rad", "gaze_rad"))
        self.valid = self._label("valid").astype(bool)
        self._kept: dict[str, UInt8[ndarray, "n h w 3"]] | None = None
        if sum(self._bytes()) <= cache_bytes:
            self._kept = {name: self._read(name, np.arange(len(self.frames))) for name in IMAGES}

    def __len__(self) -> int:
        return len(self.frames)

    def label(self, name: str) -> ndarray:
        """A label of all frames, by its name in the recordings."""
        return self._label(name)

    def __getitem__(self, items: Any) -> FrameBatch:
        """The batch of these positions."""
        chosen = np.asarray(items, dtype=np.int64)
        if self._kept is None:
            crops = [self._read(name, chosen) for name in IMAGES]
        else:
            crops = [self._kept[name][chosen] for name in IMAGES]
        labels = (label[chosen] for label in (self.head_rad, self.gaze_rad, self.valid))
        return FrameBatch(*(torch.from_numpy(values) for values in (*crops, *labels, chosen)))

    def batches(
        self, order: Iterable[list[int]], num_workers: int = 0, start_method: StartMethod | None = None
    ) -> Iterator[FrameBatch]:
        """A batch for each list of positions, read ahead by worker processes where frames are not in memory.

        `start_method` is that of the workers; None is torch's choice, a fork, which a process that has rendered does not
        survive.
        """
        if self._kept is not None or not num_workers:
            return (self[items] for items in order)
        workers = DataLoader(
            self, batch_size=None, sampler=cast(Any, order), num_workers=num_workers, prefetch_factor=_PREFETCH,
            multiprocessing_context=start_method,
        )  # fmt: skip
        return iter(workers)

    def in_order(self, batch_size: int, num_workers: int = 0) -> Iterator[FrameBatch]:
        """All frames in their order; the last batch may be shorter."""
        count = len(self)
        starts = range(0, count, batch_size)
        return self.batches([list(range(start, min(start + batch_size, count))) for start in starts], num_workers)

    def _label(self, name: str) -> ndarray:
        parts = [recording[name][self.frames[self.owners == at]] for at, recording in enumerate(self.recordings)]
        return np.concatenate(parts)

    def _bytes(self) -> Iterator[int]:
        for at, recording in enumerate(self.recordings):
            info, count = recording.info, int((self.owners == at).sum())
            yield count * 3 * (info.face_px**2 + 2 * info.eye_px**2)

    def _read(self, name: str, chosen: Int[ndarray, " k"]) -> UInt8[ndarray, "k h w 3"]:
        """Crops of frames of any recordings, each recording opened for the time of its reading."""
        owners = self.owners[chosen]
        out: ndarray | None = None
        for at in np.unique(owners):
            places = np.flatnonzero(owners == at)
            crops = self.recordings[at].images(name, self.frames[chosen[places]])
            out = np.empty((len(chosen), *crops.shape[1:]), np.uint8) if out is None else out
            out[places] = crops
        assert out is not None
        return out


def open_recordings(folder: Path, entries: Sequence[IndexEntry]) -> list[Recording]:
    """The recordings of these entries of an index.

    Raises:
        BadInput: one is damaged, or they differ in the size of their crops.
    """
    recordings = [Recording(folder / entry.file) for entry in entries]
    for one in recordings[1:]:
        sizes = [(r.info.face_px, r.info.eye_px) for r in (one, recordings[0])]
        if sizes[0] != sizes[1]:
            raise BadInput(f"{one.path.name}: crops of {sizes[0]} px, {recordings[0].path.name}: {sizes[1]} px; "
                           "convert all recordings with one size")  # fmt: skip
    return recordings


def valid_frames(recordings: Sequence[Recording], stride: int, at_most: int | None) -> list[Int[ndarray, " k"]]:
    """Every `stride`-th valid frame of each recording; of all together at most so many, evenly spaced."""
    found = [np.flatnonzero(recording.valid)[::stride] for recording in recordings]
    total = sum(len(part) for part in found)
    if at_most is None or total <= at_most:
        return found
    chosen = np.array(evenly_spaced(total, at_most))
    ends = np.cumsum([0, *(len(part) for part in found)])
    pairs = zip(found, ends, ends[1:], strict=False)
    return [part[chosen[(chosen >= low) & (chosen < high)] - low] for part, low, high in pairs]
