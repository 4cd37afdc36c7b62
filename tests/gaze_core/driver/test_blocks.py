import numpy as np

from gaze_core.driver.blocks import IntervalConfig, block_interval


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
