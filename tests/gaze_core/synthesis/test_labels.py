"""Exact labels, by hand and by symmetry; none of this needs anny or mitsuba."""

import numpy as np
import pytest
import torch

from gaze_core.data.schema import ARKIT
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angle_between_deg, vector_from_pitchyaw
from gaze_core.synthesis import head, scene
from gaze_core.synthesis.appearance import make_eyeball
from gaze_core.synthesis.factory import exact_labels, pose_matrix
from gaze_core.synthesis.head import LIMBUS_RAD, eyeball_profile, lid_actions
from gaze_core.synthesis.identity import (
    Moment,
    Ranges,
    converging_gaze,
    draw_identity,
    draw_moment,
    identity_code,
)
from gaze_core.synthesis.rig import RIGS, View, camera_positions, normalized_extrinsics
from gaze_core.synthesis.scene import LIGHTS

EYES_M = np.array([[0.03, 0, 0], [-0.03, 0, 0]])  # left, right
FACE_M = np.array([0.0, 0.035, -0.017])


def unit(pitchyaw: np.ndarray) -> np.ndarray:
    return vector_from_pitchyaw(torch.tensor(pitchyaw)).numpy()


def test_eyes_converge_on_one_target():
    eyes = converging_gaze(np.array([0.2, -0.3]), 0.5, EYES_M)
    target = 0.5 * unit(np.array([0.2, -0.3]))
    for center, gaze in zip(EYES_M, eyes, strict=True):
        assert angle_between_deg(torch.tensor(target - center), torch.tensor(unit(gaze))) < 1e-6


def test_convergence_on_a_near_target_by_hand():
    left, right = converging_gaze(np.zeros(2), 0.3, EYES_M)
    # The left eye stands at image right and turns toward image left: yaw > 0, atan(0.03 / 0.3).
    np.testing.assert_allclose(left, [0, np.arctan(0.1)])
    np.testing.assert_allclose(right, [0, -np.arctan(0.1)])


def test_pose_turns_the_face_toward_its_angles():
    facing = pose_matrix(np.array([0.2, 0.4, 0.1]), np.zeros(3))[:3, :3] @ [0, 0, -1]
    np.testing.assert_allclose(facing, unit(np.array([0.2, 0.4])), atol=1e-12)


@pytest.mark.parametrize("rig", list(RIGS))
def test_normalised_view_is_centred_upright_and_at_its_distance(rig):
    pose = pose_matrix(np.array([0.1, -0.2, 0.08]), np.array([0.01, -0.02, 0.015]))
    for camera_m in camera_positions(rig):
        world_to_camera = normalized_extrinsics(camera_m, pose, FACE_M, 0.68)
        to_camera = world_to_camera @ pose
        np.testing.assert_allclose(to_camera[:3, :3] @ FACE_M + to_camera[:3, 3], [0, 0, 0.68], atol=1e-12)
        np.testing.assert_allclose(to_camera[:3, :3] @ to_camera[:3, :3].T, np.eye(3), atol=1e-12)
        assert abs(to_camera[1, 0]) < 1e-12  # the head's x axis is level
        assert to_camera[0, 0] > 0
        assert np.linalg.det(to_camera[:3, :3]) > 0


def test_the_rig_like_that_of_eth_xgaze_is_wide_symmetric_and_has_eighteen_cameras():
    rig = RIGS["eth_xgaze"]
    assert len(set(rig)) == 18
    assert {(pitch, -yaw) for pitch, yaw in rig} == set(rig)
    assert np.abs(rig).max(axis=0).tolist() == [40, 60]


