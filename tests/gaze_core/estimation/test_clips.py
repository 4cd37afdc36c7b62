"""Clips by hand: rates, gaps, invalid frames."""

import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.estimation.clips import clips, stretches
from gaze_core.estimation.recordings import Recording
from tests.gaze_core.estimation.made import write


def listed(found):
    return [frames.tolist() for frames in found]


def test_clips_at_a_quarter_of_the_rate_use_every_frame_once(tmp_path):
    recording = Recording(write(tmp_path, range(16)))
    assert listed(clips(recording, 2, 15)) == [
        [0, 4], [1, 5], [2, 6], [3, 7], [8, 12], [9, 13], [10, 14], [11, 15],
    ]  # fmt: skip
    assert listed(clips(recording, 3, 15, hop=6)) == [[0, 4, 8], [6, 10, 14]]
    assert listed(clips(recording, 3, 15, hop=6, shortest=1)) == [[0, 4, 8], [6, 10, 14], [12]]


def test_no_clip_crosses_a_gap_or_an_invalid_frame(tmp_path):
    numbers = [0, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16]  # frames 4 to 9 are missing
    valid = np.ones(11, bool)
    valid[8] = False  # number 14
    recording = Recording(write(tmp_path, numbers, valid=valid))
    assert listed(clips(recording, 2, 60, hop=1)) == [[0, 1], [1, 2], [2, 3], [4, 5], [5, 6], [6, 7], [9, 10]]
    assert listed(clips(recording, 5, 60, hop=1)) == []


def test_a_step_of_one_and_a_half_frames_is_no_gap_but_a_longer_one_is():
    # At 10 Hz the third step takes 0.15 s, the fifth 0.16 s.
    times_s = np.cumsum([0, 0.1, 0.1, 0.1499, 0.1, 0.16, 0.1])
    assert listed(stretches(times_s, np.ones(7, bool), 10.0)) == [[0, 1, 2, 3, 4], [5, 6]]
    assert stretches(times_s, np.zeros(7, bool), 10.0) == []


def test_rates_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"has 60 frames a second, which is no multiple of the clips' 25"):
        clips(Recording(write(tmp_path)), 4, 25)
