"""Crops and their labels lie on the same pixels."""

import numpy as np

from gaze_core.geometry.normalization import NORMALIZATIONS, normalize
from gaze_core.preprocess.head_pose import intrinsics_of
from gaze_core.preprocess.labels import warp
from gaze_core.preprocess.raw import _opencv_intrinsics


def test_a_crop_shows_at_each_pixel_what_lies_there_in_the_image():
    # Grey grows by two for each pixel to the right (or down), so that a value says where it was taken.
    ramp = np.broadcast_to(2 * np.arange(120, dtype=np.uint8), (120, 120))
    config = NORMALIZATIONS["portrait_128"]
    camera = np.array([[100.0, 0, 60], [0, 100.0, 60], [0, 0, 1]])  # the crop is finer
    view = normalize(camera, np.array([0.01, -0.02, 0.68]), np.eye(3), config)
    middle = np.stack(np.meshgrid(np.arange(50, 80) + 0.5, np.arange(50, 80) + 0.5), axis=-1)
    place_px = view.points_in_image_px(middle.reshape(-1, 2)).reshape(30, 30, 2)
    for axis, image in ((0, ramp), (1, ramp.T)):
        crop = warp(np.ascontiguousarray(image), view, config.width_height_px)[50:80, 50:80]
        off_px = crop / 2 - (place_px[..., axis] - 0.5)
        assert abs(off_px.mean()) < 0.1
        assert np.abs(off_px).max() < 0.4


def test_a_camera_of_opencv_counts_pixels_from_their_centres():
    camera = intrinsics_of((640, 480), 1.2)
    np.testing.assert_array_equal(_opencv_intrinsics(camera) - camera, [[0, 0, -0.5], [0, 0, -0.5], [0, 0, 0]])
