"""Blocks of time: neighbouring frames of a drive are near copies, so splits and intervals go by blocks, not by frames."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.data.splits import Splits
from gaze_core.errors import BadInput
from gaze_core.evaluation.intervals import Bootstrap, Units, percentile_interval

_LEAST_BLOCKS = 4


class BlockConfig(Config):
    """The drive is cut into stretches of equal length; each gives a block for training, validation and test."""

    num_stretches: PositiveInt = 10
    validation_fraction: float = Field(0.15, gt=0, lt=0.5)
    test_fraction: float = Field(0.2, gt=0, lt=0.5)
    gap_s: NonNegativeFloat = 1.0  # left out before each block


def stretch_of(times_s: Sequence[float], duration_s: float, config: BlockConfig) -> Int[ndarray, " n"]:
    """Index of the stretch that each time lies in."""
    share = np.asarray(times_s, dtype=float) / max(duration_s, 1e-9)
    return np.clip((share * config.num_stretches).astype(int), 0, config.num_stretches - 1)


def split_blocks(subject: str, times_s: Sequence[float], duration_s: float, config: BlockConfig) -> Splits:
    """Splits the frames at these times into blocks of time; frames in the gaps belong to no split.

    Raises:
        BadInput: the stretches are shorter than their gaps, or a split stays empty.
    """
    stretch_s = duration_s / config.num_stretches
    usable_s = stretch_s - 3 * config.gap_s
    advice = "use a longer recording, or a smaller extract.blocks.num_stretches or gap_s"
    if usable_s <= 0:
        raise BadInput(f"{subject}: stretches of {stretch_s:.1f} s hold three gaps of {config.gap_s:g} s; {advice}")
    test_s, validation_s = config.test_fraction * usable_s, config.validation_fraction * usable_s
    train_s = usable_s - test_s - validation_s
    starts = np.cumsum([config.gap_s, train_s + config.gap_s, validation_s + config.gap_s])
    ends = starts + [train_s, validation_s, test_s]
    within = np.asarray(times_s) - stretch_of(times_s, duration_s, config) * stretch_s
    parts = [
        tuple(np.flatnonzero((within >= start) & (within < end)).tolist())
        for start, end in zip(starts, ends, strict=True)
    ]
    for name, part in zip(("training", "validation", "test"), parts, strict=True):
        if len(part) < 2:
            raise BadInput(f"{subject}: {len(part)} usable frames for {name}, expected 2 or more; {advice}")
    return Splits(subject=subject, train=parts[0], validation=parts[1], test=parts[2])


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
