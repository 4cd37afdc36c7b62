"""Drawn gaze: where arrows point, and what stays as it was."""

import numpy as np

from gaze_core.preprocess.face_mesh import IRISES
from gaze_core.preprocess.gaze_estimators import EyeGaze
from gaze_core.preprocess.gaze_overlay import arrow_px, draw_gaze, legend
from gaze_core.preprocess.gaze_reader import FaceReading
from gaze_core.preprocess.head_pose import Pose

CYAN = (0, 225, 255)


def reading(angles_deg, head_m=(0.0, 0.0, 0.6), sigma_deg=None, why_none="", face=0):
    points = np.tile([[100.0, 80.0], [200.0, 180.0]], (239, 1))
    points[list(IRISES)] = [[170.0, 110.0], [130.0, 110.0]]
    gaze = EyeGaze(why_none=why_none)
    if angles_deg is not None:
        gaze = EyeGaze(np.deg2rad(angles_deg), np.deg2rad(angles_deg), sigma_deg and np.deg2rad(sigma_deg))
    return FaceReading(face, points, Pose(np.eye(3), np.array(head_m)), gaze, np.array([0.3, 0.3]))


def pixels_of(image, colour):
    return np.argwhere((image == colour).all(axis=-1))[:, ::-1]


def test_arrows_point_where_the_gaze_goes_and_none_into_the_camera():
    for angles_deg, sign in (((0, 30), (-1, 0)), ((0, -30), (1, 0)), ((30, 0), (0, -1)), ((-30, 0), (0, 1))):
        starts, way = arrow_px(reading(angles_deg))
        np.testing.assert_allclose(starts, [[170, 110], [130, 110]])
        np.testing.assert_allclose(way, 1.1 * 100 * 0.5 * np.array(sign), atol=1e-9)
    head_m = np.array([0.2, 0.1, 0.6])
    v = -head_m / np.linalg.norm(head_m)
    into_camera_deg = np.rad2deg([np.arcsin(-v[1]), np.arctan2(-v[0], -v[2])])
    np.testing.assert_allclose(arrow_px(reading(into_camera_deg, head_m))[1], 0, atol=1e-9)


def test_the_picture_shows_the_arrow_on_the_side_of_the_gaze():
    image = np.full((240, 320, 3), 90, np.uint8)
    drawn = draw_gaze(image, [reading((0, -30))])
    x, y = pixels_of(drawn[:200], CYAN).T
    assert x.min() >= 126
    assert 215 < x.max() < 230  # the right arrow's tip lies at 170 + 55
    assert abs(np.median(y) - 109.5) <= 1.5
    assert (image == 90).all()
    assert (drawn[:90] == 90).all()


def test_doubt_widens_the_cone():
    image = np.full((240, 320, 3), 90, np.uint8)
    areas = [
        (draw_gaze(image, [reading((0, -30), sigma_deg=sigma)])[:200] != 90).any(axis=-1).sum()
        for sigma in (None, 5, 12)
    ]
    assert 1.5 * areas[0] < areas[1] < 0.7 * areas[2]


def test_without_a_gaze_only_the_line_of_text_is_drawn():
    image = np.full((240, 320, 3), 90, np.uint8)
    drawn = draw_gaze(image, [reading(None, why_none="eyes_closed")])
    assert (drawn[:220] == 90).all()
    assert (drawn[-8:] != 90).any()
    assert legend([reading(None, why_none="eyes_closed")]) == "gaze in the camera: eyes closed"
    assert legend([reading((3, -12), sigma_deg=9), reading((0, 5), face=1)]) == (
        "face 0: pitch +3°, yaw -12° (±9°)   face 1: pitch +0°, yaw +5°"
    )


def test_a_face_at_the_border_and_a_tiny_picture_are_drawn():
    for shape in ((120, 140, 3), (20, 24, 3)):
        assert draw_gaze(np.zeros(shape, np.uint8), [reading((60, -60), sigma_deg=20)]).shape == shape
