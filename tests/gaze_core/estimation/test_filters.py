"""Filters, histories and windows by hand."""

import numpy as np

from gaze_core.estimation import filters
from gaze_core.estimation.features import histories, windows
from gaze_core.estimation.predictors import shuffled

STARTS = np.array([True, False, False, True, False])


def test_a_history_holds_what_came_before_in_the_same_run():
    assert histories(STARTS, 3).tolist() == [[-1, -1, 0], [-1, 0, 1], [0, 1, 2], [-1, -1, 3], [-1, 3, 4]]


def test_windows_cover_every_frame_and_repeat_the_first_of_too_few():
    starts = np.zeros(10, bool)
    assert windows(starts, 4, 3).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert windows(np.zeros(9, bool), 4, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [5, 6, 7, 8]]
    assert windows(np.zeros(2, bool), 4, 4).tolist() == [[0, 0, 0, 1]]
    assert windows(np.zeros(0, bool), 4, 4).shape == (0, 4)


def test_the_average_starts_anew_after_a_gap():
    gaze = np.array([[0.0, 1.0], [1.0, 1.0], [3.0, 1.0], [8.0, 0.0], [0.0, 2.0]])
    past = histories(STARTS, 4)
    expected = [[0, 1], [0.5, 1], [1.75, 1], [8, 0], [4, 1]]
    np.testing.assert_allclose(filters.ema(gaze, past, 0.5), expected)


def test_the_median_is_of_what_is_known():
    gaze = np.array([[0.0, 1.0], [1.0, 1.0], [3.0, 5.0], [8.0, 0.0], [0.0, 2.0]])
    expected = [[0, 1], [0.5, 1], [1, 1], [8, 0], [4, 1]]
    np.testing.assert_allclose(filters.median(gaze, histories(STARTS, 5), 3), expected)


def test_the_strength_with_the_least_error_is_chosen():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.normal(size=(20, 2)), 30, axis=0)
    starts = np.zeros(len(truth), bool)
    starts[::30] = True  # never a saccade within a run: long memory is best
    past = histories(starts, 16)
    noisy = truth + rng.normal(0, 0.3, truth.shape)

    def error(gaze):
        return float(np.abs(gaze - truth).mean())

    name, best = filters.best("EMA", noisy, past, error)
    assert name == "0.1 of the newest frame" or name == "0.2 of the newest frame"
    assert error(best(noisy, past)) < 0.6 * error(noisy)
    assert filters.best("median", noisy, past, error)[0] == "9 frames"


def test_shuffled_time_keeps_the_newest_frame_and_moves_the_others():
    past = histories(np.array([True] + [False] * 39), 16)
    mixed = shuffled(past, 0)
    assert (mixed[:, -1] == past[:, -1]).all()
    assert (np.sort(mixed, axis=1) == np.sort(past, axis=1)).all()
    assert (mixed[20:, :-1] != past[20:, :-1]).mean() > 0.8
    assert ((mixed < 0) == (past < 0)).all()
