"""One rendered moment, where anny and mitsuba are installed: irises lie where the labels say."""

import numpy as np
import pytest

from gaze_core.estimation.screen import directions
from gaze_core.estimation.viewing.images import RenderConfig, face_of, render_viewing
from gaze_core.estimation.viewing.labels import eyes_gaze_head, see
from gaze_core.estimation.viewing.plan import Viewing
from tests.gaze_core.estimation.viewed import moment

pytest.importorskip("anny")
pytest.importorskip("mitsuba")

CONFIG = RenderConfig(face_px=32, eye_px=48, margin_px=2, face_samples=1, eye_samples=4)
IDENTITY = 7002


@pytest.mark.parametrize("camera", ["basler", "webcam_c"])
def test_irises_lie_where_the_labels_say(tmp_path, camera):
    moments = (moment(300, 500, (0.02, 0.05, 0.03, 0.01, 0.0, 0.02)), moment(1600, 800, (0, -0.05, 0, 0, 0, 0)))
    viewing = Viewing(moments, np.array([0, 1]), np.array([1, 1]))
    images = render_viewing(tmp_path / "r.npz", viewing, IDENTITY, camera, CONFIG, seed=1)
    points = face_of(IDENTITY, tmp_path).points
    for index, one in enumerate(moments):
        seen = see(one, points, camera)
        gaze = eyes_gaze_head(one, points.eye_centers_m)
        for side, patch in enumerate(("left", "right")):
            iris = points.eye_centers_m[side] + 0.012 * directions(gaze[side])
            x, y, z = (
                CONFIG.window(seen, patch).intrinsics_px
                @ seen.rotation
                @ (seen.head_to_camera[:3, :3] @ iris + seen.head_to_camera[:3, 3])
            )
            picture = images[patch][index]
            assert picture.shape == (52, 52, 4)
            # A disc at the iris is darker than the same disc 10 px to either side, where the white or the skin is.
            here, *beside = (disc(picture[..., :3].mean(axis=-1), x / z + off, y / z) for off in (0, 11, -11))
            assert here < 0.75 * max(beside)
            assert here < min(beside)
    again = render_viewing(tmp_path / "r.npz", viewing, IDENTITY, camera, CONFIG, seed=1)
    assert (again["face"] == images["face"]).all()
    assert (images["face"][..., 3] > 127).mean() > 0.4


def disc(picture, x, y, radius=4.0):
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return picture[np.hypot(columns - x, rows - y) < radius].mean()
