"""Points on a screen, jitter and calibration by hand."""

import numpy as np
import pytest

from gaze_core.estimation.calibration import calibrated_errors_deg
from gaze_core.estimation.metrics import angle_bins, error_deg, jitter_deg, mean_by
from gaze_core.estimation.recording_schema import Screen
from gaze_core.estimation.screen import point_of_gaze

# The camera is above the middle of the screen's upper edge and looks away from it, at the person.
SCREEN = Screen(
    size_px=(1000, 500), size_m=(0.5, 0.25),
    to_camera=((-1, 0, 0, 0.25), (0, 1, 0, 0.01), (0, 0, -1, 0), (0, 0, 0, 1)),
)  # fmt: skip


def test_a_look_into_the_lens_meets_the_screen_above_its_middle():
    origin, eye = np.array([[0.0, 0.0, 0.6]]), np.eye(3)[None]
    np.testing.assert_allclose(point_of_gaze(np.zeros((1, 2)), eye, origin, SCREEN), [[0.25, -0.01]], atol=1e-12)


def test_down_and_to_the_picture_s_left_is_lower_and_to_the_screen_s_right():
    # Seen by the camera the person's gaze goes to the picture's left; that is the right side of the screen for the person.
    gaze = np.array([[-np.arctan(0.1 / 0.5), np.arctan(0.1 / 0.5)]])
    point = point_of_gaze(gaze, np.eye(3)[None], np.array([[0.0, 0.0, 0.5]]), SCREEN)[0]
    assert point[0] == pytest.approx(0.25 + 0.1)
    assert point[1] == pytest.approx(-0.01 + 0.5 * np.hypot(1, 0.2) * 0.2)


def test_the_rotation_is_undone():
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])[None]  # camera frame to normalised frame
    plain = point_of_gaze(np.array([[0.0, 0.2]]), np.eye(3)[None], np.array([[0.0, 0.0, 0.6]]), SCREEN)
    # The direction (-sin y, 0, -cos y) of the camera's frame is (0, sin y, -cos y) in the turned one: pitch -y.
    turned = point_of_gaze(np.array([[-0.2, 0.0]]), turn, np.array([[0.0, 0.0, 0.6]]), SCREEN)
    np.testing.assert_allclose(turned, plain, atol=1e-12)


def test_a_gaze_that_turns_away_meets_nothing():
    points = point_of_gaze(np.array([[0.0, np.pi]]), np.eye(3)[None], np.array([[0.0, 0.0, 0.6]]), SCREEN)
    assert np.isnan(points).all()


def test_jitter_counts_in_fixations_only_and_without_the_eye_s_own_movement():
    truth = np.deg2rad([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 9.0], [0.0, 9.0]])
    predicted = truth + np.deg2rad([[0.0, 0.5], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    fixating = np.array([True, True, True, False, True])
    starts = np.array([True, False, False, False, False])
    found = jitter_deg(predicted, truth, fixating, starts)
    np.testing.assert_allclose(found, [np.nan, 0.5, 0.0, np.nan, np.nan], atol=1e-9)
    starts[1] = True
    assert np.isnan(jitter_deg(predicted, truth, fixating, starts)[1])


def test_groups_and_bins():
    values, groups = np.array([1.0, 3.0, np.nan, 5.0]), np.array([0, 0, 0, 2])
    assert mean_by(values, groups, ("a", "b", "c")) == {"a": 2.0, "c": 5.0}
    bins = angle_bins(np.deg2rad([[0.0, 5.0], [12.0, 0.0], [40.0, 0.0]]), {"near": (0, 10), "far": (10, 30)})
    assert {name: chosen.tolist() for name, chosen in bins.items()} == {
        "near": [True, False, False], "far": [False, True, False],
    }  # fmt: skip


def test_an_offset_is_learned_from_one_sample_and_a_slope_from_many():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-0.3, 0.3, (60, 2))
    people = [np.arange(60)]
    shifted = truth + [0.1, -0.05]
    assert error_deg(shifted, truth).mean() > 5
    assert calibrated_errors_deg("bias", 1, shifted, truth, people, 3)[0].max() < 1.0
    scaled = 0.5 * shifted
    bias, affine = (calibrated_errors_deg(m, 20, scaled, truth, people, 5)[0].mean() for m in ("bias", "affine"))
    assert affine < 0.2 * bias
    assert len(calibrated_errors_deg("bias", 60, shifted, truth, people, 3)[0]) == 0
