"""Values of each frame: lids, opening of the mouth, what lies between known frames."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from gaze_core.preprocess.face_mesh import CORNERS


def opening(points: Float[ndarray, "n 478 2"]) -> Float[ndarray, " n"]:
    """Distance of the inner lips over that of the eyes."""
    eyes = [points[:, list(corners)].mean(axis=1) for corners in (CORNERS.left, CORNERS.right)]
    return np.asarray(np.linalg.norm(points[:, 13] - points[:, 14], axis=1) / np.linalg.norm(eyes[0] - eyes[1], axis=1))


def closing(raw: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """Lids from 0 to 1 of a coefficient that differs between people: 30th percentile open, largest values closed."""
    low = np.percentile(raw, 30)
    high = max(float(np.percentile(raw, 99.5)), float(low) + 0.35)  # a film without a blink does not invent one
    return np.asarray(((raw - low) / (high - low)).clip(0, 1))


def nearest_valid(valid: ndarray) -> Int[ndarray, " n"]:
    """For each frame the nearest valid one."""
    rows = np.flatnonzero(valid)
    after = np.searchsorted(rows, np.arange(len(valid))).clip(0, len(rows) - 1)
    before = (after - 1).clip(0)
    frames = np.arange(len(valid))
    return np.asarray(
        np.where(np.abs(rows[before] - frames) <= np.abs(rows[after] - frames), rows[before], rows[after])
    )


def held_between(values: Float[ndarray, "n k"], known: ndarray) -> Float[ndarray, "n k"]:
    """The values, straight between known ones where they are not known."""
    if not known.any():
        return np.zeros_like(values)
    rows = np.arange(len(values))
    return np.stack([np.interp(rows, rows[known], column[known]) for column in values.T], axis=1)
