"""Normalisation against answers worked out by hand, and round trips."""

import cv2
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


def test_camera_looks_at_the_face_and_gaze_into_the_camera_is_zero():
    center = np.array([0.5, 0, 0.5])  # 45 degrees to image right
    view = normalize(CAMERA, center, np.eye(3), XGAZE)
    np.testing.assert_allclose(view.direction(center / np.linalg.norm(center)), [0, 0, 1], atol=1e-12)
    # The real image shows it at 320 + 1000; the crop shows it in its middle.
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
    np.testing.assert_allclose(view.direction(gaze) @ view.rotation, gaze, atol=1e-12)
    points = np.array([[10.0, 20], [300, 200]])
    np.testing.assert_allclose(view.points_in_image_px(view.points_px(points)), points, atol=1e-9)


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


# One photograph of MPIIGaze worked through by its authors' method: camera, pose of a six-point face (pixels, mm; corners
# of the right and left eye, then of the mouth), and what follows from them. Measured with OpenCV 5.0.
GOLDEN_K = np.array([[994.73532636, 0, 624.66344095], [0, 998.16646784, 364.08742557], [0, 0, 1]])
GOLDEN_DISTORTION = np.array([-0.16321888358994174, 0.66783406157588499, -0.0012185442233194961,
                              -0.0030315776409916288, -1.0215992729832735])  # fmt: skip
GOLDEN_POINTS_PX = np.array([[551.0, 408], [603, 405], [698, 398], [755, 393], [603, 566], [724, 557]])
GOLDEN_MODEL_MM = np.array([[-45.097, -0.484, 2.397], [-21.313, 0.484, -2.397], [21.313, 0.484, -2.397],
                            [45.097, -0.484, 2.397], [-26.3, 68.595, 0], [26.3, 68.595, 0]])  # fmt: skip
GOLDEN_TARGET_MM = np.array([-127.790719, 4.621111, -12.025310])
GOLDEN_TURN, GOLDEN_SHIFT_MM = (-0.11659229, 0.14520322, -0.07825814), (11.53162195, 16.15307957, 431.66268812)
IBUG_OF_SIX = [36, 39, 42, 45, 48, 54]


@pytest.mark.parametrize(
    ("name", "center", "gaze_rad", "head_rad"),
    [
        ("mpii_gaze_right_eye", "right_eye", (0.01155298, 0.28181241), (0.08313266, 0.19218368)),
        ("mpii_gaze_left_eye", "left_eye", (0.01129320, 0.27016829), (0.08313266, 0.03982821)),
        ("eth_xgaze_448", "six_points", (0.00801968, 0.27818190), (0.02985520, 0.11703378)),
        ("eth_xgaze_448", "eyes_mouth", (0.00627847, 0.27826758), (0.00313374, 0.11708492)),
    ],
)
def test_golden_photograph(name, center, gaze_rad, head_rad):
    head = cv2.Rodrigues(np.array(GOLDEN_TURN))[0]
    landmarks_m = np.full((68, 3), np.nan)
    landmarks_m[IBUG_OF_SIX] = (GOLDEN_MODEL_MM @ head.T + GOLDEN_SHIFT_MM) / 1000
    config = NORMALIZATIONS[name].model_copy(update={"face_center": center})
    center_m = face_center_m(landmarks_m, config.face_center)
    view = normalize(GOLDEN_K, center_m, head, config)
    gaze = view.direction(GOLDEN_TARGET_MM / 1000 - center_m)
    np.testing.assert_allclose(pitchyaw_from_vector(torch.as_tensor(gaze)), gaze_rad, atol=2e-5)
    # The head's angles are those of its z axis, which points away from the camera: signs as for gaze after negation.
    facing = pitchyaw_from_vector(torch.as_tensor(-(view.rotation @ head)[:, 2]))
    np.testing.assert_allclose(facing, head_rad, atol=2e-4)


def test_golden_warp_of_the_right_eye():
    head = cv2.Rodrigues(np.array(GOLDEN_TURN))[0]
    center_m = np.array([-21.22300164, 19.01410876, 436.3004422]) / 1000
    view = normalize(GOLDEN_K, center_m, head, NORMALIZATIONS["mpii_gaze_right_eye"])
    expected = np.array([[0.690020188063, -0.053612796951, -346.097500178],
                         [0.055675574616, 0.690141916462, -295.562195582],
                         [-4.819447715e-05, 4.302996615e-05, 1]])  # fmt: skip
    np.testing.assert_allclose(view.warp / view.warp[2, 2], expected, rtol=1e-5)


def test_golden_pose_follows_from_its_landmarks():
    arguments = (GOLDEN_MODEL_MM, GOLDEN_POINTS_PX, GOLDEN_K, GOLDEN_DISTORTION)
    _, turn, shift = cv2.solvePnP(*arguments, flags=cv2.SOLVEPNP_EPNP)
    _, turn, shift = cv2.solvePnP(*arguments, turn, shift, True, flags=cv2.SOLVEPNP_ITERATIVE)
    np.testing.assert_allclose(turn[:, 0], GOLDEN_TURN, atol=2e-4)
    np.testing.assert_allclose(shift[:, 0], GOLDEN_SHIFT_MM, atol=0.01)


def test_two_published_cameras_of_one_face_differ_by_their_pixel_scale_alone():
    center, head = np.array([0.02, 0.04, 0.43]), turned("y", 12)
    fine = normalize(CAMERA, center, head, NORMALIZATIONS["eth_xgaze_448"])
    coarse = normalize(CAMERA, center, head, NORMALIZATIONS["eth_xgaze_224"])
    np.testing.assert_allclose(fine.rotation, coarse.rotation)
    np.testing.assert_allclose(np.diag([0.5, 0.5, 1]) @ fine.warp, coarse.warp, atol=1e-9)


@pytest.mark.parametrize("first", sorted(NORMALIZATIONS))
def test_undoing_any_named_normalisation_gives_the_same_gaze_and_head(first):
    """The face's centre differs between definitions, and with it the view; a direction does not."""
    points_m = np.random.default_rng(0).normal(size=(68, 3)) * 0.03 + [0.05, -0.02, 0.7]
    head, gaze = turned("y", -20) @ turned("x", 8) @ turned("z", 5), np.array([0.2, -0.1, -0.97])
    gaze = gaze / np.linalg.norm(gaze)
    config = NORMALIZATIONS[first]
    view = normalize(CAMERA, face_center_m(points_m, config.face_center), head, config)
    angles = pitchyaw_from_vector(torch.as_tensor(view.direction(gaze)))
    stored = vector_from_pitchyaw(angles).numpy()
    np.testing.assert_allclose(stored @ view.rotation, gaze, atol=1e-9)
    np.testing.assert_allclose(view.rotation.T @ (view.rotation @ head), head, atol=1e-12)
    middle = np.array([config.width_height_px]) / 2
    center = face_center_m(points_m, config.face_center) @ CAMERA.T
    np.testing.assert_allclose(view.points_in_image_px(middle)[0], center[:2] / center[2], atol=1e-9)
