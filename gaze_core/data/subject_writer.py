"""Writes a subject file frame by frame; the file appears under its name only when it is complete."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import numpy as np

from gaze_core.atomic import replacing
from gaze_core.data.schema import (
    ATTRIBUTES,
    DEFAULT_PROFILE,
    PROFILES,
    SCHEMA_VERSION,
    ProfileName,
)

_BLOCK = 256  # frames by which arrays of numbers grow
Compression = Literal["gzip", "lzf"]


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file that appears under its name when the block succeeds; else nothing is left and nothing replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, h5py.File(partial, "w") as file:
        yield file


class SubjectWriter:
    """A subject file of the schema. As a context manager it commits on success and leaves nothing behind on failure.

    Images have one chunk per frame. `size_px` is (width, height), or the side of a square. "gzip" makes smaller
    files, "lzf" is faster. `sides` are the other lengths that the profile leaves to the file, such as `eye_h`.
    `optional` names the optional fields of the profile to write.
    """

    def __init__(
        self, path: Path, size_px: int | tuple[int, int], compression: Compression = "gzip",
        profile: ProfileName = DEFAULT_PROFILE, optional: Collection[str] = (), **sides: int,
    ) -> None:  # fmt: skip
        width, height = (size_px, size_px) if isinstance(size_px, int) else size_px
        sides = {"w": width, "h": height, **sides}
        self.profile = profile
        self._count = 0
        self._stack = ExitStack()
        self._file = self._stack.enter_context(new_hdf5(path))
        options = {"compression_opts": 4} if compression == "gzip" else {}
        chosen = PROFILES[profile]
        self._fields = {**chosen.fields, **{name: chosen.optional[name] for name in optional}}
        for name, field in self._fields.items():
            shape = tuple(sides[s] if isinstance(s, str) else s for s in field.shape)
            packed = {"compression": compression, **options} if field.is_image else {}
            chunk = 1 if packed else _BLOCK
            self._file.create_dataset(
                name, (0, *shape), field.dtype, maxshape=(None, *shape), chunks=(chunk, *shape), **packed
            )

    def append(self, values: Mapping[str, Any]) -> None:
        """One frame: a value for each field of the file."""
        for name in self._fields:
            array = self._file[name]
            array.resize(self._count + 1, axis=0)
            array[self._count] = np.asarray(values[name])
        self._count += 1

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Writes the root attributes of the schema except version and profile; mappings are written as JSON."""
        values = {"schema_version": SCHEMA_VERSION, **attributes}
        if self.profile != DEFAULT_PROFILE:  # the default profile is not named, so that these files do not change
            self._file.attrs["profile"] = self.profile
        for name in (*ATTRIBUTES, *PROFILES[self.profile].attributes):
            value = values[name]
            self._file.attrs[name] = json.dumps(value) if isinstance(value, Mapping) else value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