def test_frontal_head_has_the_axes_of_camera_zero():
    centred = np.zeros(3)
    to_camera = normalized_extrinsics(camera_positions("frontal")[0], np.eye(4), centred, 0.68)
    np.testing.assert_allclose(to_camera[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(to_camera[:3, 3], [0, 0, 0.68], atol=1e-12)


def test_camera_to_image_left_sees_the_gaze_turn_to_image_right():
    """A camera with yaw > 0 stands at image left; eyes that look straight ahead pass it on its right."""
    camera_m = vector_from_pitchyaw(torch.tensor([0.0, 0.3]).double()).numpy()
    moment = Moment(np.zeros((2, 2)), np.zeros(3), np.zeros(3), np.zeros(52))
    view = View()
    extrinsics = normalized_extrinsics(camera_m, np.eye(4), np.zeros(3), view.distance_m)
    labels = exact_labels(moment, np.zeros((68, 3)), np.eye(4), extrinsics, view)
    np.testing.assert_allclose(labels["gaze_camera"], [0, -0.3], atol=1e-9)
    np.testing.assert_allclose(labels["landmarks_2d_px"], view.size_px / 2, atol=1e-9)


def test_landmark_a_centimetre_right_and_down_lands_there():
    view = View(size_px=128, focal_px=264.0, distance_m=0.68)
    extrinsics = normalized_extrinsics(np.array([0, 0, -1.0]), np.eye(4), np.zeros(3), view.distance_m)
    moment = Moment(np.zeros((2, 2)), np.zeros(3), np.zeros(3), np.zeros(52))
    landmarks_m = np.tile([0.01, 0.02, 0.0], (68, 1))
    labels = exact_labels(moment, landmarks_m, np.eye(4), extrinsics, view)
    np.testing.assert_allclose(labels["landmarks_2d_px"][0], [64 + 2.64 / 0.68, 64 + 5.28 / 0.68])


def test_lids_follow_only_vertical_gaze():
    actions = lid_actions(np.array([[0.1, 0.5], [-0.2, 0.5]]), full_at_rad=0.2)
    assert actions["eyeLookUpLeft"] == pytest.approx(0.5)
    assert actions["eyeLookDownRight"] == pytest.approx(1.0)
    assert sum(actions.values()) == pytest.approx(1.5)
    assert set(actions) <= set(ARKIT)


def test_draws_repeat_by_seed_stay_in_range_and_never_close_the_eyes():
    ranges = Ranges()
    moments = [draw_moment(np.random.default_rng([1, i]), ranges, EYES_M) for i in range(200)]
    again = draw_moment(np.random.default_rng([1, 7]), ranges, EYES_M)
    np.testing.assert_array_equal(again.expression, moments[7].expression)
    np.testing.assert_array_equal(again.gaze_head_eyes, moments[7].gaze_head_eyes)
    mean_deg = np.rad2deg([m.gaze_head_eyes.mean(axis=0) for m in moments])
    assert (np.abs(mean_deg) < [20.5, 30.5]).all()
    assert (np.abs(mean_deg).max(axis=0) > [18, 27]).all()
    expressions = np.stack([m.expression for m in moments])
    assert (expressions >= 0).all()
    assert (expressions <= 1).all()
    assert expressions[:, ARKIT.index("eyeBlinkLeft")].max() <= 0.35


def test_every_action_except_sideways_eye_movements_occurs_in_a_minority_of_images():
    draws = [draw_moment(np.random.default_rng([2, i]), Ranges(), EYES_M).expression for i in range(300)]
    occurs = dict(zip(ARKIT, (np.stack(draws) > 0).mean(axis=0), strict=True))
    still = {name for name, share in occurs.items() if share == 0}
    assert still == {f"eyeLook{way}{side}" for way in ("In", "Out") for side in ("Left", "Right")}
    assert max(share for name, share in occurs.items() if not name.startswith("eyeLook")) < 0.5


def test_a_full_blink_is_sampled_on_request():
    ranges = Ranges(blink=(1.0, 1.0))
    blinks = {draw_moment(np.random.default_rng(i), ranges, EYES_M).expression[ARKIT.index("eyeBlinkLeft")] > 0.8
              for i in range(40)}  # fmt: skip
    assert blinks == {False, True}


def test_irises_differ_in_size_and_are_painted_to_it():
    colorings = [draw_identity(seed)[1] for seed in range(40)]
    limbus_deg = np.rad2deg([coloring.limbus_rad for coloring in colorings])
    assert limbus_deg.min() < 20.2
    assert limbus_deg.max() > 21.8
    for coloring in (min(colorings, key=lambda x: x.limbus_rad), max(colorings, key=lambda x: x.limbus_rad)):
        ball = make_eyeball(coloring)
        from_axis = np.arctan2(np.hypot(*ball.vertices[:, :2].T), -ball.vertices[:, 2])
        white = ball.color.mean(axis=1) > 0.6
        assert from_axis[white].min() >= coloring.limbus_rad
        assert from_axis[white].min() < coloring.limbus_rad + np.deg2rad(3)


def test_identities_differ_and_repeat():
    codes = np.stack([identity_code(*draw_identity(seed), "studio") for seed in (1, 2, 1)])
    np.testing.assert_array_equal(codes[0], codes[2])
    assert np.abs(codes[0] - codes[1]).max() > 0.1
    assert codes.shape == (3, 80)


def test_the_code_of_an_identity_says_in_which_light_it_is_seen():
    codes = np.stack([identity_code(*draw_identity(1), light) for light in LIGHTS])
    lit = codes.std(axis=0) > 0
    assert lit.sum() == len(LIGHTS)
    np.testing.assert_array_equal(codes[:, lit], np.eye(len(LIGHTS)))


def test_eyeball_is_a_sphere_with_a_cornea():
    np.testing.assert_allclose(eyeball_profile(np.array([1.2 * LIMBUS_RAD, 1.5, 3.0])), 1.0)
    assert 1.02 < float(eyeball_profile(np.array(0.0))) < 1.05


@pytest.mark.parametrize(("load", "package"), [(head.load_anny.__wrapped__, "anny"), (scene.load_mitsuba, "mitsuba")])
def test_missing_package_names_what_to_install(load, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(BadInput, match=r"pip install gazeworks\[synthesis\]"):
        load()
