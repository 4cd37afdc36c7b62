"""Checks of EVE's labels that the labels themselves allow: gaze against point of gaze, and the order of times."""

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray

# What may have happened to the columns of a gaze label, and how to undo it.
_MISTAKES = {
    "pitch and yaw are swapped": lambda g: g[:, ::-1],
    "yaw is mirrored": lambda g: g * [1, -1],
    "pitch is mirrored": lambda g: g * [-1, 1],
    "pitch and yaw are mirrored": lambda g: -g,
    "pitch and yaw are swapped and mirrored": lambda g: -g[:, ::-1],
    "angles are in degrees": lambda g: np.deg2rad(g),
}
_OFF_RAD = np.deg2rad(4.0)  # more than what separates a tracker's gaze from the line to its own point of gaze


def mistake_in(gaze_rad: Float[ndarray, "n 2"], expected_rad: Float[ndarray, "n 2"]) -> str:
    """What is wrong with gaze labels whose true values are known from the point of gaze; empty if nothing is.

    Args:
        gaze_rad: labels as stored.
        expected_rad: `[pitch, yaw]` from the gaze's origin to the point of gaze.
    """
    known = np.isfinite(gaze_rad).all(axis=1) & np.isfinite(expected_rad).all(axis=1)
    if known.sum() < 3:
        return ""
    gaze, expected = gaze_rad[known], expected_rad[known]

    def off(values: ndarray) -> float:
        return float(np.median(np.hypot(*(values - expected).T)))

    as_stored = off(gaze)
    if as_stored < _OFF_RAD:
        return ""
    name, error = min(((name, off(undo(gaze))) for name, undo in _MISTAKES.items()), key=lambda pair: pair[1])
    found = f"gaze and point of gaze differ by {np.rad2deg(as_stored):.1f} degrees (median)"
    return f"{found}; {name}" if error < min(_OFF_RAD, 0.5 * as_stored) else f"{found}; labels do not fit the screen"


def times_of(stamps: Shaped[ndarray, " n"], rate_hz: float) -> Float[ndarray, " n"]:
    """Seconds of times that begin with 0. The unit (s, ms, us or ns) is the one that fits the nominal rate best."""
    moved = np.asarray(stamps, dtype=np.float64)
    steps = np.diff(moved)
    steps = steps[steps > 0]
    if not len(steps):
        return moved * 1e-9
    ticks = float(np.median(steps)) * rate_hz  # units in a second
    unit = min((1.0, 1e3, 1e6, 1e9), key=lambda scale: abs(np.log(ticks / scale)))
    return moved / unit


def in_order(time_s: Float[ndarray, " n"]) -> Bool[ndarray, " n"]:
    """Frames later than all before them."""
    before = np.concatenate([[-np.inf], np.maximum.accumulate(time_s)[:-1]])
    return np.asarray(time_s > before)
