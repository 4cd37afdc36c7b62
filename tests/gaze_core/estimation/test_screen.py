"""Gaze and points on the screen, by hand and as inverses."""

import numpy as np

from gaze_core.estimation.recording_schema import Screen
from gaze_core.estimation.screen import gaze_at, pixels, point_of_gaze
from gaze_core.estimation.viewing.setup import screen_seen_by
from tests.gaze_core.estimation.made import SCREEN

# A camera at the upper left corner of the screen: the screen's x is the camera's -x.
AT_CORNER = Screen(
    size_px=(1000, 500), size_m=(0.5, 0.25),
    to_camera=((-1, 0, 0, 0), (0, 1, 0, 0), (0, 0, -1, 0), (0, 0, 0, 1)),
)  # fmt: skip
STRAIGHT = np.eye(3)[None]


def test_a_look_to_the_right_and_down_by_hand():
    # 0.6 m before the camera; 0.1 m to the right of who looks is camera -x, yaw > 0; 0.2 m down is pitch < 0.
    gaze = gaze_at(np.array([[0.1, 0.2]]), STRAIGHT, np.array([[0, 0, 0.6]]), AT_CORNER)
    np.testing.assert_allclose(gaze, [[-np.arctan2(0.2, np.hypot(0.6, 0.1)), np.arctan(1 / 6)]])
    np.testing.assert_allclose(pixels(np.array([[0.1, 0.2]]), AT_CORNER), [[200, 400]])


def test_a_look_away_meets_no_screen():
    gaze = np.array([[0.0, np.pi], [0.0, 0.0]])
    point = point_of_gaze(gaze, np.repeat(STRAIGHT, 2, 0), np.array([[0, 0, 0.6]] * 2), AT_CORNER)
    assert np.isnan(point[0]).all()
    np.testing.assert_allclose(point[1], [0, 0], atol=1e-12)


def test_gaze_and_point_are_inverse_for_any_rotation_and_camera():
    rng = np.random.default_rng(0)
    point = rng.uniform(0, 0.3, (20, 2))
    origin = rng.normal([0, 0, 0.6], 0.02, (20, 3))
    rotation = np.linalg.qr(rng.normal(size=(20, 3, 3)))[0]
    rotation *= np.linalg.det(rotation)[:, None, None]
    for screen in (SCREEN, screen_seen_by("basler"), screen_seen_by("webcam_l")):
        gaze = gaze_at(point, rotation, origin, screen)
        np.testing.assert_allclose(point_of_gaze(gaze, rotation, origin, screen), point, atol=1e-9)
