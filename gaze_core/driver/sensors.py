"""The eye tracker's table of a drive: one gaze for each video frame, or the reason why there is none.

Angles are in the frame of the glasses' scene camera, which moves with the head (Pupil Labs' columns): azimuth > 0 to
the wearer's right, elevation > 0 up. The tracker is faster than the video, so a frame has several rows.
"""

import csv
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import PositiveFloat

from gaze_core.config import Config
from gaze_core.errors import BadInput

_DELIMITERS = (",", ";", "\t")
_EMPTY = ("", "nan", "none", "null", "n/a", "-")
_YES, _NO = ("true", "yes", "y", "t", "on"), ("false", "no", "n", "f", "off")
# Three zeros after a comma or point may be a thousands separator: 1,000 is refused, it may mean 1 or 1000.
_FRAME_NUMBER = re.compile(r"([0-9]+)(?:[.,](?!000$)0*)?")
_TO_DEG = {"deg": 1.0, "°": 1.0, "degree": 1.0, "degrees": 1.0, "": 1.0, "rad": 180 / math.pi, "radians": 180 / math.pi}


class SensorColumns(Config):
    """Names of columns. Case, spaces, underscores and a unit in brackets do not count; units are read from the header.

    Of several names the first one found is used. Only `frame`, `azimuth` and `elevation` are required.
    """

    frame: tuple[str, ...] = ("dash_frames", "frame")
    azimuth: tuple[str, ...] = ("azimuth",)
    elevation: tuple[str, ...] = ("elevation",)
    scene_x_px: tuple[str, ...] = ("gaze x", "dash gaze x")  # verifies the signs
    scene_y_px: tuple[str, ...] = ("gaze y", "dash gaze y")
    road_x_px: tuple[str, ...] = ("dash gaze x",)  # where the gaze meets the road image
    road_y_px: tuple[str, ...] = ("dash gaze y",)
    worn: tuple[str, ...] = ("worn",)
    blink: tuple[str, ...] = ("blink id",)
    scenario: tuple[str, ...] = ("scenario",)
    max_angle_deg: PositiveFloat = 90.0


_REQUIRED = ("frame", "azimuth", "elevation")
_OPTIONAL = ("scene_x_px", "scene_y_px", "road_x_px", "road_y_px", "worn", "blink", "scenario")


@dataclass(frozen=True)
class FrameGaze:
    """One video frame's gaze: medians of its valid rows, and their spread (1.48 times the median deviation)."""

    azimuth_deg: float
    elevation_deg: float
    azimuth_spread_deg: float
    elevation_spread_deg: float
    num_rows: int
    scene_px: tuple[float, float] | None
    road_px: tuple[float, float] | None
    scenario: str


@dataclass(frozen=True)
class GazeTrack:
    """The content of a table. `faults`: reason for each frame without a valid row; `row_faults`: rows by reason."""

    gaze: Mapping[int, FrameGaze]
    faults: Mapping[int, str]
    row_faults: Mapping[str, int]
    num_rows: int

    def fault(self, frame: int) -> str:
        """Why this frame has no label; empty if it has one."""
        return "" if frame in self.gaze else self.faults.get(frame, "no_row")


@dataclass
class _Frame:
    values: list[list[float]] = field(default_factory=list)  # azimuth, elevation, scene x, y, road x, y
    faults: Counter[str] = field(default_factory=Counter)
    scenario: str = ""


def read_track(path: Path, columns: SensorColumns) -> GazeTrack:
    """Reads a CSV: commas, semicolons or tabs, with or without a byte-order mark, decimal points or commas.

    Raises:
        BadInput: the file is missing, not text, empty, lacks a column, has a quote that is not closed or a unit that is
            no angle, or has no valid row.
    """
    header, rows = _table(path)
    places = _places(path, header, columns)
    scales = [_scale(path, header[places[name]]) for name in ("azimuth", "elevation")]
    frames: defaultdict[int, _Frame] = defaultdict(_Frame)
    row_faults: Counter[str] = Counter()
    num_rows = 0
    for row in rows:
        num_rows += 1
        cells = {name: row[place].strip() if place < len(row) else None for name, place in places.items()}
        number = _FRAME_NUMBER.fullmatch(cells["frame"] or "")
        if any(cells[name] is None for name in _REQUIRED) or any(cell.strip() for cell in row[len(header) :]):
            row_faults["malformed"] += 1
        elif not number:
            row_faults["no_frame_number"] += 1
        else:
            fault = _take(frames[int(number[1])], cells, scales, columns.max_angle_deg)
            row_faults[fault] += bool(fault)
    gaze = {number: _median(frame) for number, frame in frames.items() if frame.values}
    if not gaze:
        counts = ", ".join(f"{reason}: {count}" for reason, count in sorted(row_faults.items()) if reason)
        raise BadInput(
            f"{path.name}: none of {num_rows} rows has a usable gaze ({counts or 'no rows'}); check the columns"
        )
    faults = {n: frame.faults.most_common(1)[0][0] for n, frame in frames.items() if not frame.values}
    return GazeTrack(gaze, faults, {reason: count for reason, count in row_faults.items() if reason}, num_rows)


