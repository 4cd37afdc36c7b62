"""From gaze and the place of the head to points on a screen, fitted to clicks.

Where the line of sight meets the camera's plane (z = 0) takes the place of the head into account. A screen near the camera is
that plane, up to where it stands, how it is turned and how large its pixels are: an affine map, of at least 3 clicks. From
6 clicks on quadratic terms, held back by a penalty, take up a tilt of the screen and a scale of gaze that changes.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.atomic import write_text
from gaze_core.errors import BadInput
from gaze_core.preprocess.gaze_reader import FaceReading

MIN_AFFINE, MIN_QUADRATIC = 3, 6  # clicks
MAP_FILE = "screen_map.json"
_PENALTY = 0.1  # on quadratic terms of standardised sights, a click
_MIN_TOWARD = 0.17  # share of the line of sight that leads to the camera's plane; less is more than 80 degrees aside
_MIN_SPREAD_M = 1e-4  # sights that lie nearer together, or along a line, tell nothing about the screen
_FORM = "expected the columns time_s,x_px,y_px for a video, or file,x_px,y_px for photographs"


@dataclass(frozen=True)
class Click:
    """A point of the screen at which somebody looked: in a video at a time, or in a photograph."""

    at: float | str  # seconds, or the name of a file
    x_px: float
    y_px: float


def read_clicks(path: Path, by: Literal["time_s", "file"]) -> list[Click]:
    """The clicks of a CSV.

    Raises:
        BadInput: the file is missing or not such a CSV, or there are fewer than 3 clicks.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            missing = [name for name in (by, "x_px", "y_px") if name not in (table.fieldnames or ())]
            if missing:
                raise BadInput(f"{path}: no column {', '.join(missing)}; {_FORM}")
            clicks = [_click(path, table.line_num, row, by) for row in table]
    except (OSError, UnicodeError, csv.Error) as error:
        raise BadInput(f"{path}: not a readable CSV ({' '.join(str(error).split())}); {_FORM}") from error
    if len(clicks) < MIN_AFFINE:
        raise BadInput(f"{path}: clicks: {len(clicks)}, expected {MIN_AFFINE} or more; record more of them")
    return clicks


def _click(path: Path, line: int, row: dict[str, str], by: str) -> Click:
    try:
        x_px, y_px = float(row["x_px"]), float(row["y_px"])
        at: float | str = float(row[by]) if by == "time_s" else row[by]
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"{path}, line {line}: expected numbers, found {','.join(map(str, row.values()))}; {_FORM}"
        ) from error
    if not np.isfinite([x_px, y_px, at if isinstance(at, float) else 0]).all():
        raise BadInput(f"{path}, line {line}: a value is not finite; {_FORM}")
    return Click(at, x_px, y_px)


def sight_m(reading: FaceReading) -> Float[ndarray, "2"] | None:
    """Where the line of sight from between the eyes meets the camera's plane, metres right and down of the camera."""
    if reading.gaze.camera is None:
        return None
    pitch, yaw = reading.gaze.camera
    v = np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
    head_m = reading.pose.translation_m
    return None if v[2] > -_MIN_TOWARD else np.asarray(head_m[:2] + v[:2] * (head_m[2] / -v[2]))


@dataclass(frozen=True, eq=False)
class ScreenMap:
    """Sights on the camera's plane to points of the screen."""

    middle_m: Float[ndarray, "2"]
    spread_m: float
    weights: Float[ndarray, "t 2"]  # of 1, x, y, and with 6 clicks x^2, xy, y^2 of standardised sights

    @classmethod
    def fit(cls, sights_m: Float[ndarray, "n 2"], points_px: Float[ndarray, "n 2"]) -> Self:
        """Least squares, with a penalty on the quadratic terms only, so that an affine map is found exactly.

        Raises:
            BadInput: fewer than 3 clicks, or their sights are nearly one point or one line.
        """
        if len(sights_m) < MIN_AFFINE:
            raise BadInput(f"clicks with a gaze: {len(sights_m)}, expected {MIN_AFFINE} or more; record more of them")
        middle, spread = sights_m.mean(axis=0), float(sights_m.std())
        if np.linalg.svd(sights_m - middle, compute_uv=False)[-1] < _MIN_SPREAD_M:
            raise BadInput("the gazes at the clicks lie in one point or on one line; spread the clicks over the screen")
        num_terms = 6 if len(sights_m) >= MIN_QUADRATIC else 3
        terms = _terms((sights_m - middle) / spread, num_terms)
        penalty = np.diag([0.0] * 3 + [_PENALTY * len(sights_m)] * (num_terms - 3))
        return cls(middle, spread, np.linalg.solve(terms.T @ terms + penalty, terms.T @ points_px))

    def __call__(self, sights_m: Float[ndarray, "*n 2"]) -> Float[ndarray, "*n 2"]:
        """Points of the screen, px."""
        return _terms((sights_m - self.middle_m) / self.spread_m, len(self.weights)) @ self.weights

    def save(self, path: Path) -> None:
        """Writes the map, for other recordings of the same person, camera and screen."""
        content = {
            "middle_m": self.middle_m.tolist(),
            "spread_m": self.spread_m,
            "weights": self.weights.tolist(),
        }
        write_text(path, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """A map that was saved.

        Raises:
            BadInput: there is no such file, or it is not a map.
        """
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            found = cls(
                np.array(content["middle_m"], float), float(content["spread_m"]), np.array(content["weights"], float)
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"{path}: not a screen map ({error}); expected the {MAP_FILE} of a calibrated run"
            ) from error
        if found.middle_m.shape != (2,) or found.weights.shape not in ((3, 2), (6, 2)) or not found.spread_m > 0:
            raise BadInput(
                f"{path}: not a screen map (its sizes do not fit); expected the {MAP_FILE} of a calibrated run"
            )
        return found


def left_out_errors_px(sights_m: Float[ndarray, "n 2"], points_px: Float[ndarray, "n 2"]) -> Float[ndarray, " n"]:
    """The distance of each click from where a map that was fitted to the others puts it; none with only 3 clicks."""
    if len(sights_m) <= MIN_AFFINE:
        return np.zeros(0)
    errors = []
    for i in range(len(sights_m)):
        others = np.arange(len(sights_m)) != i
        try:
            predicted = ScreenMap.fit(sights_m[others], points_px[others])(sights_m[i])
        except BadInput:  # without this click the others lie on a line
            continue
        errors.append(np.linalg.norm(predicted - points_px[i]))
    return np.array(errors)


def screen_points(screen: ScreenMap | None, readings: Sequence[FaceReading]) -> list[tuple[float, float] | None]:
    """The point of the screen at which each face looks; None without a gaze or a map."""
    sights = [sight_m(reading) for reading in readings]
    return [None if screen is None or at is None else tuple(screen(at).tolist()) for at in sights]


def _terms(sights: Float[ndarray, "*n 2"], num_terms: int) -> Float[ndarray, "*n t"]:
    x, y = sights[..., 0], sights[..., 1]
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y][:num_terms], axis=-1)
