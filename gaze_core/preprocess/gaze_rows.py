"""The table of what was read: a CSV and JSON lines, a row for each face of each picture, written as they come.

The names, the order and the units of `COLUMNS` stay as they are; docs/gaze.md describes them.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from gaze_core.atomic import FULL
from gaze_core.errors import NoSpace
from gaze_core.preprocess.gaze_reader import FaceReading

Value = str | int | float | None
Row = Mapping[str, Value]

COLUMNS = (
    "file", "frame", "time_s", "face",
    "gaze_camera_pitch_deg", "gaze_camera_yaw_deg", "gaze_head_pitch_deg", "gaze_head_yaw_deg", "gaze_sigma_deg",
    "eye_openness_left", "eye_openness_right",
    "head_pitch_deg", "head_yaw_deg", "head_roll_deg", "head_x_m", "head_y_m", "head_z_m",
    "face_left_px", "face_top_px", "face_right_px", "face_bottom_px",
    "why_none",
)  # fmt: skip
SCREEN_COLUMNS = ("screen_x_px", "screen_y_px")
CSV_FILE, JSONL_FILE = "gaze.csv", "gaze.jsonl"
_DIGITS = {"_deg": 3, "_m": 4, "_px": 2, "_s": 6, "_left": 3, "_right": 3}


def rows_of(
    file: str,
    frame: int,
    time_s: float | None,
    readings: Sequence[FaceReading],
    why_none: str = "no_face",
    screen: Sequence[tuple[float, float] | None] | None = None,
) -> list[Row]:
    """The rows of a picture: one a face, or one with the reason why there is no face."""
    place: dict[str, Value] = {"file": file, "frame": frame, "time_s": time_s}
    if not readings:
        return [place | {"why_none": why_none}]
    points = screen or [None] * len(readings)
    return [place | _of_face(reading, point) for reading, point in zip(readings, points, strict=True)]


def _of_face(reading: FaceReading, screen: tuple[float, float] | None) -> dict[str, Value]:
    gaze = reading.gaze
    row: dict[str, Value] = {"face": reading.face, "why_none": gaze.why_none}
    for frame, angles in (("camera", gaze.camera), ("head", gaze.head)):
        if angles is not None:
            row |= {f"gaze_{frame}_{axis}_deg": float(np.rad2deg(angles[k])) for k, axis in enumerate(("pitch", "yaw"))}
    if gaze.sigma_rad is not None:
        row["gaze_sigma_deg"] = float(np.rad2deg(gaze.sigma_rad))
    row |= {
        f"eye_openness_{side}": float(value) for side, value in zip(("left", "right"), reading.openness, strict=True)
    }
    head_deg = np.rad2deg(reading.head_angles_rad)
    row |= {f"head_{axis}_deg": float(value) for axis, value in zip(("pitch", "yaw", "roll"), head_deg, strict=True)}
    row |= {f"head_{axis}_m": float(value) for axis, value in zip("xyz", reading.pose.translation_m, strict=True)}
    low, high = reading.points_px.min(axis=0), reading.points_px.max(axis=0)
    sides = ("left", "top", "right", "bottom")
    row |= {f"face_{side}_px": float(value) for side, value in zip(sides, (*low, *high), strict=True)}
    if screen is not None:
        row |= dict(zip(SCREEN_COLUMNS, map(float, screen), strict=True))
    return row


class RowWriter:
    """Writes rows at once and whole, under names that end in `.partial` until the context ends without an error.

    A run that is killed leaves the rows that it has read in `gaze.csv.partial` and `gaze.jsonl.partial`.
    """

    def __init__(self, folder: Path, with_screen: bool = False) -> None:
        self.columns = (*COLUMNS, *SCREEN_COLUMNS) if with_screen else COLUMNS
        self._paths = [folder / name for name in (CSV_FILE, JSONL_FILE)]
        self._stack = ExitStack()
        self._csv, self._jsonl = (self._opened(partial_of(path)) for path in self._paths)
        self._put(self._csv, ",".join(self.columns))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is None:
            for path in self._paths:
                partial_of(path).replace(path)

    def write(self, rows: Sequence[Row]) -> None:
        """Adds rows.

        Raises:
            NoSpace: the disk is full.
        """
        for row in rows:
            values = [_rounded(name, row.get(name)) for name in self.columns]
            self._put(self._csv, ",".join("" if value is None else _quoted(str(value)) for value in values))
            self._put(self._jsonl, json.dumps(dict(zip(self.columns, values, strict=True)), ensure_ascii=False))

    def _opened(self, path: Path) -> IO[bytes]:
        # Unbuffered: each row is one call to the system, so that none is cut in two.
        return self._stack.enter_context(path.open("wb", buffering=0))

    def _put(self, file: IO[bytes], line: str) -> None:
        try:
            file.write((line + "\n").encode())
        except OSError as error:
            if error.errno in FULL:
                raise NoSpace(f"{file.name}: no space to write it ({error}); free some and run again") from error
            raise


def partial_of(path: Path) -> Path:
    """The name of a file until it is complete: `gaze.csv.partial`."""
    return path.with_name(f"{path.name}.partial")


def _rounded(name: str, value: Value) -> Value:
    if not isinstance(value, float):
        return None if value == "" else value
    if not np.isfinite(value):
        return None
    return round(value, next((digits for end, digits in _DIGITS.items() if name.endswith(end)), 6))


def _quoted(text: str) -> str:
    """A field of a CSV."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
