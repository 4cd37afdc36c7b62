"""Eyes put back into photographs of people: what may change and what may not."""

import os

import numpy as np
import pytest

from gaze_core.assets import FOLDERS_VARIABLE, resolve
from gaze_core.one_shot.checkpoints import load_redirector
from gaze_core.one_shot.painter import FadeConfig, PaintConfig, paint_eyes
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.face_search import find_faces
from gaze_core.preprocess.head_pose import intrinsics_of
from gaze_core.preprocess.images import read_image
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.person import fit_person
from gaze_core.preprocess.posed_face import PosedFace
from tests.gaze_core.stages.one_shot.tiny_run import place  # noqa: F401 (fixture)


@pytest.fixture(scope="module")
def posed(shared_data):
    os.environ[FOLDERS_VARIABLE] = str(shared_data)
    try:
        landmarker = resolve("face_landmarker")
    finally:
        del os.environ[FOLDERS_VARIABLE]
    image = read_image(shared_data / "real_gaze" / "rt_gene" / "gaze_center.jpg")
    face = find_faces(image, FaceLandmarker(landmarker))[0]
    intrinsics_px = intrinsics_of(image.shape[1::-1], 1.2)
    person = fit_person([face], read_average_face(landmarker), intrinsics_px)
    return PosedFace(image, face, person.poses[0], person.head, intrinsics_px)


def test_outside_the_eyes_every_pixel_stays(place, posed):  # noqa: F811
    painted = paint_eyes(load_redirector(place / "base"), posed, np.deg2rad([0, 15]), PaintConfig())
    assert painted.share == 1
    assert painted.changed.any()
    assert np.array_equal(painted.image[~painted.changed], posed.image[~painted.changed])
    eyes = posed.face.points_px[[33, 133, 362, 263], :2]
    width = np.linalg.norm(eyes[0] - eyes[3])
    ys, xs = np.nonzero(painted.changed)
    assert xs.min() > eyes[:, 0].min() - 0.2 * width
    assert xs.max() < eyes[:, 0].max() + 0.2 * width
    assert np.abs(ys - eyes[:, 1].mean()).max() < 0.3 * width


def test_a_change_fades_beyond_the_limits(place, posed):  # noqa: F811
    loaded = load_redirector(place / "base")
    shares = [paint_eyes(loaded, posed, np.deg2rad([0, yaw]), PaintConfig()).share for yaw in range(0, 61, 4)]
    assert shares == sorted(shares, reverse=True)
    assert (shares[0], shares[-1]) == (1, 0)
    assert any(0 < share < 1 for share in shares)
    far = paint_eyes(loaded, posed, np.deg2rad([0, 60]), PaintConfig())
    assert np.array_equal(far.image, posed.image)
    assert far.left_alone == "gaze or head beyond the limits"
    narrow = PaintConfig(fade=FadeConfig(head_start_deg=0.01, head_end_deg=0.02))
    assert paint_eyes(loaded, posed, np.zeros(2), narrow).share == 0


def test_closed_eyes_are_left(place, posed):  # noqa: F811
    from dataclasses import replace

    points = posed.face.points_px.copy()
    points[[159, 386]] = points[[145, 374]]
    closed = replace(posed, face=replace(posed.face, points_px=points))
    painted = paint_eyes(load_redirector(place / "base"), closed, np.zeros(2), PaintConfig())
    assert painted.left_alone == "closed eyes"
    assert np.array_equal(painted.image, posed.image)


def test_the_temporal_filter_keeps_a_share_of_the_frame_before(place, posed):  # noqa: F811
    loaded = load_redirector(place / "base")
    first = paint_eyes(loaded, posed, np.zeros(2), PaintConfig())
    other = paint_eyes(loaded, posed, np.deg2rad([0, 15]), PaintConfig())
    kept = paint_eyes(loaded, posed, np.deg2rad([0, 15]), PaintConfig(), first.made, keep=0.5)
    np.testing.assert_allclose(kept.made, (first.made + other.made) / 2, atol=1e-5)
