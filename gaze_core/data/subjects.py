"""Subject files as datasets: an index of usable samples, read lazily, one handle per process.

Small data (labels, poses, flags) is read once and kept in memory. Images stay on disk, are decompressed for each batch,
and remain bytes until the batch is assembled.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import h5py
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.utils.data import Dataset

from gaze_core.data.batch import GazeBatch, HeadParameters, PublishedFit, Validity
from gaze_core.data.layout_checks import read_form
from gaze_core.data.schema import DEFAULT_PROFILE, FIELDS, SCHEMA_VERSION, ProfileName, expression_basis
from gaze_core.data.self_contained import require_self_contained
from gaze_core.errors import BadInput
from gaze_core.geometry.cameras import Camera

SUBJECT_FILE = "subject.h5"
REQUIRED_LABELS = ("gaze", "head_pose", "expression", "landmarks_3d")  # of redirection; an estimator needs gaze alone
_SIGMA_OF_HALF_RAD = float(np.deg2rad(5.0))
_MASKS = ("head_mask", "observed_mask", "left_eye_mask", "right_eye_mask")  # bit k of `Pixels.masks` is number k
_LABELS = tuple(name for name, field in FIELDS.items() if "h" not in field.shape)
B_co = TypeVar("B_co", covariant=True)
# A frame is one chunk and is read once per batch, so the cache only needs to hold one chunk; a larger cache would be
# allocated for each of the five image fields of each file in each worker.
_CHUNK_CACHE = {"rdcc_nbytes": 4 * 2**20, "rdcc_nslots": 101, "rdcc_w0": 1.0}


@dataclass(frozen=True, eq=False)
class Pixels:
    """The images of a batch as bytes; the four masks are bits of one byte, in the order of `_MASKS`."""

    rgb: UInt8[ndarray, "b h w 3"]
    masks: UInt8[ndarray, "b h w"]

    @classmethod
    def empty(cls, count: int, size_px: tuple[int, int]) -> Self:
        """Uninitialised memory for `count` images of (width, height)."""
        shape = (count, size_px[1], size_px[0])
        return cls(np.empty((*shape, 3), np.uint8), np.empty(shape, np.uint8))

    def at(self, rows: Sequence[int]) -> "Pixels":
        """A copy of these rows."""
        return Pixels(self.rgb[rows], self.masks[rows])


class Assemble(Protocol[B_co]):
    """Makes one batch, of any frozen type, from images as bytes and labels by schema name."""

    def __call__(
        self, pixels: Pixels, labels: dict[str, ndarray], frames: ndarray, subjects: ndarray, size_px: tuple[int, int],
        allocate: Callable[..., Tensor] = ...,
    ) -> B_co: ...  # fmt: skip


def is_subject_file(path: Path) -> bool:
    """Whether a path has the suffix of subject files."""
    return path.suffix.lower() in (".h5", ".hdf5")


class SubjectDataset(Dataset[GazeBatch]):
    """The usable samples of one subject file.

    A sample whose required labels are invalid or whose head mask is empty is dropped when the index is made, with a
    reason in `dropped`; it is never replaced. `subset` keeps only these frames of the file;
    `required_labels` are those whose `valid/*` flag must be set, by default what redirection needs.

    Raises:
        BadInput: as `open_subject`, or the subset names frames that do not exist.
    """

    def __init__(
        self, path: Path, subset: Sequence[int] | None = None, required_labels: Sequence[str] = REQUIRED_LABELS
    ) -> None:
        self.path = path
        self._handle: tuple[int, list[h5py.Dataset]] | None = None
        with open_subject(path) as file:
            self.subject = str(file.attrs["subject"])
            self.label_source = str(file.attrs["label_source"])
            self.normalization: dict[str, Any] = json.loads(str(file.attrs["normalization"]))
            self.size_px = (int(file["image"].shape[2]), int(file["image"].shape[1]))
            try:
                self.indices, self.dropped = _usable(file, _chosen(file, subset), required_labels)
                self.labels = {name: file[name][:][self.indices] for name in _LABELS}
                self.labels |= _optional_labels(file, self.indices)
            except OSError as error:
                raise _damaged(path, "a label or head mask", error) from error

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> GazeBatch:
        """One sample as a batch of one."""
        return self.batch([item])

    def __getitems__(self, items: list[int]) -> GazeBatch:
        """A whole batch at once, for torch's DataLoader, whose `collate_fn` must not change it."""
        return self.batch(items)

    def __getstate__(self) -> dict[str, Any]:
        """State for worker processes: without file handles and cached data."""
        return {name: value for name, value in vars(self).items() if name != "everything"} | {"_handle": None}

    def batch(self, items: Sequence[int] | range) -> GazeBatch:
        """The samples at these positions of the index, in this order."""
        pixels = Pixels.empty(len(items), self.size_px)
        self.read_pixels(items, pixels)
        positions = np.asarray(items, dtype=int)
        labels = {name: values[positions] for name, values in self.labels.items()}
        return assemble(pixels, labels, self.indices[positions], np.zeros(len(items)), self.size_px)

    def read_pixels(self, items: Sequence[int] | ndarray, out: Pixels, rows: Sequence[int] | None = None) -> None:
        """Decompresses the images of these samples into `rows` of `out` (default: its first ones, in order).

        Each frame is read once, in the file's order. h5py could read several at once, but a list of frames makes
        HDF5 join one selection for each, which takes longer than the decompression.

        Raises:
            BadInput: a frame is damaged.
        """
        wanted = self.indices[np.asarray(items, dtype=int)].tolist()
        rows_of: defaultdict[int, list[int]] = defaultdict(list)
        for frame, row in zip(wanted, range(len(wanted)) if rows is None else rows, strict=True):
            rows_of[frame].append(row)
        image, *masks = self._images
        for frame in sorted(rows_of):
            first, *others = rows_of[frame]
            try:
                out.rgb[first] = image[frame]
                out.masks[first] = _packed([mask[frame] for mask in masks])
            except OSError as error:
                raise _damaged(self.path, f"frame {frame}", error) from error
            out.rgb[others], out.masks[others] = out.rgb[first], out.masks[first]

    @cached_property
    def everything(self) -> GazeBatch:
        """All samples in memory; for subjects that fit."""
        return self.batch(range(len(self)))

    @property
    def _images(self) -> list[h5py.Dataset]:
        # HDF5 handles do not survive a fork, so each process opens its own.
        if self._handle is None or self._handle[0] != os.getpid():
            file = h5py.File(self.path, "r", **_CHUNK_CACHE)
            self._handle = (os.getpid(), [file[name] for name in ("image", *_MASKS)])
        return self._handle[1]


