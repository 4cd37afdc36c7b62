"""The layers behind a head: the torso as RGBA that goes on behind the chin, and the wall behind everything."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from gaze_core.talker.subject_schema import BACKGROUND, TORSO

_BEHIND_HEAD = 0.16  # of the head's height, by which the torso goes on behind it


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
        grown = torso | (reach & head & _lowest(head))
    # Away from the border, whose pixels are mixed with what is beside them.
    inner = cv2.erode(torso.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    source = inner if inner.any() else torso
    filled = _nearest(image, source)
    soft = cv2.blur(filled, (5, 5))
    out[..., :3] = np.where((grown & ~torso)[..., None], soft, image)
    out[..., 3] = np.where(grown, 255, 0)
    out[~grown] = 0
    return out


def clean_plate(
    images: Sequence[UInt8[ndarray, "h w 3"]], backgrounds: Sequence[Bool[ndarray, "h w"]]
) -> tuple[UInt8[ndarray, "h w 3"], float]:
    """The wall, and the share of it that was seen: per pixel the median over frames in which it is far from the person.

    What no frame shows is filled from its neighbours.
    """
    margin = max(round(0.012 * images[0].shape[1]), 1)
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    stack = np.stack(images).astype(np.float32)
    clear = np.stack([cv2.erode(one.astype(np.uint8), kernel) > 0 for one in backgrounds])
    stack[~clear] = np.nan
    seen = clear.any(axis=0)
    plate = np.zeros(images[0].shape, np.float32)
    if seen.any():
        plate[seen] = np.nanmedian(stack[:, seen], axis=0)
    wall = plate.astype(np.uint8)
    if seen.any() and not seen.all():
        small = _nearest(wall, seen)
        wall = np.where(seen[..., None], wall, cv2.blur(small, (2 * margin + 1, 2 * margin + 1)))
    return np.asarray(wall, np.uint8), float(seen.mean())


def _lowest(head: Bool[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    rows = np.flatnonzero(head.any(axis=1))
    below = np.zeros(head.shape, bool)
    below[round(0.35 * rows[0] + 0.65 * rows[-1]) :] = True
    return below


def _nearest(image: UInt8[ndarray, "h w 3"], source: Bool[ndarray, "h w"]) -> UInt8[ndarray, "h w 3"]:
    """Each pixel's nearest colour of the source."""
    _, labels = cv2.distanceTransformWithLabels(
        np.where(source, 0, 255).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((labels.max() + 1, 3), np.uint8)
    colors[labels[source]] = image[source]
    return np.asarray(colors[labels])
