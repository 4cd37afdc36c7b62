"""When gaze may decide: the threshold's claim by simulation, and what is said below it."""

import numpy as np
import pytest

from gaze_core.evaluation.evidence import (
    MIN_CONTRAST_DEG,
    MIN_GAZES,
    contrast_deg,
    lacking_images,
    lacking_range,
    lacking_sweep,
)


def test_mirrored_angles_have_twice_their_standard_deviation_as_contrast_whatever_their_mean():
    pitch = np.random.default_rng(0).normal(0.3, np.deg2rad(5), 10_000)
    difference = np.column_stack([2 * pitch, np.zeros_like(pitch)])  # as claimed, minus mirrored
    assert contrast_deg([difference]) == pytest.approx(10, rel=0.03)
    assert contrast_deg([difference, difference + 1.0]) == pytest.approx(10, rel=0.03)  # an offset of a subject
    assert contrast_deg([difference * 0]) == contrast_deg([]) == 0


@pytest.mark.parametrize("bias_deg", [-10, -4, 4, 10])
def test_no_bias_up_to_the_threshold_makes_a_mirror_fit_better(bias_deg):
    spread = np.random.default_rng(1).normal(0, 1, 20_000)
    spread = (spread - spread.mean()) / spread.std()

    def mirrored_wins(contrast):
        """For the worst offset of the labels, which is minus half the bias."""
        labels = contrast / 2 * spread - bias_deg / 2
        readings = labels + bias_deg
        return np.mean((readings + labels) ** 2) < np.mean((readings - labels) ** 2) - 1e-9

    assert not mirrored_wins(MIN_CONTRAST_DEG)
    assert mirrored_wins(abs(bias_deg) * 0.98)


def test_fewer_than_twenty_gazes_say_how_many_are_needed():
    assert lacking_images(MIN_GAZES) == ""
    assert lacking_images(MIN_GAZES - 1) == "19 readable images, 20 are needed"
    assert lacking_images(5, 5) == ""


def test_the_rivals_that_cannot_be_told_are_named():
    assert lacking_range({"yaw is mirrored": 30.0}) == lacking_range({}) == ""
    said = lacking_range({"yaw is mirrored": 30.0, "pitch is mirrored": 4.2})
    assert said == "the range of gaze is too small (10° are needed) to tell from: pitch is mirrored (4°)"
    assert lacking_range({"yaw is mirrored": 3.0, "pitch is mirrored": 4.2}).endswith("any fault (at most 4°)")


def test_a_sweep_needs_readings_and_angles():
    assert lacking_sweep(10, 3) == ""
    assert lacking_sweep(9, 5) == "9 readings at 5 angles; 10 at 3 are needed"
    assert lacking_sweep(40, 2)
