"""Means with their uncertainty: bootstrap intervals over subjects or blocks of time, whose samples resemble each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int
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
    """A mean, its interval [low, high] and the counts of samples and subjects; without a value, `absent` gives the reason."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    num_samples: NonNegativeInt = 0
    num_subjects: NonNegativeInt = 0
    absent: str = ""

    @property
    def num_units(self) -> int:
        """Number of resampled units: subjects, or the samples of a single subject."""
        return self.num_subjects if self.num_subjects > 1 else self.num_samples


@dataclass(frozen=True, eq=False)
class Units:
    """Units of a bootstrap: sum of values and weight of each unit. `stream` names the random stream."""

    sums: Float[ndarray, " u"]
    weights: Float[ndarray, " u"]
    mean: float
    stream: str

    @classmethod
    def of_subjects(cls, subjects: Sequence[Float[ndarray, " n"]]) -> Self:
        """Subjects as units, weighted equally as in the published experiments; the samples of a single subject are units."""
        values = np.array([values.mean() for values in subjects]) if len(subjects) > 1 else subjects[0]
        return cls(values, np.ones(len(values)), float(values.mean()), "bootstrap")

    @classmethod
    def of_blocks(cls, values: Float[ndarray, " n"], blocks: Int[ndarray, " n"]) -> Self:
        """Blocks as units, every sample weighted equally; `blocks` holds the block index of each sample."""
        sums, counts = np.bincount(blocks, values), np.bincount(blocks)
        return cls(sums, counts.astype(float), float(values.mean()), "blocks")


def estimate(
    subjects: Sequence[Float[ndarray, " n"]], bootstrap: Bootstrap, absent: str = "nothing to read"
) -> Estimate:
    """Mean over subjects of each subject's mean, where NaN is a sample without a value.

    The bootstrap resamples subjects. With a single subject it resamples its samples, and the interval does not extend
    to other people.
    """
    readable = [values[~np.isnan(values)] for values in subjects]
    readable = [values for values in readable if len(values)]
    if not readable:
        return Estimate(absent=absent)
    units = Units.of_subjects(readable)
    low, high = percentile_interval(units, bootstrap)
    return Estimate(
        value=units.mean,
        low=low,
        high=high,
        num_samples=sum(len(values) for values in readable),
        num_subjects=len(readable),
    )


def percentile_interval(units: Units, bootstrap: Bootstrap) -> tuple[float, float]:
    """Interval of the weighted mean of `units`, drawn with replacement. The same seed gives the same interval."""
    rng = np.random.default_rng(derived_seed(units.stream, bootstrap.seed))
    means, total = [], len(units.sums)
    for start in range(0, bootstrap.num_resamples, _CHUNK):
        count = min(_CHUNK, bootstrap.num_resamples - start)
        drawn = rng.integers(0, total, size=(count, total))
        means.append(units.sums[drawn].sum(axis=1) / units.weights[drawn].sum(axis=1))
    outside = (1 - bootstrap.confidence) / 2
    low, high = np.quantile(np.concatenate(means), [outside, 1 - outside])
    return float(low), float(high)