def _packed(masks: Sequence[UInt8[ndarray, "h w"]]) -> UInt8[ndarray, "h w"]:
    """One byte a pixel with one bit for each mask; what is above 127 counts as set."""
    packed = masks[0] >> 7
    for bit, mask in enumerate(masks[1:], start=1):
        packed |= mask >> 7 << bit
    return packed


def open_subject(path: Path, profile: ProfileName = DEFAULT_PROFILE) -> h5py.File:
    """Opens a subject file after checking its form; `validation.require_valid` also checks its values.

    Raises:
        BadInput: the file is absent, truncated, not HDF5, of another schema version or profile, names data in other
            files, or has an attribute or a field of another form.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a subject file (HDF5, schema v{SCHEMA_VERSION})")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path}: not a readable HDF5 file, truncated or of another format ({error})") from error
    require_self_contained(file, path)
    if faults := read_form(file, profile).faults:
        file.close()
        raise BadInput(f"{path}: {faults[0].text}; list all faults with: gazeworks data validate")
    return file


def _chosen(file: h5py.File, subset: Sequence[int] | None) -> ndarray:
    count = len(file["image"])
    chosen = np.arange(count) if subset is None else np.asarray(subset, dtype=int)
    outside = chosen[(chosen < 0) | (chosen >= count)]
    if len(outside):
        raise BadInput(
            f"{file.filename}: frame {outside[0]} was requested, but the file has frames 0 to {count - 1}; the splits "
            "belong to another file, run preprocess again"
        )
    return chosen


def _usable(
    file: h5py.File, chosen: ndarray, required_labels: Sequence[str]
) -> tuple[ndarray, dict[str, int]]:  # fmt: skip
    """The usable ones of the chosen frames, and for each reason how many others there are; the first reason counts."""
    dropped: Counter[str] = Counter()
    for label in required_labels:
        valid = file[f"valid/{label}"][:][chosen].astype(bool)
        dropped[f"invalid_{label}"] = int((~valid).sum())
        chosen = chosen[valid]
    visible = _has_head(file, chosen)
    dropped["empty_head_mask"] = int((~visible).sum())
    return chosen[visible], {reason: count for reason, count in dropped.items() if count}


def _optional_labels(file: h5py.File, frames: ndarray) -> dict[str, ndarray]:
    """Optional labels, with neutral values where a file lacks them, so that different files can be batched."""
    names = [f"published/{name}" for name in PublishedFit.__dataclass_fields__ if name != "known"]
    known = all(name in file for name in names)
    count = len(frames)
    neutral = (
        np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        np.ones(count, np.float32),
        np.zeros((count, 3), np.float32),
    )
    values = [file[name][:][frames] for name in names] if known else neutral
    sigma_rad = file["gaze_sigma_rad"][:][frames] if "gaze_sigma_rad" in file else np.zeros(count, np.float32)
    return {
        **dict(zip(names, values, strict=True)),
        "published/known": np.full(count, known),
        "expression_is_arkit": np.full(count, expression_basis(file.attrs) == "arkit"),
        "gaze_sigma_rad": sigma_rad,
        "gaze_weight": gaze_weights(sigma_rad),
    }


def gaze_weights(sigma_rad: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """How much the gaze labels of one recording count by their expected errors: half at 5 degrees, then divided by the mean.

    On average they count as much as labels without an expected error, else the eyes of all recordings of people
    would count less than the rest of the face.
    """
    weights = 1 / (1 + (sigma_rad / _SIGMA_OF_HALF_RAD) ** 2)
    return (weights / weights.mean()).astype(np.float32) if len(weights) else weights


def _has_head(file: h5py.File, frames: ndarray) -> ndarray:
    """Whether a frame's head mask has a set pixel: from the stored areas, else from the masks, which are decompressed."""
    if "head_area_px" in file:
        return np.asarray(file["head_area_px"][:][frames] > 0)
    masks = file["head_mask"]
    return np.array([masks[int(frame)].max() > 127 for frame in frames], dtype=bool)


