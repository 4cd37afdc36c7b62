"""Driving signals from a user's tables: gaze and lids by frame, each row from its frame on."""

import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.errors import BadInput

_MOST_DEG = 60.0
_OPENFACE, _OPENFACE_CLOSED = "AU45_r", 2.0


def read_gaze_table(path: Path, count: int) -> Float[ndarray, "t 2"]:
    """`[pitch, yaw]` in radians of each frame, as the camera sees them, from the columns frame, pitch_deg, yaw_deg.

    Raises:
        BadInput: no such file or columns, or a value that is no number or beyond 60 degrees.
    """
    rows = _rows(path, ("frame", "pitch_deg", "yaw_deg"))
    values = np.array([row[1:] for row in rows])
    if np.abs(values).max() > _MOST_DEG:
        raise BadInput(f"{path}: a gaze of {np.abs(values).max():g} degrees; expected at most {_MOST_DEG:g}")
    return np.deg2rad(_held(rows, count))


def read_blink_table(path: Path, count: int) -> Float[ndarray, "t 2"]:
    """How far the (left, right) lids are closed, 0 to 1, of each frame.

    Columns: frame and blink, or frame, left and right; or OpenFace's table with frame and AU45_r (2 and more is closed).
    Blanks around the names do not matter.

    Raises:
        BadInput: no such file or columns, or a value that is no number or out of range.
    """
    names = _columns(path)
    if {"left", "right"} <= names:
        held = _held(_rows(path, ("frame", "left", "right")), count)
    elif _OPENFACE in names:
        held = _held(_rows(path, ("frame", _OPENFACE)), count).clip(0, _OPENFACE_CLOSED) / _OPENFACE_CLOSED
    else:
        held = _held(_rows(path, ("frame", "blink")), count)
    if held.min() < 0 or held.max() > 1:
        raise BadInput(f"{path}: expected lids from 0 (open) to 1 (closed), found {held.min():g} to {held.max():g}")
    return np.repeat(held, 2, axis=1) if held.shape[1] == 1 else held


def _columns(path: Path) -> set[str]:
    return {name.strip() for name in next(iter(_table(path)), {})}


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [dict(row) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: no readable CSV ({error}); expected a table with a column frame") from error


def _rows(path: Path, names: tuple[str, ...]) -> list[list[float]]:
    """The numbers of these columns, in order of the first."""
    found = []
    for number, row in enumerate(_table(path), start=2):
        named = {name.strip(): value for name, value in row.items() if name is not None}
        if missing := [name for name in names if name not in named]:
            raise BadInput(f"{path}: no column {missing[0]}; expected {', '.join(names)}")
        try:
            found.append([float(named[name]) for name in names])
        except (TypeError, ValueError) as error:
            raise BadInput(f"{path}: line {number}: expected numbers, found {list(named.values())}") from error
        if not np.isfinite(found[-1]).all():
            raise BadInput(f"{path}: line {number}: expected finite numbers")
    if not found:
        raise BadInput(f"{path}: no rows; expected the columns {', '.join(names)}")
    return sorted(found)


def _held(rows: list[list[float]], count: int) -> Float[ndarray, "t v"]:
    """The values of each frame: those of the last row at or before it; before the first row, those of the first."""
    table = np.array(rows)
    place = np.searchsorted(table[:, 0], np.arange(count), side="right") - 1
    return np.asarray(table[place.clip(0), 1:])
