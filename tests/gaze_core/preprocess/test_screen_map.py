"""From gaze to a screen: exact maps by hand, noise, and calibrations that cannot be used."""

import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.preprocess.gaze_estimators import EyeGaze
from gaze_core.preprocess.gaze_reader import FaceReading
from gaze_core.preprocess.head_pose import Pose
from gaze_core.preprocess.screen_map import ScreenMap, left_out_errors_px, read_clicks, screen_points, sight_m

AFFINE = np.array([[3200.0, 150.0], [-90.0, 3500.0]])
OFFSET = np.array([960.0, -200.0])


def sights(count, seed=0):
    return np.random.default_rng(seed).uniform((-0.25, 0.02), (0.25, 0.3), (count, 2))


def reading(head_m, target_m):
    """Somebody whose head is at a place and who looks at a place, both in the camera's frame."""
    v = np.subtract(target_m, head_m) / np.linalg.norm(np.subtract(target_m, head_m))
    angles = np.array([np.arcsin(-v[1]), np.arctan2(-v[0], -v[2])])
    return FaceReading(0, np.zeros((478, 2)), Pose(np.eye(3), np.array(head_m)), EyeGaze(angles, angles), np.zeros(2))


@pytest.mark.parametrize("count", [3, 5, 6, 12])
def test_an_affine_map_is_recovered_exactly(count):
    at = sights(count)
    found = ScreenMap.fit(at, at @ AFFINE + OFFSET)
    other = sights(20, seed=1)
    np.testing.assert_allclose(found(other), other @ AFFINE + OFFSET, atol=1e-6)
    np.testing.assert_allclose(left_out_errors_px(at, at @ AFFINE + OFFSET), 0, atol=1e-6)


def test_the_place_of_the_head_is_taken_into_account():
    target_m = (0.1, 0.2, 0.0)
    for head_m in ((0.0, 0.0, 0.6), (0.15, -0.1, 0.5), (-0.2, 0.05, 0.9)):
        np.testing.assert_allclose(sight_m(reading(head_m, target_m)), target_m[:2], atol=1e-9)


def test_the_error_of_clicks_left_out_grows_with_noise():
    at = sights(12)
    noise = np.random.default_rng(2).normal(size=(12, 2))
    errors = [left_out_errors_px(at + by * noise, at @ AFFINE + OFFSET).mean() for by in (0, 0.005, 0.02)]
    assert errors[0] < 1e-6 < errors[1]
    assert 2 * errors[1] < errors[2]
    noisy = at + 0.02 * noise
    fitted = np.linalg.norm(ScreenMap.fit(noisy, at @ AFFINE + OFFSET)(noisy) - (at @ AFFINE + OFFSET), axis=1).mean()
    assert errors[2] > 1.3 * fitted  # it is of clicks that the map has not seen


def test_a_bent_map_needs_six_clicks():
    at = sights(24)
    bent = at @ AFFINE + OFFSET + 4000 * at**2
    with_six = ScreenMap.fit(at, bent)
    affine = ScreenMap.fit(at[:5], bent[:5])
    off = [np.linalg.norm(one(at) - bent, axis=1).mean() for one in (with_six, affine)]
    assert off[0] < 0.5 * off[1]


def test_nobody_points_at_the_screen_who_looks_past_the_camera():
    away = reading((0.0, 0.0, 0.5), (0.1, 0.1, 0.9))
    assert sight_m(away) is None
    closed = FaceReading(0, away.points_px, away.pose, EyeGaze(why_none="eyes_closed"), np.zeros(2))
    at = sights(3)
    assert screen_points(ScreenMap.fit(at, at), [away, closed]) == [None, None]


def test_a_map_can_be_kept(tmp_path):
    at = sights(8)
    made = ScreenMap.fit(at, at @ AFFINE + OFFSET)
    made.save(tmp_path / "map.json")
    np.testing.assert_array_equal(ScreenMap.load(tmp_path / "map.json")(at), made(at))
    (tmp_path / "map.json").write_text('{"weights": [[1]]}')
    with pytest.raises(BadInput, match="not a screen map"):
        ScreenMap.load(tmp_path / "map.json")


def test_clicks_on_a_line_are_refused():
    at = np.stack([np.linspace(0, 0.2, 5)] * 2, axis=-1)
    with pytest.raises(BadInput, match="on one line"):
        ScreenMap.fit(at, at)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time,x,y\n1,2,3\n", "no column time_s, x_px, y_px"),
        ("time_s,x_px,y_px\n1,2,3\n2,3,4\n", "clicks: 2, expected 3 or more"),
        ("time_s,x_px,y_px\n1,2,3\n2,three,4\n3,4,5\n", "line 3: expected numbers, found 2,three,4"),
        ("time_s,x_px,y_px\n1,2,3\n2,3\n3,4,5\n", "line 3: expected numbers"),
        ("time_s,x_px,y_px\n1,2,3\nnan,3,4\n3,4,5\n", "line 3: a value is not finite"),
        ("\x00\x01", "no column"),
    ],
)
def test_bad_clicks_are_refused(tmp_path, text, expected):
    (tmp_path / "clicks.csv").write_text(text)
    with pytest.raises(BadInput, match=expected):
        read_clicks(tmp_path / "clicks.csv", "time_s")


def test_absent_clicks_are_refused(tmp_path):
    with pytest.raises(BadInput, match="not a readable CSV"):
        read_clicks(tmp_path / "none.csv", "time_s")
