"""Writes a subject file frame by frame; the file appears under its name only when it is complete."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from gaze_core.data.schema import ATTRIBUTES, FIELDS, SCHEMA_VERSION

_BLOCK = 256  # frames by which arrays of numbers grow


class SubjectWriter:
    """A subject file of the schema. As a context manager it commits on success and leaves nothing behind on failure."""

    def __init__(self, path: Path, size_px: int) -> None:
        self.path, self._partial = path, path.with_name(f".{path.name}.{os.getpid()}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(self._partial, "w")
        for name, field in FIELDS.items():
            shape = tuple(size_px if isinstance(s, str) else s for s in field.shape)
            packed = {"compression": "gzip", "compression_opts": 4} if "h" in field.shape else {}
            chunk = 1 if packed else _BLOCK
            self._file.create_dataset(
                name, (0, *shape), field.dtype, maxshape=(None, *shape), chunks=(chunk, *shape), **packed
            )
        self._count = 0

    def append(self, values: Mapping[str, Any]) -> None:
        """One frame: a value for each field of the schema."""
        for name in FIELDS:
            array = self._file[name]
            array.resize(self._count + 1, axis=0)
            array[self._count] = np.asarray(values[name])
        self._count += 1

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """The root attributes of the schema but its version; mappings are written as JSON."""
        values = {"schema_version": SCHEMA_VERSION, **attributes}
        for name in ATTRIBUTES:
            value = values[name]
            self._file.attrs[name] = json.dumps(value) if isinstance(value, Mapping) else value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            os.replace(self._partial, self.path)
        else:
            self._partial.unlink(missing_ok=True)
