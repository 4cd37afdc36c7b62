"""Correction of a person's gaze from a few samples: a constant offset, or a linear map toward which few samples lead."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from gaze_core.estimation.metrics import error_deg
from gaze_core.evaluation.baselines import affine_correction, bias_correction
from gaze_core.reproducibility import derived_seed

_FITS = {"bias": bias_correction, "affine": affine_correction}
METHODS = tuple(_FITS)


def calibrated_errors_deg(
    method: str,
    count: int,
    predicted: Float[ndarray, "n 2"],
    truth: Float[ndarray, "n 2"],
    people: Sequence[Int[ndarray, " k"]],
    draws: int,
) -> list[Float[ndarray, " d"]]:
    """For each person the mean error of every draw: `count` random frames fit the correction, the others are measured.

    Frames near a drawn one in time are not left out, so real gains from a calibration session are a little smaller.
    """
    found = []
    for number, frames in enumerate(people):
        rng = np.random.default_rng(derived_seed("person calibration", count, number))
        means = []
        for _ in range(draws if len(frames) > count else 0):
            chosen = rng.choice(len(frames), count, replace=False)
            rest = np.delete(frames, chosen)
            correct = _FITS[method](predicted[frames[chosen]], truth[frames[chosen]])
            means.append(float(error_deg(correct(predicted[rest]), truth[rest]).mean()))
        found.append(np.array(means))
    return found
