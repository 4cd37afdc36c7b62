"""Measures of a talking head on arrays whose answers are known."""

import numpy as np
import pytest
import torch

from gaze_core.preprocess.face_mesh import CORNERS, LIPS_OUTER
from gaze_core.talker import metrics


def points(count=2):
    """Eyes 40 px apart, a mouth of 20 px below them."""
    found = np.zeros((count, 478, 2))
    found[:] = (50, 50)
    for corners, x in ((CORNERS.right, 30), (CORNERS.left, 70)):
        found[:, corners[0]] = (x - 5, 30)
        found[:, corners[1]] = (x + 5, 30)
    found[:, list(LIPS_OUTER)] = (50, 70)
    found[:, LIPS_OUTER[0]], found[:, LIPS_OUTER[10]] = (40, 70), (60, 70)
    found[:, 13], found[:, 14] = (50, 66), (50, 74)
    return found


def test_opening_and_mouth_distance_do_not_depend_on_the_size():
    one = points()
    assert metrics.mouth_opening(one) == pytest.approx([0.2, 0.2])
    assert metrics.mouth_opening(3 * one) == pytest.approx([0.2, 0.2])
    assert metrics.mouth_distance(one + 5, one) == pytest.approx(
        [0, 0]
    )  # a shift of the head is no movement of the mouth
    moved = one.copy()
    moved[:, 14, 1] += 4
    expected = metrics.mouth_distance(moved, one)
    assert metrics.mouth_distance(2 * moved, 2 * one) == pytest.approx(expected)
    assert expected[0] == pytest.approx((4 * (1 - 1 / 20) + 19 * 4 / 20) / 20 / 40, rel=1e-6)


def test_boxes_hold_the_lips_and_crop_them():
    boxes = metrics.lips_boxes(points(1))
    left, top, right, bottom = boxes.edges_px[0]
    assert (left, right) == pytest.approx((36, 64))
    mask = boxes.mask(100, 100)[0, 0]
    assert mask[70, 50] == 1
    assert mask[70, 30] == mask[40, 50] == 0
    ramp = torch.arange(100.0).expand(1, 1, 100, 100) + 0.5  # each pixel holds the x of its centre
    crop = boxes.crops(ramp, 8, 14)
    assert crop.shape == (1, 1, 8, 14)
    np.testing.assert_allclose(crop[0, 0, 0].numpy(), 36 + 28 * (np.arange(14) + 0.5) / 14, rtol=1e-4)
    assert bottom > top


def test_head_boxes_leave_out_torso_and_background():
    labels = np.zeros((1, 20, 20), np.uint8)
    labels[0, 4:9, 5:12], labels[0, 9:20] = 1, 7
    assert metrics.head_boxes(labels).edges_px.tolist() == [[5, 4, 12, 9]]
    assert metrics.head_mask(labels).sum() == 35


def test_loudness_of_a_sine_and_of_silence():
    sound = np.concatenate([np.sin(np.arange(6400) * 0.3), np.zeros(640)])
    found = metrics.loudness_db(sound, 13, 25, 16_000)
    assert found[:10] == pytest.approx(-3.01, abs=0.05)
    assert found[10:] == pytest.approx(-80)


@pytest.mark.parametrize("late", [-3, 0, 4])
def test_the_lag_is_found_and_positive_where_the_mouth_is_late(late):
    stream = np.random.default_rng(1)
    loudness = np.convolve(stream.normal(size=200), np.ones(3), "same")
    opening = np.roll(loudness, late) * 0.01 + 0.1
    best, lag_ms = metrics.lag_of(opening, loudness, 25)
    assert lag_ms == pytest.approx(40 * late)
    assert best > 0.99
    assert metrics.lag_of(np.full(200, 0.1), loudness, 25) == (None, None)


def test_motion_in_silence_counts_only_silent_frames():
    loudness = np.array([-10.0] * 10 + [-60.0] * 10)
    opening = np.concatenate([np.linspace(0, 1, 10), [0.1, 0.3] * 5])
    assert metrics.motion_in_silence(opening, loudness) == (pytest.approx(0.1), 10)
    assert metrics.motion_in_silence(opening, np.full(20, -10.0)) == (None, 0)


def blinks(*starts, count=60):
    closed = np.zeros(count)
    for start in starts:
        closed[start : start + 4] = 0.9
    return closed


@pytest.mark.parametrize(
    ("asked", "found", "f1"),
    [((10, 30), (10, 30), 1), ((10, 30), (11, 28), 1), ((10, 30), (20,), 0), ((10, 30), (10,), 2 / 3),
     ((10,), (10, 30, 50), 0.5), ((), (), None)],
)  # fmt: skip
def test_blinks_match_within_two_frames(asked, found, f1):
    assert metrics.match_blinks(blinks(*asked), blinks(*found)).f1 == (f1 if f1 is None else pytest.approx(f1))


def test_a_blink_is_matched_once():
    assert metrics.match_blinks(blinks(10), blinks(8, 13)).both == 1
