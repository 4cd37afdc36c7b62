"""An eye is turned as a drawn eyeball turns; what must not change does not."""

from dataclasses import replace

import numpy as np
import pytest

from gaze_core.preprocess.eye_geometry import UPPER_LID_GAIN, Eye
from gaze_core.preprocess.eye_warp import turn_eye

SIZE = 120
INTRINSICS = np.array([[2000.0, 0, 60], [0, 2000, 60], [0, 0, 1]])  # 4 px a millimetre at the eye
SKIN, WHITE, IRIS, PUPIL = (
    np.array(c) for c in ((0.8, 0.6, 0.5), (0.9, 0.9, 0.88), (0.3, 0.4, 0.6), (0.05, 0.05, 0.05))
)


def an_eye(pitch_deg=0.0, yaw_deg=0.0):
    """The subject's left eye, 24 mm wide, 11 mm open: its outer corner is at image right."""
    x = np.linspace(0.012, -0.012, 9)
    upper = np.stack([x, -0.006 * (1 - (x / 0.012) ** 2)], axis=1)
    lower = np.stack([x[::-1], 0.005 * (1 - (x[::-1] / 0.012) ** 2)], axis=1)
    lids_px = 60 + np.concatenate([upper, lower[1:-1]]) * 4000
    center_m = np.array([0.0, 0.0, 0.5 + 0.0105])
    return Eye(lids_px, center_m, 0.0058, np.eye(3), INTRINSICS, np.deg2rad([pitch_deg, yaw_deg]))


def drawn(eye, lids=None):
    """The picture of an eye at its gaze: anti-aliased iris and pupil on white, behind lids of one colour."""
    ys, xs = np.mgrid[: 4 * SIZE, : 4 * SIZE]
    pixels = np.stack([xs, ys], axis=-1) / 4 + 0.125
    radius = np.linalg.norm(eye.on_iris(pixels, eye.gaze_head), axis=-1)[..., None]
    ball = np.where(radius < 0.4, PUPIL, np.where(radius < 1, IRIS, WHITE))
    x, y = np.moveaxis(pixels - 60, -1, 0) / 4000
    shape = 1 - (x / 0.012) ** 2
    opening = (y > -0.006 * shape) & (y < 0.005 * shape)
    fine = np.where(opening[..., None], ball, SKIN)
    return fine.reshape(SIZE, 4, SIZE, 4, 3).mean(axis=(1, 3)).astype(np.float32)


def beneath_upper_lid():
    """Pixels of the opening up to 1.2 mm below the upper lid's margin, away from the corners."""
    ys, xs = np.mgrid[:SIZE, :SIZE]
    x, y = (xs + 0.5 - 60) / 4000, (ys + 0.5 - 60) / 4000
    depth = y + 0.006 * (1 - (x / 0.012) ** 2)
    return (depth > 0.0003) & (depth < 0.0012) & (np.abs(x) < 0.009)


def interior(eye):
    """Pixels well inside the opening."""
    ys, xs = np.mgrid[:SIZE, :SIZE]
    x, y = (xs + 0.5 - 60) / 4000, (ys + 0.5 - 60) / 4000
    shape = 1 - (x / 0.012) ** 2
    return (y > -0.006 * shape + 0.0012) & (y < 0.005 * shape - 0.0012) & (np.abs(x) < 0.010)


@pytest.mark.parametrize("yaw_deg", [-20, -10, 10, 20])
def test_an_eye_turned_aside_is_the_drawn_eye_of_that_gaze(yaw_deg):
    before, truth = an_eye(), an_eye(yaw_deg=yaw_deg)
    result, _ = turn_eye(drawn(before), before, truth.gaze_head)
    inside = interior(before)
    error = np.abs(result - drawn(truth))[inside].mean()
    unturned = np.abs(drawn(before) - drawn(truth))[inside].mean()
    assert unturned > 0.05
    assert error < 0.2 * unturned


