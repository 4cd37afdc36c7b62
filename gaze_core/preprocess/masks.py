"""Masks of a crop: the head with its hair and neck, and the visible part of each eyeball.

Eyes come from the lid contours. Hair has no landmarks, so the head comes from GrabCut (Rother et al. 2004) seeded by the
face's oval: surely head inside it, perhaps head around it, surely background far from it.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.preprocess.face_mesh import FACE_OVAL, LIDS

Mask = UInt8[ndarray, "h w"]

_FOREHEAD, _CHIN, _RIGHT_SIDE, _LEFT_SIDE = 10, 152, 234, 454
_ROUNDS = 3
_FACE_WIDTH_PX = 72  # GrabCut works on the picture at this scale: fast, and blind to noise
# Ellipses around the face, in half heights and half widths of the oval: (centre's shift up, half height, half width).
_HAIRLINE = (0.2, 1.2, 0.95)  # its upper part above the oval is hair, or a bald head
_SKULL = (0.3, 1.4, 1.2)
_REACH = (-0.4, 2.6, 2.4)  # hair and neck do not go further
_NECK_WIDTH, _NECK_LENGTH = 0.45, 0.4


def head_mask(image: UInt8[ndarray, "h w 3"], points_px: Float[ndarray, "n 2"]) -> Mask:
    """0 or 255: the head with hair and neck. `points_px` is the face mesh in pixels of `image`.

    Give it the whole picture rather than a crop: what lies far from the head tells the background's colours.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _FACE_WIDTH_PX / float(np.linalg.norm(points_px[_RIGHT_SIDE] - points_px[_LEFT_SIDE])))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    seeds = _seeds(small.shape[:2], points_px * scale)
    if not np.isin(seeds, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        return np.full((height, width), 255, np.uint8)
    # GrabCut draws its first clusters from OpenCV's random numbers.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    labels, *_ = cv2.grabCut(small, seeds, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    head = _cleaned(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8))
    smooth = cv2.resize(head.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
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
    seeds[cv2.erode(face, None, iterations=1) > 0] = cv2.GC_FGD
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
