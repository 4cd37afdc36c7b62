"""Subject files as datasets: an index of usable samples, read lazily, one handle per process."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import Dataset

from gaze_core.data.batch import GazeBatch, HeadParameters, Validity
from gaze_core.data.schema import FIELDS, SCHEMA_VERSION
from gaze_core.errors import BadInput
from gaze_core.geometry.cameras import Camera

SUBJECT_FILE = "subject.h5"
_REQUIRED_LABELS = ("gaze", "head_pose", "expression", "landmarks_3d")


class SubjectDataset(Dataset[GazeBatch]):
    """The usable samples of one subject file.

    A sample whose required labels are invalid or whose head mask is empty is dropped when the index is made, with a
    reason in `dropped`; it is never replaced by another. `subset` keeps only these frames of the file.
    """

    def __init__(self, path: Path, subset: Sequence[int] | None = None) -> None:
        self.path = path
        self._handle: tuple[int, h5py.File] | None = None
        with open_subject(path) as file:
            self.subject = str(file.attrs["subject"])
            self.normalization: dict[str, Any] = json.loads(str(file.attrs["normalization"]))
            self.size_px = (int(file["image"].shape[2]), int(file["image"].shape[1]))
            self.indices, self.dropped = _usable(file, subset)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> GazeBatch:
        """One sample as a batch of one."""
        return self.batch([item])

    def batch(self, items: list[int] | range) -> GazeBatch:
        """The samples at these positions of the index, in this order."""
        return read_batch(self._file, self.indices[np.asarray(items, dtype=int)], self.size_px)

    @cached_property
    def everything(self) -> GazeBatch:
        """All samples in memory; for subjects that fit."""
        return self.batch(range(len(self)))

    @property
    def _file(self) -> h5py.File:
        # HDF5 handles do not survive a fork, so each process opens its own.
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), h5py.File(self.path, "r"))
        return self._handle[1]


def open_subject(path: Path) -> h5py.File:
    """Opens a subject file and checks what later reads rely on.

    Raises:
        BadInput: the file is absent, truncated, not HDF5, of another schema version, or lacks a field.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a subject file (HDF5, schema v{SCHEMA_VERSION})")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path}: not a readable HDF5 file, truncated or of another format ({error})") from error
    version = file.attrs.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BadInput(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; run preprocess again")
    missing = [name for name in FIELDS if name not in file]
    if missing:
        raise BadInput(f"{path}: lacks {', '.join(missing)}; run preprocess again (schema v{SCHEMA_VERSION})")
    return file


def _usable(file: h5py.File, subset: Sequence[int] | None) -> tuple[np.ndarray, dict[str, int]]:
    count = len(file["image"])
    dropped: Counter[str] = Counter()
    keep = []
    for index in np.arange(count) if subset is None else np.asarray(subset, dtype=int):
        reason = _fault(file, int(index))
        if reason:
            dropped[reason] += 1
        else:
            keep.append(index)
    return np.asarray(keep, dtype=int), dict(dropped)


def _fault(file: h5py.File, index: int) -> str:
    """Why this sample cannot be used; empty if it can."""
    for label in _REQUIRED_LABELS:
        if not file[f"valid/{label}"][index]:
            return f"invalid_{label}"
    if not file["head_mask"][index].any():
        return "empty_head_mask"
    return ""


def read_batch(file: h5py.File, indices: np.ndarray, size_px: tuple[int, int]) -> GazeBatch:
    """Reads these frames of an open subject file."""

    def read(name: str) -> torch.Tensor:
        # h5py wants increasing indices; read sorted and put back in the asked order.
        order = np.argsort(indices, kind="stable")
        values = np.empty((len(indices), *file[name].shape[1:]), dtype=file[name].dtype)
        values[order] = (
            file[name][indices[order]]
            if len(set(indices)) == len(indices)
            else np.stack([file[name][i] for i in indices[order]])
        )
        return torch.from_numpy(values)

    def mask(name: str) -> torch.Tensor:
        return (read(name)[:, None] > 127).float()

    return GazeBatch(
        rgb=read("image").permute(0, 3, 1, 2).float() / 255,
        head_mask=mask("head_mask"),
        observed_mask=mask("observed_mask"),
        left_eye_mask=mask("left_eye_mask"),
        right_eye_mask=mask("right_eye_mask"),
        camera=Camera(read("intrinsics_px"), read("world_to_camera"), size_px),
        head=HeadParameters(
            head_to_world=read("head_to_world"),
            gaze_head_eyes=read("gaze_head_eyes"),
            identity_code=read("identity_code"),
            expression_code=read("expression_code"),
        ),
        gaze_head=read("gaze_head"),
        gaze_camera=read("gaze_camera"),
        landmarks_2d_px=read("landmarks_2d_px"),
        landmarks_3d_head_m=read("landmarks_3d_head_m"),
        eye_centers_head_m=read("eye_centers_head_m"),
        valid=Validity(**{label: read(f"valid/{label}") for label in Validity.__dataclass_fields__}),
        sample_index=torch.from_numpy(indices.astype(np.int64)),
    )