def test_the_shadow_of_a_lid_stays_with_the_lid():
    before, truth = an_eye(), an_eye(yaw_deg=18)
    band = beneath_upper_lid()
    image, expected = drawn(before), drawn(truth)
    image[band] *= 0.5
    expected[band] *= 0.5
    result, _ = turn_eye(image, before, truth.gaze_head)
    assert np.abs(image - expected)[band].mean() > 0.08
    assert np.abs(result - expected)[band].mean() < 0.05


def test_without_a_change_of_gaze_every_pixel_keeps_its_value():
    eye = an_eye(5, -8)
    rng = np.random.default_rng(0)
    image = (drawn(eye) + rng.uniform(-0.05, 0.05, (SIZE, SIZE, 3))).clip(0, 1).astype(np.float32)
    result, changed = turn_eye(image, eye, eye.gaze_head)
    assert np.array_equal(result, image)
    assert not changed.any()


def test_a_small_change_of_gaze_changes_little():
    eye = an_eye()
    rng = np.random.default_rng(0)
    image = (drawn(eye) + rng.uniform(-0.05, 0.05, (SIZE, SIZE, 3))).clip(0, 1).astype(np.float32)
    result, _ = turn_eye(image, eye, eye.gaze_head + 1e-5)
    assert np.abs(result - image).max() < 1 / 255


def test_pixels_outside_the_changed_region_are_the_picture_s_own():
    eye = an_eye()
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
    result, changed = turn_eye(image, eye, np.deg2rad([-12.0, 15.0]))
    assert np.array_equal(result[~changed], image[~changed])
    assert 0.02 < changed.mean() < 0.7
    assert not changed[0].any()
    assert not changed[:, 0].any()


def test_the_mirrored_eye_turned_to_the_mirrored_gaze_is_the_mirror_image():
    eye = an_eye(2, 4)
    image = drawn(eye)
    image[58:62, 70:73] = 1  # a highlight, so that the picture is not symmetric
    mirror = np.array([-1.0, 1.0])
    flipped = replace(eye, lids_px=eye.lids_px * mirror + [SIZE, 0], gaze_head=np.deg2rad([2, -4]))
    result, _ = turn_eye(image, eye, np.deg2rad([8.0, 16.0]))
    mirrored, _ = turn_eye(np.ascontiguousarray(image[:, ::-1]), flipped, np.deg2rad([8.0, -16.0]))
    assert np.abs(result[:, ::-1] - mirrored).max() < 2 / 255


@pytest.mark.parametrize("pitch_deg", [-15, 12])
def test_the_upper_lid_keeps_its_place_over_the_iris(pitch_deg):
    eye = an_eye()
    target = np.deg2rad([pitch_deg, 0.0])
    result, _ = turn_eye(drawn(eye), eye, target)
    column = slice(58, 62)
    skin = np.abs(result[:60, column] - SKIN).max(axis=-1).mean(axis=1) < 0.15
    top = np.flatnonzero(skin)[-1] + 1  # first row below the upper lid
    expected = 60 - 24 + UPPER_LID_GAIN * (eye.iris_px(target) - eye.iris_px(eye.gaze_head))[1]
    assert top == pytest.approx(expected, abs=1.5)
    assert (pitch_deg > 0) == (top < 60 - 24)


def test_a_highlight_moves_half_as_far_as_the_iris():
    eye = an_eye()
    image = drawn(eye)
    image[58:61, 54:57] = 1  # on the iris, at 56 px
    result, _ = turn_eye(image, eye, np.deg2rad([0.0, 10.0]))
    plain, _ = turn_eye(drawn(eye), eye, np.deg2rad([0.0, 10.0]))
    brighter = (result - plain).sum(axis=-1).clip(0.1) - 0.1
    moved = (brighter.sum(axis=0) @ (np.arange(SIZE) + 0.5)) / brighter.sum() - 55.5
    iris = (eye.iris_px(np.deg2rad([0.0, 10.0])) - eye.iris_px(eye.gaze_head))[0]
    assert iris < -5
    assert moved / iris == pytest.approx(0.55, abs=0.1)
