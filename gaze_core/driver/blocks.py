"""Intervals over blocks of time: neighbouring frames of a drive are near copies, so whole blocks are drawn, not frames."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.evaluation.intervals import Bootstrap, Units, percentile_interval

_LEAST_BLOCKS = 4


class IntervalConfig(Config):
    """The block bootstrap (Kuensch 1989, with blocks that do not overlap)."""

    block_s: PositiveFloat = 2.0
    confidence: float = Field(0.95, gt=0, lt=1)
    num_resamples: PositiveInt = 2000
    seed: NonNegativeInt = 0

    @property
    def bootstrap(self) -> Bootstrap:
        """How blocks are resampled."""
        return Bootstrap(confidence=self.confidence, num_resamples=self.num_resamples, seed=self.seed)


def block_interval(
    values: Float[ndarray, " n"], times_s: Float[ndarray, " n"], config: IntervalConfig
) -> tuple[float, float]:
    """Percentile interval of the mean of `values`: whole blocks of time are resampled, not single frames."""
    return percentile_interval(block_units(values, times_s, config), config.bootstrap)


def block_units(values: Float[ndarray, " n"], times_s: Float[ndarray, " n"], config: IntervalConfig) -> Units:
    """The values in their blocks of time, for a bootstrap."""
    return Units.of_blocks(values, _blocks(np.asarray(times_s), config.block_s))


def _blocks(times_s: Float[ndarray, " n"], block_s: float) -> Int[ndarray, " n"]:
    """Index of the block of each time. A short recording gets shorter blocks: with a single block the interval is a point."""
    least = min(_LEAST_BLOCKS, len(np.unique(times_s)))
    while True:
        found: Int[ndarray, " n"] = np.unique(np.floor(times_s / block_s), return_inverse=True)[1]
        if found.max() + 1 >= least:
            return found
        block_s /= 2
