"""Masks of drawn scenes with known ground truth."""

import cv2
import numpy as np

from gaze_core.preprocess.face_mesh import FACE_OVAL
from gaze_core.preprocess.masks import HeadSegmenter, eye_mask


def test_eye_mask_covers_the_pixels_inside_the_contour():
    mask = eye_mask((10, 10), np.array([[2.0, 3], [7, 3], [7, 6], [2, 6]]))
    assert set(np.unique(mask)) == {0, 255}
    inside = np.zeros((10, 10), bool)
    inside[3:6, 2:7] = True
    assert (mask[inside] == 255).all()
    # The contour itself runs along pixel borders; OpenCV draws the pixels that it touches.
    assert (mask > 0).sum() <= 4 * 6


def test_head_is_segmented_with_its_hair():
    rng = np.random.default_rng(0)
    height, width, middle = 240, 320, (150, 120)
    image = np.full((height, width, 3), (90, 130, 170), np.uint8)
    truth = np.zeros((height, width), np.uint8)
    cv2.ellipse(truth, (150, 108), (44, 66), 0, 0, 360, 255, -1)  # hair
    cv2.ellipse(image, (150, 108), (44, 66), 0, 0, 360, (60, 40, 25), -1)
    cv2.ellipse(truth, middle, (36, 48), 0, 0, 360, 255, -1)  # face
    cv2.ellipse(image, middle, (36, 48), 0, 0, 360, (220, 180, 160), -1)
    image = (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
    points = np.tile(np.array(middle, float), (478, 1))
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, len(FACE_OVAL), endpoint=False)
    points[list(FACE_OVAL)] = np.column_stack([150 + 36 * np.cos(angles), 120 + 48 * np.sin(angles)])
    mask = HeadSegmenter([(image, points)])(image, points) > 0
    overlap = (mask & (truth > 0)).sum() / (mask | (truth > 0)).sum()
    assert overlap > 0.95
    assert (HeadSegmenter([(image, points)])(image, points) > 0).tobytes() == mask.tobytes()


def test_an_image_that_is_all_face_is_all_head():
    """There is no background whose colours could be learned."""
    image = np.full((60, 60, 3), (220, 180, 160), np.uint8)
    points = np.tile(np.array([30.0, 30.0]), (478, 1))
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, len(FACE_OVAL), endpoint=False)
    points[list(FACE_OVAL)] = np.column_stack([30 + 60 * np.cos(angles), 30 + 60 * np.sin(angles)])
    assert (HeadSegmenter([(image, points)])(image, points) == 255).all()
