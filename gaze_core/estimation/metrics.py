"""Errors of gaze on recordings: angles, steadiness in fixations, means of groups."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gaze_core.geometry.angles import angular_error_deg

Angles = Float[ndarray, "n 2"]


def error_deg(predicted_rad: Angles, truth_rad: Angles) -> Float[ndarray, " n"]:
    """Angle between predicted and true gaze; NaN where either is unknown."""
    both = [torch.from_numpy(np.asarray(values, dtype=np.float64)) for values in (predicted_rad, truth_rad)]
    return angular_error_deg(*both).numpy()


def jitter_deg(
    predicted_rad: Angles, truth_rad: Angles, fixating: Bool[ndarray, " n"], starts: Bool[ndarray, " n"]
) -> Float[ndarray, " n"]:
    """How far the predicted gaze moves from the frame before more than the true one does; NaN outside fixations.

    Of the vector between both changes, so that a true drift of the eye is no jitter.
    """
    out = np.full(len(predicted_rad), np.nan)
    if len(out) < 2:
        return out
    change = np.diff(predicted_rad, axis=0) - np.diff(truth_rad, axis=0)
    change = np.rad2deg(np.hypot(change[:, 0], change[:, 1] * np.cos(truth_rad[1:, 0])))
    counts = fixating[1:] & fixating[:-1] & ~starts[1:]
    out[1:] = np.where(counts, change, np.nan)
    return out


def mean_by(values: Float[ndarray, " n"], groups: Int[ndarray, " n"], names: tuple[str, ...]) -> dict[str, float]:
    """Mean of the known values of each group, by its name; groups without one are left out."""
    found: dict[str, float] = {}
    for number, name in enumerate(names):
        own = values[(groups == number) & ~np.isnan(values)]
        if len(own):
            found[name] = float(own.mean())
    return found


def by_subject(values: Float[ndarray, " n"], people: Int[ndarray, " n"], count: int) -> list[Float[ndarray, " m"]]:
    """The values of each person."""
    return [values[people == number] for number in range(count)]


def angle_bins(angle_rad: Angles, edges_deg: Mapping[str, tuple[float, float]]) -> Mapping[str, Bool[ndarray, " n"]]:
    """Which frames have an angle to straight ahead within each bin's bounds."""
    off_deg = error_deg(angle_rad, np.zeros_like(angle_rad))
    return {name: (off_deg >= low) & (off_deg < high) for name, (low, high) in edges_deg.items()}
