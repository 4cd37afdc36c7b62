"""The eyeball model and the pose against scenes whose answer is known, without any network."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.preprocess.face_mesh import CORNERS, IBUG_68, IRISES, LID_MIDDLES, NUM_MESH, RIGID
from gaze_core.preprocess.head_pose import (
    IRIS_DIAMETER_M,
    HeadModel,
    Pose,
    estimate_pose,
    intrinsics_of,
    iris_scale,
    lift,
    smooth_poses,
)
from gaze_core.preprocess.iris_gaze import IRIS_DEPTH_M, GazePrediction, camera_gaze, gaze_from_irises

CAMERA = intrinsics_of((640, 480), 1.2)
CENTERS_M = np.array([[0.031, 0, 0], [-0.031, 0, 0]])  # (left, right): the subject's left is image right
POSE = Pose(Rotation.from_euler("yxz", [20, -10, 15], degrees=True).as_matrix(), np.array([0.05, -0.04, 0.6]))
NO_EXPRESSION = np.zeros(64, np.float32)


def project(points_head_m, pose=POSE):
    points = pose.to_camera(points_head_m) @ CAMERA.T
    return points[..., :2] / points[..., 2:]


@pytest.fixture
def head() -> HeadModel:
    """A made-up face: points scattered over a half ellipsoid, the eyes' corners and lids where eyes have them."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(NUM_MESH, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = directions * (0.07, 0.09, 0.06) + (0, 0.03, 0.03)
    for center, corners, lids in zip(CENTERS_M, CORNERS, LID_MIDDLES, strict=True):
        side = np.sign(center[0])
        points[list(corners)] = center + [[0.014 * side, 0, -0.006], [-0.014 * side, 0, -0.006]]
        points[list(lids)] = center + [[0, -0.005, -0.011], [0, 0.005, -0.011]]
    return HeadModel(points, CENTERS_M)


def mesh_px(head, eyes_rad, pose=POSE):
    """The 478 points of a head that looks along `eyes_rad` (left, right), z as the landmarker gives it."""
    toward = vector_from_pitchyaw(torch.as_tensor(eyes_rad)).numpy()
    irises = np.zeros((10, 3))
    for start, center, direction in zip((5, 0), head.eye_centers_m, toward, strict=True):
        irises[start] = center + IRIS_DEPTH_M * direction
        rim = np.array([[-1, 0, 0], [0, -1, 0], [1, 0, 0], [0, 1, 0]]) * IRIS_DIAMETER_M / 2
        irises[start + 1 : start + 5] = irises[start] + rim
    points_m = np.concatenate([head.points_m, irises])
    depth_m = pose.to_camera(points_m)[:, 2]
    return np.column_stack([project(points_m, pose), depth_m * CAMERA[0, 0] / pose.translation_m[2]])


@pytest.mark.parametrize(
    "eyes_rad", [[[0.0, 0.0], [0.0, 0.0]], [[0.2, 0.3], [0.2, 0.3]], [[-0.3, -0.4], [-0.25, -0.5]]]
)
def test_gaze_is_recovered_exactly(head, eyes_rad):
    prediction = gaze_from_irises(mesh_px(head, eyes_rad), NO_EXPRESSION, POSE, head, CAMERA)
    np.testing.assert_allclose(prediction.gaze_head_eyes, eyes_rad, atol=1e-6)
    np.testing.assert_allclose(prediction.gaze_head, np.mean(eyes_rad, axis=0), atol=1e-6)
    assert prediction.valid


def test_closed_lids_blinks_and_impossible_eyes_make_gaze_invalid(head):
    points = mesh_px(head, [[0.0, 0.0], [0.0, 0.0]])
    shut = points.copy()
    shut[LID_MIDDLES.left[0], :2] = shut[LID_MIDDLES.left[1], :2]
    assert gaze_from_irises(shut, NO_EXPRESSION, POSE, head, CAMERA).eyes_open == (False, True)
    assert not gaze_from_irises(shut, NO_EXPRESSION, POSE, head, CAMERA).valid
    blink = NO_EXPRESSION.copy()
    blink[9] = 0.9  # eyeBlinkRight
    assert gaze_from_irises(points, blink, POSE, head, CAMERA).eyes_open == (True, False)
    far = points.copy()
    far[IRISES.left, :2] += 40
    assert not gaze_from_irises(far, NO_EXPRESSION, POSE, head, CAMERA).valid


