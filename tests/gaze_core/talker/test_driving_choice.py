"""Driving signals as a user asks for them."""

import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.talker.driving import eye_contact, held_out
from gaze_core.talker.driving_choice import DrivingConfig, chosen_driving
from tests.gaze_core.talker.test_driving import subject


def test_the_recording_as_it_is():
    one = subject()
    np.testing.assert_array_equal(chosen_driving(one, None, DrivingConfig()).gaze_head_rad, held_out(one).gaze_head_rad)
    assert len(chosen_driving(one, None, DrivingConfig(most_s=0.2))) == 5


def test_eyes_into_the_camera_or_beside_it():
    one = subject()
    recorded = held_out(one)
    found = chosen_driving(one, None, DrivingConfig(gaze="camera"))
    np.testing.assert_allclose(found.gaze_head_rad, eye_contact(recorded.viewmat, one.eye_centres_m))
    beside = chosen_driving(one, None, DrivingConfig(gaze="camera", camera_gaze_deg=(0, 10)))
    np.testing.assert_allclose(np.rad2deg((beside.gaze_head_rad - found.gaze_head_rad)[:, 1]), 10, atol=0.5)
    np.testing.assert_array_equal(found.blink, recorded.blink)


def test_generated_eyes_and_tables(tmp_path):
    one = subject()
    made = chosen_driving(one, None, DrivingConfig(gaze="generator", blinks="generator", seed=2))
    assert not np.allclose(made.gaze_head_rad, held_out(one).gaze_head_rad)
    table = tmp_path / "blink.csv"
    table.write_text("frame,blink\n0,0\n4,1\n")
    assert (
        chosen_driving(one, None, DrivingConfig(blinks="table"), blink_table=table).blink[:, 0].tolist()
        == [0] * 4 + [1] * 7
    )
    with pytest.raises(BadInput, match="gaze from a table, but there is none; give a CSV"):
        chosen_driving(one, None, DrivingConfig(gaze="table"))


def test_other_sound_has_generated_eyes_of_its_length():
    one, audio = subject(), np.zeros((60, 3, 2), np.float32)
    found = chosen_driving(one, None, DrivingConfig(), audio=audio)
    assert len(found) == 60
    assert found.gaze_head_rad.std() > 0
