import numpy as np
import pytest

from gaze_core.driver.blocks import BlockConfig, IntervalConfig, block_interval, split_blocks, stretch_of
from gaze_core.errors import BadInput


def test_blocks_are_contiguous_disjoint_and_apart():
    times = np.arange(0, 240, 0.25)
    config = BlockConfig()
    splits = split_blocks("drive", times.tolist(), 240, config)
    role = np.full(len(times), -1)
    for number, name in enumerate(("train", "validation", "test")):
        role[list(getattr(splits, name))] = number
    changes = np.flatnonzero(np.diff(role))
    assert len(changes) == 10 * 6 - 1  # each of ten stretches: gap, block, gap, block, gap, block
    inside = times[role >= 0]
    blocks = role[role >= 0]
    leaps = np.diff(inside)[np.diff(blocks) != 0]
    assert leaps.min() >= config.gap_s
    assert 0.55 < len(splits.train) / len(times) < 0.65
    assert len(np.unique(stretch_of(times[list(splits.test)].tolist(), 240, config))) == 10


def test_more_frames_keep_the_same_blocks_of_time():
    few, many = np.arange(0, 240, 0.5), np.arange(0, 240, 0.25)
    split_few, split_many = (split_blocks("d", t.tolist(), 240, BlockConfig()) for t in (few, many))
    assert set(few[list(split_few.test)]) <= set(many[list(split_many.test)])
    assert not set(few[list(split_few.test)]) & set(many[list(split_many.train)])


@pytest.mark.parametrize(
    ("times", "duration", "message"),
    [([0.0, 1.0], 20, "stretches of 2.0 s hold three gaps"), ([0.0, 1.0], 600, "1 usable frames for training")],
)
def test_recordings_too_short_to_split_are_refused(times, duration, message):
    with pytest.raises(BadInput, match=message):
        split_blocks("drive", times, duration, BlockConfig())


def test_neighbours_that_agree_make_the_interval_wide():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=20), 20)  # twenty independent numbers, each seen twenty times
    times = np.arange(400) * 0.1
    low, high = block_interval(values, times, IntervalConfig(block_s=2.0))
    one_by_one = block_interval(values, times, IntervalConfig(block_s=0.1))
    assert high - low > 3 * (one_by_one[1] - one_by_one[0])
    assert low < values.mean() < high


def test_an_interval_of_a_short_recording_is_no_point():
    rng = np.random.default_rng(0)
    values, times_s = rng.normal(3, 1, 20), 5 + np.arange(20) / 30
    low, high = block_interval(values, times_s, IntervalConfig())
    assert low < values.mean() - 0.1
    assert high > values.mean() + 0.1
    assert block_interval(np.ones(1), np.zeros(1), IntervalConfig()) == (1, 1)
