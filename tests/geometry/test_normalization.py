"""Normalisation against answers worked out by hand, and round trips."""

import numpy as np
import pytest
import torch

from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.normalization import NORMALIZATIONS, NormalizationConfig, face_center_m, normalize

CAMERA = np.array([[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]])
XGAZE = NORMALIZATIONS["eth_xgaze_224"]


def turned(axis: str, angle_deg: float) -> np.ndarray:
    """Right-handed rotation about a camera axis."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    rows = {"x": [[1, 0, 0], [0, c, -s], [0, s, c]], "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]]}
    return np.array({**rows, "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis])


def test_face_straight_ahead_is_only_scaled():
    view = normalize(CAMERA, np.array([0, 0, 1.2]), np.eye(3), XGAZE)
    np.testing.assert_allclose(view.rotation, np.eye(3), atol=1e-12)
    # Twice as far as 0.6 m: the crop's focal length doubles from 960 to 1920, so 100 px become 192 px.
    np.testing.assert_allclose(view.points_px(np.array([[320.0, 240], [420, 240]])), [[112, 112], [304, 112]])
    assert view.intrinsics_px[0, 0] == pytest.approx(1920)


def test_camera_looks_at_the_face_and_a_look_into_the_camera_is_zero():
    center = np.array([0.5, 0, 0.5])  # 45 degrees to image right
    view = normalize(CAMERA, center, np.eye(3), XGAZE)
    np.testing.assert_allclose(view.direction(center / np.linalg.norm(center)), [0, 0, 1], atol=1e-12)
    # The real picture shows it at 320 + 1000; the crop shows it in its middle.
    np.testing.assert_allclose(view.points_px(np.array([[1320.0, 240]])), [[112, 112]])
    # Parallel to the optical axis is no longer into the camera: 45 degrees past it, to image right.
    gaze = pitchyaw_from_vector(torch.as_tensor(view.direction(np.array([0, 0, -1.0]))))
    np.testing.assert_allclose(torch.rad2deg(gaze), [0, -45], atol=1e-9)


@pytest.mark.parametrize("roll_deg", [-30, 0, 30])
def test_roll_of_the_head_is_taken_out(roll_deg):
    head = turned("z", roll_deg) @ turned("y", 20)
    view = normalize(CAMERA, np.array([0.1, -0.05, 0.7]), head, XGAZE)
    assert (view.rotation @ head[:, 0])[1] == pytest.approx(0, abs=1e-12)
    assert (view.rotation @ head[:, 0])[0] > 0
    np.testing.assert_allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(view.rotation) == pytest.approx(1)


def test_turning_camera_and_world_about_the_optical_axis_changes_nothing():
    center, head, gaze = np.array([0.1, 0.2, 0.8]), turned("y", 15) @ turned("x", -5), np.array([0.1, 0.2, -0.97])
    turn = turned("z", 25)
    plain = normalize(CAMERA, center, head, XGAZE)
    rolled = normalize(CAMERA, turn @ center, turn @ head, XGAZE)
    np.testing.assert_allclose(rolled.direction(turn @ gaze), plain.direction(gaze), atol=1e-12)


def test_denormalising_gives_back_gaze_and_points():
    view = normalize(CAMERA, np.array([-0.2, 0.1, 0.6]), turned("y", -25) @ turned("z", 10), XGAZE)
    gaze = vector_from_pitchyaw(torch.tensor([[0.3, -0.5], [-0.2, 0.7]]).double()).numpy()
    np.testing.assert_allclose(view.direction_in_picture(view.direction(gaze)), gaze, atol=1e-12)
    points = np.array([[10.0, 20], [300, 200]])
    np.testing.assert_allclose(view.points_in_picture_px(view.points_px(points)), points, atol=1e-9)


def test_stored_camera_draws_metric_points_where_the_warp_puts_them():
    points_m = np.array([[0.0, 0.0, 0.7], [0.08, -0.1, 0.8], [-0.05, 0.09, 0.62]])
    view = normalize(CAMERA, points_m[0], turned("y", 30) @ turned("z", -15), NORMALIZATIONS["portrait_128"])
    in_picture = points_m @ CAMERA.T
    in_crop = points_m @ view.world_to_camera[:3, :3].T @ view.intrinsics_px.T
    warped = view.points_px(in_picture[:, :2] / in_picture[:, 2:])
    np.testing.assert_allclose(in_crop[:, :2] / in_crop[:, 2:], warped, atol=1e-9)
    np.testing.assert_allclose(warped[0], [64, 64], atol=1e-9)


def test_resizing_keeps_the_view():
    half = XGAZE.resized(112)
    assert (half.focal_px, half.size_px, half.distance_m) == (480, 112, 0.60)


def test_face_centres():
    landmarks = np.zeros((68, 3))
    landmarks[[36, 39, 42, 45]] = [[-4, -3, 0], [-2, -3, 0], [2, -3, 0], [4, -3, 0]]
    landmarks[[31, 35]] = [[-1, 1, -2], [1, 1, -2]]
    landmarks[[48, 54]] = [[-2, 5, 0], [2, 5, 0]]
    np.testing.assert_allclose(face_center_m(landmarks, "eyes"), [0, -3, 0])
    np.testing.assert_allclose(face_center_m(landmarks, "eyes_nose"), [0, -1, -1])
    np.testing.assert_allclose(face_center_m(landmarks, "eyes_mouth"), [0, 1, 0])


def test_presets_are_those_of_the_publications():
    assert NORMALIZATIONS["eth_xgaze_224"] == NormalizationConfig(
        focal_px=960, distance_m=0.6, size_px=224, face_center="eyes_nose"
    )
    assert NORMALIZATIONS["gazenerf_512"].focal_px == 1600
    assert NORMALIZATIONS["gazenerf_512"].distance_m == 0.68