def test_gaze_of_a_turned_head_in_the_camera():
    # A head turned to image left by 30 degrees, eyes straight ahead in it.
    turn = Rotation.from_euler("y", 30, degrees=True).as_matrix()
    np.testing.assert_allclose(np.rad2deg(camera_gaze(np.zeros(2), turn)), [0, 30], atol=1e-9)


def test_pose_is_recovered_and_iris_gives_the_scale(head):
    points = mesh_px(head, [[0.0, 0.0], [0.0, 0.0]])
    pose, misfit = estimate_pose(points, head, CAMERA)
    np.testing.assert_allclose(pose.rotation, POSE.rotation, atol=1e-5)
    np.testing.assert_allclose(pose.translation_m, POSE.translation_m, atol=1e-5)
    assert misfit < 1e-5
    assert pose.facing_deg == pytest.approx(POSE.facing_deg, abs=1e-3)
    # A head taken for 20 % too large stands 20 % too far, and its irises look 20 % too wide.
    large = HeadModel(head.points_m * 1.2, head.eye_centers_m * 1.2)
    far_pose, _ = estimate_pose(points, large, CAMERA)
    assert far_pose.translation_m[2] == pytest.approx(1.2 * POSE.translation_m[2], rel=1e-3)
    assert iris_scale(points, far_pose, large, CAMERA) == pytest.approx(1 / 1.2, rel=0.05)


def test_moved_landmarks_make_a_misfit(head):
    points = mesh_px(head, [[0.0, 0.0], [0.0, 0.0]])
    points[list(RIGID[:8]), 0] += 20
    assert estimate_pose(points, head, CAMERA)[1] > 0.06


def test_points_in_the_head_frame_project_onto_their_landmarks(head):
    points = mesh_px(head, [[0.0, 0.0], [0.0, 0.0]])
    lifted = lift(points, POSE, head, CAMERA)
    np.testing.assert_allclose(project(lifted), points[:NUM_MESH, :2], atol=1e-6)
    np.testing.assert_allclose(lifted, head.points_m, atol=0.004)


def test_smoothing_averages_neighbours_in_time_only():
    def at(x):
        return Pose(np.eye(3), np.array([x, 0, 1.0]))

    assert [p.translation_m[0] for p in smooth_poses([at(0.0), at(1.0)], [0, 1], 0)] == [0, 1]
    # A frame 100 later is too far away to count.
    smooth = smooth_poses([at(0.0), at(1.0), at(0.0), at(5.0)], [0, 1, 2, 102], 1.0)
    near, far = np.exp(-0.5), np.exp(-2.0)
    assert smooth[1].translation_m[0] == pytest.approx(1 / (1 + 2 * near))
    assert smooth[0].translation_m[0] == pytest.approx(near / (1 + near + far))
    assert smooth[3].translation_m[0] == 5
    np.testing.assert_allclose(smooth[1].rotation, np.eye(3), atol=1e-12)


def test_smoothing_weighs_turns_as_it_weighs_places():
    def turned(degrees):
        return Pose(Rotation.from_euler("z", degrees, degrees=True).as_matrix(), np.zeros(3))

    smooth = smooth_poses([turned(0), turned(30)], [0, 1], 1.0)
    weight, angle = np.exp(-0.5), np.deg2rad(30)
    expected = np.arctan2(weight * np.sin(angle), 1 + weight * np.cos(angle))
    np.testing.assert_allclose(smooth[0].rotation, turned(np.rad2deg(expected)).rotation, atol=1e-9)


def test_a_face_points_where_its_gaze_would_straight_ahead():
    for axis, expected in (("y", (0, 30)), ("x", (-30, 0))):  # y down: +30 about it is to image left; about x, down
        turn = Rotation.from_euler(axis, 30, degrees=True).as_matrix()
        assert Pose(turn, np.zeros(3)).facing_deg == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(np.rad2deg(camera_gaze(np.zeros(2), turn)), expected, atol=1e-9)


def test_predictions_of_two_eyes_that_disagree_are_invalid():
    def prediction(left, right):
        return GazePrediction(np.array([left, right]), np.zeros(2), (True, True))

    assert prediction((0.0, 0.3), (0.0, 0.0)).valid
    assert not prediction((0.0, 0.4), (0.0, 0.0)).valid  # though no eye looks further than an eye can
    assert not prediction((-0.2, 0.0), (0.2, 0.0)).valid


def test_named_points_are_distinct():
    assert len(IBUG_68) == len(set(IBUG_68)) == 68
    assert len(set(RIGID)) == len(RIGID)
