"""Means with their uncertainty: bootstrap intervals over subjects, because pictures of one person resemble each other."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, NonNegativeInt, PositiveInt

from gaze_core.config import Config
from gaze_core.reproducibility import derived_seed

_CHUNK = 200  # resamples at a time, so that memory does not grow with their number


class Bootstrap(Config):
    """How intervals are made: percentiles of the mean over seeded resamples (Efron 1979)."""

    confidence: float = Field(0.95, gt=0, lt=1)
    num_resamples: PositiveInt = 2000
    seed: NonNegativeInt = 0


class Estimate(Config):
    """A mean, its interval [low, high] and what it stands on; without a value, `absent` says why."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    num_samples: NonNegativeInt = 0
    num_subjects: NonNegativeInt = 0
    absent: str = ""


def estimate(
    subjects: Sequence[Float[ndarray, " n"]], bootstrap: Bootstrap, absent: str = "nothing to read"
) -> Estimate:
    """Mean over subjects of each subject's mean, where NaN is a sample without a value.

    Each subject counts the same, as in the published experiments. With several subjects, whole subjects are drawn
    again; within the only subject, its samples are, so that interval says nothing about other people.
    """
    readable = [values[~np.isnan(values)] for values in subjects]
    readable = [values for values in readable if len(values)]
    if not readable:
        return Estimate(absent=absent)
    units = np.array([values.mean() for values in readable]) if len(readable) > 1 else readable[0]
    low, high = percentile_interval(units, bootstrap)
    return Estimate(
        value=float(units.mean()),
        low=low,
        high=high,
        num_samples=sum(len(values) for values in readable),
        num_subjects=len(readable),
    )


def percentile_interval(units: Float[ndarray, " n"], bootstrap: Bootstrap) -> tuple[float, float]:
    """Interval of the mean of `units`, drawn with replacement. The same seed gives the same interval."""
    rng = np.random.default_rng(derived_seed("bootstrap", bootstrap.seed))
    means = []
    for start in range(0, bootstrap.num_resamples, _CHUNK):
        count = min(_CHUNK, bootstrap.num_resamples - start)
        means.append(units[rng.integers(0, len(units), size=(count, len(units)))].mean(axis=1))
    outside = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(np.concatenate(means), [outside, 1 - outside])
    return float(low), float(high)