def _damaged(path: Path, where: str, error: OSError) -> BadInput:
    return BadInput(
        f"{path}: {where} cannot be read, the file is damaged or truncated ({error}); list its faults with: "
        "gazeworks data validate"
    )


def assemble(
    pixels: Pixels,
    labels: dict[str, ndarray],
    frames: ndarray,
    subjects: ndarray,
    size_px: tuple[int, int],
    allocate: Callable[..., Tensor] = torch.empty,
) -> GazeBatch:
    """The typed batch of these images and labels: `rgb` in [0, 1], masks 0 or 1."""
    count, height, width = pixels.masks.shape
    bits = torch.from_numpy(pixels.masks)[:, None]
    rgb = allocate((count, 3, height, width)).copy_(torch.from_numpy(pixels.rgb).permute(0, 3, 1, 2)).div_(255)
    masks = {
        name: torch.ne(bits & (1 << bit), 0, out=allocate((count, 1, height, width))) for bit, name in enumerate(_MASKS)
    }
    values = {name: torch.from_numpy(array) for name, array in labels.items()}
    return GazeBatch(
        rgb=rgb,
        **masks,
        camera=Camera(values["intrinsics_px"], values["world_to_camera"], size_px),
        head=HeadParameters(
            **{name: values[name] for name in HeadParameters.__dataclass_fields__ if name != "published"},
            published=PublishedFit(**{name: values[f"published/{name}"] for name in PublishedFit.__dataclass_fields__}),
        ),
        gaze_head=values["gaze_head"],
        gaze_camera=values["gaze_camera"],
        landmarks_2d_px=values["landmarks_2d_px"],
        landmarks_3d_head_m=values["landmarks_3d_head_m"],
        eye_centers_head_m=values["eye_centers_head_m"],
        valid=Validity(**{label: values[f"valid/{label}"] for label in Validity.__dataclass_fields__}),
        gaze_sigma_rad=values["gaze_sigma_rad"],
        gaze_weight=values["gaze_weight"],
        sample_index=torch.from_numpy(frames.astype(np.int64)),
        subject_index=torch.from_numpy(subjects.astype(np.int64)),
    )
