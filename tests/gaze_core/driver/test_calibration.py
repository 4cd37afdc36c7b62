"""From the glasses to the face camera, with hand-made rotations."""

import numpy as np
import pytest

from gaze_core.driver.calibration import angle_deg, angles, directions, fit_mount
from gaze_core.driver.drive_plan import mount_matrix
from gaze_core.errors import BadInput


def iris_gazes(count=200, noise_deg=3.0, seed=0):
    rng = np.random.default_rng(seed)
    tracker = np.deg2rad(rng.uniform([-15, -30], [15, 30], (count, 2)))
    in_head = angles(directions(tracker) @ mount_matrix().T)
    return tracker, in_head + np.deg2rad(noise_deg) * rng.normal(size=in_head.shape)


def test_azimuth_and_elevation_are_the_angles_of_a_head_that_looks_ahead():
    # Pupil Labs: (sin az cos el, -sin el, cos az cos el), x to the wearer's right, y down, z ahead. Turned by 180
    # degrees about y these are the head frame's axes.
    azimuth, elevation = np.deg2rad(10), np.deg2rad(5)
    scene = np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    np.testing.assert_allclose(scene, [0.172987394, -0.087155743, 0.981060262], atol=1e-9)
    np.testing.assert_allclose(directions(np.array([elevation, azimuth])), scene * [-1, 1, -1], atol=1e-12)


def test_the_mount_is_fitted_despite_noise_and_outliers():
    tracker, irises = iris_gazes()
    irises[::17] += 0.6
    mount = fit_mount(tracker, irises, np.ones(200, bool), range(150))
    error_deg = angle_deg(directions(tracker) @ mount.matrix.T, directions(tracker) @ mount_matrix().T)
    assert error_deg.max() < 2.0  # two of them are the true mount's roll, which is not fitted
    assert 2 < mount.residual_median_deg < 5
    assert 2 < mount.held_out_median_deg < 5
    assert mount.num_readings == 150


def test_only_training_frames_decide():
    tracker, irises = iris_gazes()
    spoilt = irises.copy()
    spoilt[150:] += 0.3
    first, second = (fit_mount(tracker, i, np.ones(200, bool), range(150)) for i in (irises, spoilt))
    assert (first.pitch_deg, first.yaw_deg) == (second.pitch_deg, second.yaw_deg)
    assert second.held_out_median_deg > first.held_out_median_deg + 5


def test_too_few_iris_predictions_are_refused():
    tracker, irises = iris_gazes()
    with pytest.raises(BadInput, match="only 19 of 150 training frames show both irises, expected 20"):
        fit_mount(tracker, irises, np.arange(200) < 19, range(150))
