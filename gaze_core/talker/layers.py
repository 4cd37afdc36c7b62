"""The layers behind a head: the torso as RGBA that goes on behind the chin, and the wall behind everything."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from gaze_core.talker.subject_schema import BACKGROUND, TORSO

_BEHIND_HEAD = 0.16  # of the head's height, by which the torso goes on behind it
_CHIN = 0.12  # of the head's height, its lowest part, which is as wide as what hides the neck
_LEAST_WEIGHT = 0.05  # of a blurred mask, from which its colours count


def torso_layer(image: UInt8[ndarray, "h w 3"], labels: UInt8[ndarray, "h w"]) -> UInt8[ndarray, "h w 4"]:
    """What is drawn behind the head: the torso's pixels, and its nearest colours going on upward behind the head.

    A drawn chin that moves up then shows neck, not wall (Guo et al. 2021, AD-NeRF, inpaint the same way).
    """
    torso, head = labels == TORSO, (labels != TORSO) & (labels != BACKGROUND)
    out = np.zeros((*labels.shape, 4), np.uint8)
    if not torso.any():
        return out
    grown = torso
    if head.any():
        rows = np.flatnonzero(head.any(axis=1))
        steps = max(int(_BEHIND_HEAD * (rows[-1] - rows[0] + 1)), 1)
        reach = cv2.dilate(torso.astype(np.uint8), np.ones((2 * steps + 1, 1), np.uint8), anchor=(0, 0)) > 0
        grown = torso | (reach & head & _under_chin(head))
    # Away from the border, whose pixels are mixed with what is beside them.
    inner = cv2.erode(torso.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    source = inner if inner.any() else torso
    out[..., :3] = np.where((grown & ~torso)[..., None], _filled(image, source), image)
    out[..., 3] = np.where(grown, 255, 0)
    out[~grown] = 0
    return out


def clean_plate(
    images: Sequence[UInt8[ndarray, "h w 3"]], backgrounds: Sequence[Bool[ndarray, "h w"]]
) -> tuple[UInt8[ndarray, "h w 3"], float]:
    """The wall, and the share of it that was seen: per pixel the median over frames in which it is far from the person.

    What no frame shows is filled from its neighbours.
    """
    margin = max(round(0.025 * images[0].shape[1]), 1)
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    stack = np.stack(images).astype(np.float32)
    clear = np.stack([cv2.erode(one.astype(np.uint8), kernel) > 0 for one in backgrounds])
    stack[~clear] = np.nan
    seen = np.asarray(clear.any(axis=0))
    plate = np.zeros(images[0].shape, np.float32)
    if seen.any():
        plate[seen] = np.nanmedian(stack[:, seen], axis=0)
    wall = plate.astype(np.uint8)
    if seen.any() and not seen.all():
        wall = _filled(wall, seen)
    return np.asarray(wall, np.uint8), float(seen.mean())


def _under_chin(head: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """The lower third of the head, as wide as its chin: hair that hangs beside it does not hide a neck."""
    rows = np.flatnonzero(head.any(axis=1))
    tall = rows[-1] - rows[0]
    columns = np.flatnonzero(head[round(rows[-1] - _CHIN * tall) :].any(axis=0))
    under = np.zeros(head.shape, bool)
    under[round(rows[-1] - 0.35 * tall) :, columns[0] : columns[-1] + 1] = True
    return under


def _filled(image: UInt8[ndarray, "h w 3"], source: Bool[ndarray, "h w"]) -> UInt8[ndarray, "h w 3"]:
    """The image with everything outside the source taken from the nearest of it, the smoother the further away."""
    out = np.where(source[..., None], image, 0).astype(np.float32)
    known = source.copy()
    sigma = 1.5
    while not known.all() and sigma < 2 * max(image.shape):
        weight = cv2.GaussianBlur(source.astype(np.float32), (0, 0), sigma)
        colors = cv2.GaussianBlur(np.where(source[..., None], image, 0).astype(np.float32), (0, 0), sigma)
        near = ~known & (weight > _LEAST_WEIGHT)
        out[near] = colors[near] / weight[near, None]
        known |= near
        sigma *= 1.5
    return np.asarray(np.clip(out, 0, 255)).astype(np.uint8)
