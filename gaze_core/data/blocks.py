"""Blocks of time: neighbouring frames of a recording are near copies, so a split goes by blocks with gaps, not by frames."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.data.splits import Splits
from gaze_core.errors import BadInput

_STRETCH_S, _FEWEST_STRETCHES = 12.0, 3  # of a recording that is short
_GAP_OF_STRETCH = 1 / 15  # no gap is longer, so the three gaps of a stretch take a fifth of it or less
_FEWEST_FRAMES = 60  # below it blocks are hardly more than single frames


class BlockConfig(Config):
    """A recording is cut into stretches of equal length. In the middle of each are a validation and a test block.

    What is before and after is for training, so that training surrounds every held-out block, the last one, too.
    """

    num_stretches: PositiveInt = 10
    validation_fraction: float = Field(0.15, gt=0, lt=0.5)
    test_fraction: float = Field(0.2, gt=0, lt=0.5)
    gap_s: NonNegativeFloat = 1.0  # left out around each held-out block


def stretch_of(times_s: Sequence[float], duration_s: float, config: BlockConfig) -> Int[ndarray, " n"]:
    """Number of the stretch in which each time lies."""
    share = np.asarray(times_s, dtype=float) / max(duration_s, 1e-9)
    return np.clip((share * config.num_stretches).astype(int), 0, config.num_stretches - 1)


def split_blocks(subject: str, times_s: Sequence[float], duration_s: float, config: BlockConfig) -> Splits:
    """Positions of the frames at these times, by block; frames in the gaps are in none.

    Raises:
        BadInput: the stretches are shorter than their gaps, or a split stays empty.
    """
    stretch_s = duration_s / config.num_stretches
    usable_s = stretch_s - 3 * config.gap_s
    advice = "use a longer recording, or a smaller blocks.num_stretches or gap_s"
    if usable_s <= 0:
        raise BadInput(f"{subject}: stretches of {stretch_s:.1f} s hold three gaps of {config.gap_s:g} s; {advice}")
    validation_s, test_s = config.validation_fraction * usable_s, config.test_fraction * usable_s
    validation_start_s = (usable_s - validation_s - test_s) / 2 + config.gap_s
    test_start_s = validation_start_s + validation_s + config.gap_s
    within_s = np.asarray(times_s) - stretch_of(times_s, duration_s, config) * stretch_s
    validation = _between(within_s, validation_start_s, validation_start_s + validation_s)
    test = _between(within_s, test_start_s, test_start_s + test_s)
    near = _between(within_s, validation_start_s - config.gap_s, test_start_s + test_s + config.gap_s)
    train = ~near & (np.asarray(times_s) < duration_s)
    parts = [tuple(np.flatnonzero(chosen).tolist()) for chosen in (train, validation, test)]
    for name, part in zip(("training", "validation", "test"), parts, strict=True):
        if len(part) < 2:
            raise BadInput(f"{subject}: {len(part)} usable frames for {name}, expected 2 or more; {advice}")
    return Splits(subject=subject, train=parts[0], validation=parts[1], test=parts[2])


def _between(values: Float[ndarray, " n"], low: float, high: float) -> Bool[ndarray, " n"]:
    return (values >= low) & (values < high)


def split_recording(
    subject: str, times_s: Sequence[float], last_fraction: float, config: BlockConfig
) -> Splits | None:  # fmt: skip
    """Positions of the frames at these times: the last block of a recording is held out, and before it interleaved blocks.

    Interleaved blocks show what training has seen shortly before and after; the last block shows how far a model carries
    beyond that. In a short recording stretches are fewer and gaps shorter than configured, so that most of it remains;
    breaks between usable frames count as no longer than a gap. None if there are too few frames for this.
    """
    if len(times_s) < _FEWEST_FRAMES:
        return None
    clock_s = _without_breaks(np.asarray(times_s, dtype=float), config.gap_s)
    duration_s = float(clock_s[-1] + np.diff(clock_s).mean())
    last_s = (1 - last_fraction) * duration_s
    num_stretches = min(config.num_stretches, max(_FEWEST_STRETCHES, int(last_s / _STRETCH_S)))
    gap_s = min(config.gap_s, last_s / num_stretches * _GAP_OF_STRETCH)
    blocks = config.model_copy(update={"num_stretches": num_stretches, "gap_s": gap_s})
    splits = split_blocks(subject, clock_s.tolist(), last_s - gap_s, blocks)
    return splits.model_copy(update={"last_block": tuple(np.flatnonzero(clock_s >= last_s).tolist())})


def _without_breaks(times_s: Float[ndarray, " n"], longest_s: float) -> Float[ndarray, " n"]:
    """The same times, from 0, with no frame further from the one before than `longest_s`, or than is usual."""
    steps_s = np.diff(times_s)
    steps_s = np.minimum(steps_s, max(longest_s, float(np.median(steps_s))))
    return np.concatenate([[0.0], np.cumsum(steps_s)])