def _table(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """The header's cells and the rows below it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path.name}: not readable ({error.strerror}); expected the eye tracker's CSV") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name}: not UTF-8 text ({error.reason}); export the table as CSV in UTF-8") from error
    first = text.split("\n", 1)[0]
    if not first.strip():
        raise BadInput(f"{path.name}: empty; expected a CSV with a header")
    delimiter = max(_DELIMITERS, key=first.count)
    rows = _rows(path, text, delimiter)
    header = [cell.strip() for cell in next(rows)]
    return header, rows


def _rows(path: Path, text: str, delimiter: str) -> Iterator[list[str]]:
    """The cells of each line that is not empty. A cell ends with its line, or an open quote would swallow the next rows."""
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        try:
            yield from (row for row in csv.reader([line], delimiter=delimiter, strict=True) if row)
        except csv.Error as error:
            raise BadInput(f"{path.name}: line {number}: {error}; correct the quotes or the delimiters") from error


def _places(path: Path, header: Sequence[str], columns: SensorColumns) -> dict[str, int]:
    known = {_plain(cell)[0]: place for place, cell in reversed(list(enumerate(header)))}
    places = {}
    for name in (*_REQUIRED, *_OPTIONAL):
        wanted = getattr(columns, name)
        found = [known[_plain(alias)[0]] for alias in wanted if _plain(alias)[0] in known]
        if found:
            places[name] = found[0]
        elif name in _REQUIRED:
            raise BadInput(
                f"{path.name}: no column for {name}; expected {' or '.join(map(repr, wanted))}, found: "
                f"{', '.join(header)}; name it with --set extract.columns.{name}='[\"NAME\"]'"
            )
    return places


def _plain(header: str) -> tuple[str, str]:
    """A header's name in lower case with single spaces, and its unit."""
    name, _, unit = header.partition("[")
    return " ".join(name.replace("_", " ").lower().split()), unit.partition("]")[0].strip().lower()


def _scale(path: Path, header: str) -> float:
    unit = _plain(header)[1]
    if unit not in _TO_DEG:
        raise BadInput(f"{path.name}: column {header!r} has the unit {unit!r}; expected deg or rad")
    return _TO_DEG[unit]


def _number(text: str | None) -> float:
    """The cell as a number, with a decimal point or comma; NaN if it is not a number."""
    try:
        return float((text or "").replace(",", "."))
    except ValueError:
        return math.nan


def _flag(text: str | None) -> bool | None:
    """A yes/no cell, in words or numbers, as a bool; None if it is neither."""
    word = (text or "").lower()
    if word in (*_YES, *_NO):
        return word in _YES
    number = _number(text)
    return None if math.isnan(number) else number > 0


def _take(frame: _Frame, cells: Mapping[str, str | None], scales: Sequence[float], max_angle_deg: float) -> str:
    """Adds a row to its frame; returns the reason if the row is invalid, else an empty string."""
    names = ("azimuth", "elevation", "scene_x_px", "scene_y_px", "road_x_px", "road_y_px")
    values = [_number(cells.get(name)) for name in names]
    values[:2] = [value * scale for value, scale in zip(values, scales, strict=False)]
    fault = ""
    flags = {name: _flag(cells[name]) for name in ("worn", "blink") if (cells.get(name) or "").lower() not in _EMPTY}
    if None in flags.values():
        fault = "worn_or_blink_not_readable"
    elif flags.get("worn") is False:
        fault = "not_worn"
    elif flags.get("blink"):
        fault = "blink"
    elif not np.isfinite(values[:2]).all():
        fault = "angle_not_a_number"
    elif max(map(abs, values[:2])) > max_angle_deg:
        fault = "angle_out_of_range"
    if fault:
        frame.faults[fault] += 1
    else:
        frame.values.append(values)
        frame.scenario = cells.get("scenario") or frame.scenario
    return fault


def _median(frame: _Frame) -> FrameGaze:
    values = np.array(frame.values)
    middle = [float(np.median(column[np.isfinite(column)])) if np.isfinite(column).any() else math.nan
              for column in values.T]  # fmt: skip
    spread = 1.4826 * np.median(np.abs(values[:, :2] - middle[:2]), axis=0)

    def pixel(pair: Sequence[float]) -> tuple[float, float] | None:
        return (pair[0], pair[1]) if np.isfinite(pair).all() else None

    return FrameGaze(
        middle[0], middle[1], float(spread[0]), float(spread[1]), len(values),
        pixel(middle[2:4]), pixel(middle[4:6]), frame.scenario,
    )  # fmt: skip
