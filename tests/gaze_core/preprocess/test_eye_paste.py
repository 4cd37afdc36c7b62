"""Eyes of real pictures are turned, closed ones and everything around them are not."""

import numpy as np
import pytest

from gaze_core.preprocess.eye_paste import EyeLimits, eye_of, frontal_crop, frontal_view, paste_eyes
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.face_search import extent_px, find_faces
from gaze_core.preprocess.head_pose import intrinsics_of
from gaze_core.preprocess.iris_gaze import angles_of, gaze_from_irises
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.person import fit_person
from gaze_core.preprocess.posed_face import PosedFace, read_each

OPEN, CLOSED = 300, 10  # frames of the portrait


@pytest.fixture(scope="module")
def find(landmarker):
    return FaceLandmarker(landmarker)


@pytest.fixture(scope="module")
def posed_at(find, landmarker, video_frames):
    frames = dict(zip((CLOSED, OPEN), video_frames("portrait_pexels.mp4", (CLOSED, OPEN)), strict=True))
    average = read_average_face(landmarker)

    def pose(frame):
        image = np.ascontiguousarray(frames[frame][..., ::-1])
        intrinsics = intrinsics_of(image.shape[1::-1], 1.2)
        faces = find.faces(image)[:1]
        person = fit_person(faces, average, intrinsics)
        return PosedFace(image, faces[0], person.poses[0], person.head, intrinsics)

    return pose


def own_gaze(posed):
    now = gaze_from_irises(posed.face.points_px, posed.face.expression, posed.pose, posed.head, posed.intrinsics_px)
    return now, angles_of(frontal_view(posed).rotation @ posed.pose.rotation @ _vector(now.gaze_head))


def _vector(pitchyaw):
    pitch, yaw = pitchyaw
    return -np.array([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)])


def test_a_gaze_that_is_already_there_leaves_the_picture_as_it_is(posed_at):
    posed = posed_at(OPEN)
    _, gaze = own_gaze(posed)
    result = paste_eyes(posed, gaze, EyeLimits(max_yaw_deg=40))
    assert np.abs(result.image.astype(int) - posed.image).max() <= 1
    assert np.allclose(result.drawn, gaze)


def test_only_the_eyes_of_a_picture_change_and_they_do(posed_at):
    posed = posed_at(OPEN)
    result = paste_eyes(posed, np.deg2rad([0.0, 5.0]), EyeLimits())
    assert np.array_equal(result.image[~result.changed], posed.image[~result.changed])
    assert 0.005 < result.changed.mean() < 0.05
    middles = [eye_of(posed, index, np.zeros(2)).origin_px for index in (0, 1)]
    rows, columns = np.nonzero(result.changed)
    far = np.min([np.hypot(columns - x, rows - y) for x, y in middles], axis=0).max()
    assert far < eye_of(posed, 0, np.zeros(2)).width_px
    assert np.abs(result.image.astype(int) - posed.image).max() > 60
    assert not result.left_alone


def test_a_reader_sees_the_eyes_turn_to_where_they_were_asked_to_look(posed_at, landmarker):
    posed = posed_at(OPEN)
    results = [paste_eyes(posed, np.deg2rad([0.0, yaw]), EyeLimits()) for yaw in (-15.0, 0.0, 15.0)]
    crops = np.stack([frontal_crop(result.image, posed) for result in results])

    def read(face):
        now = gaze_from_irises(face.face.points_px, face.face.expression, face.pose, face.head, face.intrinsics_px)
        return angles_of(face.pose.rotation @ _vector(now.gaze_head))

    gaze, valid = read_each(crops, read, landmarker)
    assert valid.all()
    yaw = np.rad2deg(gaze[:, 1])
    assert yaw[1] - yaw[0] > 7
    assert yaw[2] - yaw[1] > 3  # the right eye's iris is far in its corner in this frame


def test_closed_eyes_are_left_alone(posed_at):
    posed = posed_at(CLOSED)
    result = paste_eyes(posed, np.deg2rad([0.0, 20.0]), EyeLimits())
    assert np.array_equal(result.image, posed.image)
    assert result.left_alone == {"left": "closed", "right": "closed"}


def test_an_eye_that_closes_is_turned_less(posed_at):
    posed = posed_at(OPEN)
    narrow = eye_of(posed, 0, np.zeros(2)).openness
    full, faded = (paste_eyes(posed, np.deg2rad([0.0, 5.0]), EyeLimits(), fade) for fade in (False, True))
    assert (narrow > 0.25) == np.array_equal(full.image, faded.image)


def test_a_wish_beyond_the_range_of_eyes_is_drawn_at_its_end(posed_at):
    posed = posed_at(OPEN)
    result = paste_eyes(posed, np.deg2rad([0.0, 55.0]), EyeLimits(max_yaw_deg=25))
    in_head = angles_of(posed.pose.rotation.T @ frontal_view(posed).rotation.T @ _vector(result.drawn))
    assert np.rad2deg(in_head[1]) == pytest.approx(25)
    assert np.rad2deg(result.drawn[1]) < 30


def test_looking_into_the_lens_is_the_direction_from_the_eyes_to_the_camera(posed_at):
    posed = posed_at(OPEN)
    toward_lens = frontal_view(posed).rotation.T @ [0, 0, -1]
    center = posed.pose.to_camera(posed.head.eye_centers_m).mean(axis=0)
    assert toward_lens == pytest.approx(-center / np.linalg.norm(center))


def test_a_face_that_is_small_in_its_picture_is_found(find, posed_at):
    face = posed_at(OPEN).image
    large = np.full((1080, 1920, 3), 90, np.uint8)
    large[500:860, 1200:1840] = face
    small = np.full((1440, 2560, 3), 90, np.uint8)
    small[500:680, 1200:1520] = face[::2, ::2]
    assert not find.faces(small)
    (found,) = find_faces(small, find)
    (whole,) = find_faces(face, find)
    assert extent_px(found) == pytest.approx(extent_px(whole) / 2, rel=0.05)
    middle = (found.points_px[:, :2] - (1200, 500)).mean(axis=0)
    assert middle == pytest.approx(whole.points_px[:, :2].mean(axis=0) / 2, abs=2)
