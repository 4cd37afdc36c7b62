import cv2
import numpy as np
import pytest

from gaze_core.data.adapters.angles import (
    ANGLES,
    direction,
    face_head_pose,
    head_rotation,
    pitch_down,
    rotated,
    to_canonical,
)
from gaze_core.data.adapters.columbia import columbia_labels
from gaze_core.data.adapters.frame_index import unwrapped
from gaze_core.errors import BadInput

# (pitch, yaw) and the same gaze as a camera, EVE array and Gaze360 vector; to nine digits, by hand.
REFERENCE = [
    ((0.1, 0.2), (-0.197676812, -0.099833417, -0.975170327), (0.197676812, -0.099833417, 0.975170327),
     (0.197676812, 0.099833417, -0.975170327)),
    ((-0.25, 0.5), (-0.464521360, 0.247403959, -0.850300645), (0.464521360, 0.247403959, 0.850300645),
     (0.464521360, -0.247403959, -0.850300645)),
    ((0.3, -1.2), (0.890410948, -0.295520207, -0.346173585), (-0.890410948, -0.295520207, 0.346173585),
     (-0.890410948, 0.295520207, -0.346173585)),
]  # fmt: skip


@pytest.mark.parametrize(("angles", "camera", "eve", "gaze360"), REFERENCE)
def test_vectors_of_every_convention(angles, camera, eve, gaze360):
    np.testing.assert_allclose(direction(angles), camera, atol=1e-9)
    np.testing.assert_allclose(to_canonical(camera, "camera_vector"), angles, atol=3e-9)
    np.testing.assert_allclose(to_canonical(np.negative(camera), "user_vector"), angles, atol=3e-9)
    np.testing.assert_allclose(to_canonical(eve, "eve_array_vector"), angles, atol=3e-9)
    np.testing.assert_allclose(to_canonical(gaze360, "gaze360_vector"), angles, atol=3e-9)
    np.testing.assert_array_equal(to_canonical(angles, "pitch_yaw"), angles)
    np.testing.assert_array_equal(to_canonical(angles[::-1], "yaw_pitch"), angles)
    np.testing.assert_array_equal(to_canonical([-angles[0], angles[1]], "pitch_down"), angles)


def test_a_real_gaze360_label():
    vector = (0.6257810692361899, -0.38593671970246585, -0.6778280768534976)
    pitch, yaw = to_canonical(vector, "gaze360_vector")
    assert (yaw, pitch) == pytest.approx((0.7454940407952673, -0.39622299367145264), abs=1e-15)


def test_conventions_take_any_leading_axes():
    for name, function in ANGLES.items():
        width = 3 if name.endswith("vector") else 2
        assert function(np.full((4, 5, width), 0.3)).shape == (4, 5, 2)


def test_gazenerf_pitch_grows_downward():
    looks_down_and_image_left = np.array([-0.2, 0.3, -0.9])  # head frame, y down
    v = looks_down_and_image_left / np.linalg.norm(looks_down_and_image_left)
    theirs = [np.arcsin(v[1]), np.arctan2(-v[0], -v[2])]
    np.testing.assert_allclose(direction(pitch_down(theirs)), v, atol=1e-12)


def test_head_rotation_is_the_one_that_made_the_published_angles():
    # One real frame of MPIIGaze, normalised by Zhang et al.'s formulas: R, the head's rotation vector, the label.
    normalization = np.array([
        [0.995498459916, -0.079317088393, 0.051880784432],
        [0.081404642403, 0.995900407991, -0.039441875709],
        [-0.048539679641, 0.043487663229, 0.997874101602],
    ])  # fmt: skip
    head = normalization @ cv2.Rodrigues(np.array([-0.11659229, 0.14520322, -0.07825814]))[0]
    label = (0.08313266, 0.19218368)
    np.testing.assert_allclose(head_rotation(np.array(label)), head, atol=1e-7)
    np.testing.assert_allclose(face_head_pose(head), label, atol=1e-7)


def test_a_turned_gaze_follows_its_frame():
    # A head turned by +0.3 in yaw and a gaze of yaw 0.5: 0.2 remain in the head's frame.
    to_head = head_rotation(np.array([0.0, 0.3])).T
    np.testing.assert_allclose(rotated(np.array([0.1, 0.5]), to_head), [0.1, 0.2], atol=1e-12)


def test_columbia_name_gives_gaze_in_both_frames():
    labels = columbia_labels("data/0001_2m_-15P_10V_5H.jpg")
    assert (labels.subject, labels.distance_m) == ("0001", 2.0)
    np.testing.assert_allclose(np.rad2deg(labels.gaze_camera), [10, -5])
    np.testing.assert_allclose(np.rad2deg(labels.head_pose), [0, 15])
    # GazeNeRF's label of the same image: (-V, P - H), pitch downward.
    np.testing.assert_allclose(labels.gaze_head, pitch_down(np.deg2rad([-10, -20])), atol=1e-12)


def test_columbia_mirror_and_lens():
    seen, mirrored = columbia_labels("0007_2m_30P_-10V_15H.jpg"), columbia_labels("0007_2m_-30P_-10V_-15H.jpg")
    np.testing.assert_allclose(mirrored.gaze_camera, seen.gaze_camera * [1, -1])
    np.testing.assert_allclose(mirrored.gaze_head, seen.gaze_head * [1, -1], atol=1e-12)
    np.testing.assert_array_equal(columbia_labels("0007_2m_30P_0V_0H.jpg").gaze_camera, [0, 0])


@pytest.mark.parametrize("name", ["0001_2m_0P_10V.jpg", "1_2m_0P_10V_5H.jpg", "0001_2m_0P_10V_5H_crop.jpg", ""])
def test_other_names_are_refused(name):
    with pytest.raises(BadInput, match="expected a name such as"):
        columbia_labels(name)


def test_frame_numbers_are_unwrapped_where_they_count():
    true = np.repeat(np.arange(240, 560), 2)  # two cameras a frame
    frames, note = unwrapped((true % 256).astype(np.uint8), np.tile([0, 1], 320))
    np.testing.assert_array_equal(frames, true)
    assert note == "unwrapped at 2 places"


@pytest.mark.parametrize(
    ("stored", "cameras"),
    [
        ([3, 9, 250, 7, 1, 30], [0] * 6),  # shuffled
        ([*range(250), *range(250)], [0] * 250 + [1] * 250),  # one camera after another
    ],
)
def test_frame_numbers_in_another_order_stay(stored, cameras):
    frames, note = unwrapped(np.array(stored, dtype=np.uint8), np.array(cameras))
    np.testing.assert_array_equal(frames, stored)
    assert "could not be undone" in note


def test_wide_or_rising_frame_numbers_stay():
    for stored in (np.array([250, 255, 300, 2]), np.arange(200, dtype=np.uint8)):
        frames, note = unwrapped(stored, np.zeros(len(stored), dtype=int))
        np.testing.assert_array_equal(frames, stored)
        assert note == "as stored"
