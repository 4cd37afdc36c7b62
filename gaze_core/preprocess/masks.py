"""Masks: the head with its hair and neck, and the visible part of each eyeball.

Eyes come from the lid contours. Hair has no landmarks, so the head comes from GrabCut (Rother et al. 2004) seeded by the
face oval: certain head inside it and just above, possible head around it, certain background far from it. The colour
models are fitted once on several frames of the recording, so that masks are consistent between frames.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.preprocess.face_mesh import FACE_OVAL, LIDS

Mask = UInt8[ndarray, "h w"]
SegmentationSample = tuple[UInt8[ndarray, "h w 3"], Float[ndarray, "n 2"]]  # RGB, and the face mesh in its pixels

_FOREHEAD, _CHIN = 10, 152
_LONGER_SIDE_PX = 320  # scale for GrabCut: fast, and insensitive to noise
_LEARNING_ROUNDS = 4
_MIN_PIXELS = 5  # needed for GrabCut's colour clusters of head and background
_NO_BOX = (0, 0, 0, 0)
# Ellipses around the face, in half heights and half widths of the oval: (centre's shift up, half height, half width).
_HAIRLINE = (0.2, 1.2, 0.95)  # its upper part above the oval is hair or the top of a bald head
_SKULL = (0.3, 1.4, 1.2)
_REACH = (-0.4, 2.6, 2.4)  # bound of hair and neck
_NECK_WIDTH, _NECK_LENGTH = 0.45, 0.4


def downscaled(image: UInt8[ndarray, "h w 3"], points_px: Float[ndarray, "n 2"]) -> SegmentationSample:
    """An image downscaled for segmentation, with its mesh points."""
    scale = min(1.0, _LONGER_SIDE_PX / max(image.shape[:2]))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), points_px * scale


class HeadSegmenter:
    """Segments heads in full images; pixels far from the head give the colours of the background.

    Args:
        samples: some `downscaled` images of the recording, of one size, on which the colour models are fitted.
    """

    def __init__(self, samples: Sequence[SegmentationSample]) -> None:
        image = np.concatenate([_colors(sample) for sample, _ in samples])
        seeds = np.concatenate([_seeds(sample.shape[:2], points) for sample, points in samples])
        self._models = np.zeros((1, 65)), np.zeros((1, 65))  # background, head
        num_background = np.count_nonzero((seeds == cv2.GC_BGD) | (seeds == cv2.GC_PR_BGD))
        self._has_colors = _MIN_PIXELS <= num_background <= seeds.size - _MIN_PIXELS
        if not self._has_colors:  # the face fills the image: the seeds alone decide
            return
        # GrabCut initialises its clusters from OpenCV's random generator.
        cv2.setRNGSeed(0)
        cv2.grabCut(image, seeds, _NO_BOX, *self._models, _LEARNING_ROUNDS, cv2.GC_INIT_WITH_MASK)

    def __call__(self, image: UInt8[ndarray, "h w 3"], points_px: Float[ndarray, "n 2"]) -> Mask:
        """0 or 255: the head with hair and neck. `points_px` is the face mesh in pixels of `image`."""
        small, points = downscaled(image, points_px)
        labels = _seeds(small.shape[:2], points)
        background, head = (model.copy() for model in self._models)
        if self._has_colors:
            cv2.grabCut(_colors(small), labels, _NO_BOX, background, head, 1, cv2.GC_EVAL_FREEZE_MODEL)
        mask = _cleaned(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8))
        smooth = cv2.resize(mask.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.where(smooth > 0.5, 255, 0).astype(np.uint8)


def eye_mask(size_px: tuple[int, int], lids_px: Float[ndarray, "n 2"]) -> Mask:
    """0 or 255: inside the lid contour, drawn with sub-pixel vertices. `size_px` is (height, width)."""
    mask = np.zeros(size_px, np.uint8)
    shift = 4
    # A vertex at 0.5 is the centre of OpenCV's pixel 0.
    polygon = np.round((lids_px - 0.5) * (1 << shift)).astype(np.int32)
    cv2.fillPoly(mask, [polygon], 255, shift=shift)
    return mask


def eye_masks(size_px: tuple[int, int], points_px: Float[ndarray, "n 2"]) -> tuple[Mask, Mask]:
    """The masks of the (left, right) eye."""
    left, right = (eye_mask(size_px, points_px[list(lids)]) for lids in LIDS)
    return left, right


def _colors(image: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "h w 3"]:
    """CIELAB with chroma counted twice: it tells skin and hair from wood and walls better than lightness does."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int16)
    lab[..., 1:] = 2 * lab[..., 1:] - 128
    return lab.clip(0, 255).astype(np.uint8)


def _seeds(size_px: tuple[int, ...], points_px: Float[ndarray, "n 2"]) -> Mask:
    """GrabCut's labels from the face's oval."""
    height, width = size_px
    down = (points_px[_CHIN] - points_px[_FOREHEAD]) / 2
    middle = (points_px[_CHIN] + points_px[_FOREHEAD]) / 2
    half_height = float(np.linalg.norm(down))
    down = down / half_height
    across = np.array([down[1], -down[0]])
    half_width = float(np.abs((points_px[list(FACE_OVAL)] - middle) @ across).max())
    ys, xs = np.mgrid[:height, :width] + 0.5
    offset = np.stack([xs, ys], axis=-1) - middle
    v, u = offset @ down / half_height, offset @ across / half_width

    def inside(ellipse: tuple[float, float, float]) -> ndarray:
        up, tall, wide = ellipse
        return np.asarray(((v + up) / tall) ** 2 + (u / wide) ** 2 < 1)

    neck = (np.abs(u) < _NECK_WIDTH) & (v > 0) & (v < 1 + _NECK_LENGTH)
    seeds = np.full((height, width), cv2.GC_BGD, np.uint8)
    seeds[inside(_REACH)] = cv2.GC_PR_BGD
    seeds[inside(_SKULL) | neck] = cv2.GC_PR_FGD
    seeds[inside(_HAIRLINE) & (v < -0.6)] = cv2.GC_FGD
    face = np.zeros((height, width), np.uint8)
    cv2.fillPoly(face, [np.round(points_px[list(FACE_OVAL)] - 0.5).astype(np.int32)], 1)
    seeds[cv2.erode(face, np.ones((3, 3), np.uint8)) > 0] = cv2.GC_FGD
    return seeds


def _cleaned(head: Mask) -> Mask:
    """0 or 1: the largest piece, without holes and fringes."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    head = cv2.morphologyEx(cv2.morphologyEx(head, cv2.MORPH_OPEN, kernel), cv2.MORPH_CLOSE, kernel)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(head, connectivity=4)
    if len(stats) > 1:
        head = (pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    contours, _ = cv2.findContours(head, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(head, contours, -1, 1, thickness=cv2.FILLED))
