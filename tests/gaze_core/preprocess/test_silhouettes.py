"""Masks over time: a drawn head that moves, and a segmenter that is now and then wrong about it."""

import cv2
import numpy as np

from gaze_core.preprocess.face_mesh import FACE_OVAL
from gaze_core.preprocess.masks import HeadSegmenter
from gaze_core.preprocess.silhouettes import steady_masks

HEIGHT, WIDTH = 120, 160


class Drawn:
    """A segmenter that knows the head by its colour."""

    def small_mask(self, image, points_px):
        return (image[..., 0] > 127).astype(np.uint8)


def frame(index, x, cut=False, y=60.0):
    """A round head with its face; where it is `cut`, a quarter of it is as dark as the background."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(image, (round(x), round(y)), 30, (255, 255, 255), -1)
    if cut:
        image[round(y) - 30 : round(y) - 15] = 0
    angles = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    points = np.full((478, 2), (x, y))
    points[list(FACE_OVAL)] = np.column_stack([x + 15 * np.cos(angles), y + 20 * np.sin(angles)])
    return index, image, points


def masks(frames, sigma):
    return [mask for _, _, mask in steady_masks(iter(frames), Drawn(), sigma)]


def wrong(mask, index, x, y=60.0):
    """Share of the head's pixels that differ from it."""
    truth = frame(index, x, y=y)[1][..., 0]
    return np.count_nonzero(mask != truth) / np.count_nonzero(truth)


def test_a_silhouette_that_is_wrong_in_one_frame_is_outvoted_although_the_head_moves():
    frames = [frame(k, 60 + 4 * k, cut=k == 4) for k in range(9)]
    alone, steady = masks(frames, 0), masks(frames, 1.5)
    assert wrong(alone[4], 4, 76) > 0.1
    assert all(wrong(mask, k, 60 + 4 * k) < 0.03 for k, mask in enumerate(steady))


def test_every_frame_comes_once_in_order_with_its_own_image():
    frames = [frame(k, 60 + k) for k in (0, 1, 2, 7, 8, 40)]
    for sigma in (0, 0.5, 1.5):
        found = list(steady_masks(iter(frames), Drawn(), sigma))
        assert [index for index, _, _ in found] == [0, 1, 2, 7, 8, 40]
        assert all(image is given for (_, image, _), (_, given, _) in zip(found, frames, strict=True))


def test_frames_that_lie_apart_in_time_do_not_vote():
    frames = [frame(10 * k, 60, cut=k == 1) for k in range(3)]
    assert wrong(masks(frames, 1.5)[1], 1, 60) > 0.1


def test_no_more_than_the_neighbours_are_read_ahead():
    read = []

    def frames():
        for k in range(30):
            read.append(k)
            yield frame(k, 60)

    for index, _, _ in steady_masks(frames(), Drawn(), 1.0):
        assert read[-1] - index <= 4


def test_beyond_its_border_an_image_does_not_vote():
    """The head rises out of the image: later images do not show its top, so they say nothing of it."""
    for step_px in (6, 10):
        frames = [frame(k, 80, y=70 - step_px * k) for k in range(70 // step_px)]
        for k, mask in enumerate(masks(frames, 1.5)):
            assert wrong(mask, k, 80, y=70 - step_px * k) == 0


def test_an_image_that_is_all_face_is_all_head_over_time_too():
    image = np.full((60, 60, 3), (220, 180, 160), np.uint8)
    points = np.tile(np.array([30.0, 30.0]), (478, 1))
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, len(FACE_OVAL), endpoint=False)
    points[list(FACE_OVAL)] = np.column_stack([30 + 60 * np.cos(angles), 30 + 60 * np.sin(angles)])
    segment = HeadSegmenter([(image, points)])
    found = list(steady_masks([(k, image, points) for k in range(3)], segment, 1.5))
    assert len(found) == 3
    assert all((mask == 255).all() for _, _, mask in found)
