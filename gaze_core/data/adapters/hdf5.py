"""Reading published HDF5 files: a wrong file raises BadInput, an unusable frame is skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from gaze_core.data.self_contained import require_self_contained
from gaze_core.errors import BadInput


class UnusableFrame(Exception):
    """One frame is unusable; the text is the reason to count."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file for reading.

    Raises:
        BadInput: it is missing, truncated, not HDF5, or names data in other files.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a published HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BadInput(f"{path}: not a readable HDF5 file, truncated or of another format ({error})") from error
    with file:
        require_self_contained(file, path)
        yield file


@dataclass(frozen=True)
class Column:
    """One array of a published file. `None` in the shape, after the frame axis, stands for any length."""

    key: str
    shape: tuple[int | None, ...]
    optional: bool = False
    is_image: bool = False  # 8-bit


class Rows:
    """The frames of a file or group, read one by one; keys, shapes, types and lengths are checked at once.

    Raises:
        BadInput: a key is missing or not as published; the message names it, what was expected and what is there.
    """

    def __init__(self, group: h5py.Group, columns: tuple[Column, ...]) -> None:
        self._where = f"{group.file.filename}{group.name.rstrip('/')}"
        self._arrays: dict[str, h5py.Dataset] = {}
        for column in columns:
            if column.key in group:
                self._arrays[column.key] = self._checked(group[column.key], column)
            elif not column.optional:
                raise BadInput(
                    f"{self._where}: lacks {column.key}, expected shape {_text(column.shape)}; {_hint(group)}"
                )
        lengths = {key: len(array) for key, array in self._arrays.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise BadInput(f"{self._where}: expected as many frames under each key, found {counts}; download it again")
        self._count = next(iter(lengths.values()), 0)

    def _checked(self, array: Any, column: Column) -> h5py.Dataset:
        shape = getattr(array, "shape", None)
        if shape is None or not _fits(shape[1:], column.shape) or not shape:
            found = "a group" if shape is None else str(shape)
            raise BadInput(
                f"{self._where}: {column.key} should have shape {_text(column.shape)}, found {found}; "
                f"is it a file of this adapter?"
            )
        if not column.is_image and array.dtype.kind not in "biuf":
            raise BadInput(f"{self._where}: {column.key} should hold numbers, found {array.dtype}; download it again")
        if column.is_image and array.dtype != np.uint8:
            raise BadInput(f"{self._where}: {column.key} should be uint8, found {array.dtype}; is it of this adapter?")
        return array

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def read(self, key: str, index: int) -> Shaped[ndarray, "..."]:
        """One frame of one array.

        Raises:
            UnusableFrame: the stored bytes do not decode.
        """
        try:
            return np.asarray(self._arrays[key][index])
        except OSError as error:
            raise UnusableFrame(f"undecodable_{key}") from error

    def numbers(self, key: str, index: int) -> Shaped[ndarray, "..."]:
        """One frame of one array of labels, float64.

        Raises:
            UnusableFrame: the stored bytes do not decode, or a value is not finite.
        """
        return finite(self.read(key, index), key)

    def column(self, key: str) -> Shaped[ndarray, " n"]:
        """All of a one-number label, such as `frame_index`."""
        try:
            return np.asarray(self._arrays[key][()]).reshape(self._count)
        except OSError as error:
            raise BadInput(f"{self._where}: {key} does not decode ({error}); download it again") from error

    def dtype(self, key: str) -> np.dtype[Any]:
        """The stored type."""
        return np.dtype(self._arrays[key].dtype)


def finite(values: Shaped[ndarray, "..."], key: str) -> Shaped[ndarray, "..."]:
    """Labels as float64; a non-finite value makes the frame unusable."""
    try:
        out = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UnusableFrame(f"no_numbers_{key}") from error
    if not np.isfinite(out).all():
        raise UnusableFrame(f"nan_{key}")
    return out


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(e in (None, s) for s, e in zip(shape, expected, strict=True))


def _text(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join(['N', *('any' if side is None else str(side) for side in shape)])})"


def _hint(group: h5py.Group) -> str:
    keys = sorted(group)
    return f"found {', '.join(keys[:12])}{' ...' if len(keys) > 12 else ''}" if keys else "it is empty"
