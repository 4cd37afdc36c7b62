"""Arrows and rings in the images of a drive: where they end, against the labels."""

from dataclasses import replace

import numpy as np

from gaze_core.driver.overlays import (
    BEFORE,
    PREDICTED,
    TRUE,
    driver_view,
    fit_road,
    gaze_of_drive,
    label_in_camera,
    road_view,
)
from gaze_core.driver.predictions import Drive


def test_arrows_end_where_the_gaze_points(extracted):
    drive = Drive.open(extracted)
    labels = np.asarray(drive.dataset.labels["gaze_camera"], dtype=float)
    gaze = gaze_of_drive(drive, labels)  # an estimator that is always right
    np.testing.assert_allclose(gaze.predicted, gaze.true, atol=1e-6)
    np.testing.assert_allclose(gaze.predicted_deg, gaze.true_deg, atol=1e-4)
    everything = range(len(drive.record.frames))
    np.testing.assert_allclose(label_in_camera(drive, drive.record.tracker, everything), gaze.true, atol=1e-6)
    right = int(np.argmax(drive.record.tracker[:, 1]))  # azimuth > 0: the subject's right, image left

    def place(image, color):
        return np.argwhere((np.abs(image.astype(int) - color) < 12).all(axis=-1)).mean(axis=0)[::-1]

    arrow = driver_view(drive, right, replace(gaze, true=None).arrows(right))
    pose = drive.head_to_camera[right]
    focal_px = drive.record.focal_factor * max(arrow.shape[:2])
    start = np.array([arrow.shape[1], arrow.shape[0]]) / 2 + focal_px * pose[:2, 3] / pose[2, 3]
    assert place(arrow, PREDICTED)[0] < start[0]
    # The tiny drive's road points are linear in the angles, so what is fitted to them finds them again.
    to_road = fit_road(drive, gaze)
    position = drive.splits.test[0]
    road = road_view(drive, gaze, position, to_road)
    assert np.abs(place(road, PREDICTED) - np.array(drive.record.frames[position].road_px)).max() < 6
    assert len(gaze.arrows(right)) == 2
    assert len({TRUE, PREDICTED, BEFORE}) == 3
