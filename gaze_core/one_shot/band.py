"""The band of the eyes in a normalised face, and the mask of both eyes in it.

A face of 256 px (STED's view) shows 1.67 px to a millimetre. The band is 192 x 64 px of it about the middle of the eyes. The
mask depends on the eyes' corners alone: cut by the lids, its outline would tell where the eyes look.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.geometry.landmarks import LEFT_EYE_INNER, LEFT_EYE_OUTER, RIGHT_EYE_INNER, RIGHT_EYE_OUTER

FACE_PX = 256
BAND_PX = (192, 64)  # width, height
_CORNERS = ((LEFT_EYE_OUTER, LEFT_EYE_INNER), (RIGHT_EYE_OUTER, RIGHT_EYE_INNER))  # (left, right)
_HALF_AXES = (0.66, 0.42)  # of a mask's ellipse, over the eye's width
_RISE = 0.04  # of its centre over the corners' line: lids move more above it


@dataclass(frozen=True, eq=False)
class Band:
    """The band of one face with its mask (0 or 255) and its place in the face."""

    image: UInt8[ndarray, "64 192 3"]
    mask: UInt8[ndarray, "64 192"]
    origin_px: tuple[int, int]  # left, top


def face_at_256(
    image: UInt8[ndarray, "h w 3"], landmarks_px: Float[ndarray, "68 2"]
) -> tuple[UInt8[ndarray, "256 256 3"], Float[ndarray, "68 2"]]:
    """A square face and its landmarks at the size of the model."""
    scale = FACE_PX / image.shape[1]
    if scale == 1 and image.shape[0] == FACE_PX:
        return image, landmarks_px
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (FACE_PX, FACE_PX), interpolation=way), landmarks_px * scale


def cut_band(face: UInt8[ndarray, "256 256 3"], landmarks_px: Float[ndarray, "68 2"]) -> Band:
    """The band of a face; it lies inside the face."""
    width, height = BAND_PX
    corners = landmarks_px[[index for pair in _CORNERS for index in pair]]
    middle = corners.mean(axis=0)
    left = int(np.clip(round(middle[0] - width / 2), 0, FACE_PX - width))
    top = int(np.clip(round(middle[1] - height / 2), 0, FACE_PX - height))
    mask = eye_mask(landmarks_px - (left, top), BAND_PX)
    return Band(np.ascontiguousarray(face[top : top + height, left : left + width]), mask, (left, top))


def eye_mask(landmarks_px: Float[ndarray, "68 2"], size_px: tuple[int, int]) -> UInt8[ndarray, "h w"]:
    """255 in an ellipse about each eye, from its corners; 0 elsewhere."""
    mask = np.zeros(size_px[::-1], np.uint8)
    for outer, inner in _CORNERS:
        ends = landmarks_px[[outer, inner]]
        along = ends[1] - ends[0]
        eye_px = float(np.linalg.norm(along))
        center = ends.mean(axis=0) - (0, _RISE * eye_px)
        axes = [max(1, round(share * eye_px)) for share in _HALF_AXES]
        angle = float(np.degrees(np.arctan2(along[1], along[0])))
        place = (int(round(center[0] - 0.5)), int(round(center[1] - 0.5)))
        cv2.ellipse(mask, place, (axes[0], axes[1]), angle, 0, 360, 255, -1)
    return mask


def feathered(mask: UInt8[ndarray, "h w"], blur_px: float) -> Float[ndarray, "h w"]:
    """Weights in [0, 1]: 1 well inside the mask, falling to 0 at its border, exactly 0 outside."""
    inside = cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, 5)
    ramp = np.clip(inside / max(blur_px, 1e-6), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def put_back(
    face: UInt8[ndarray, "256 256 3"], made: UInt8[ndarray, "64 192 3"], band: Band, blur_px: float = 5.0
) -> UInt8[ndarray, "256 256 3"]:
    """The face with the eyes of `made`; outside the mask every pixel is the face's own."""
    left, top = band.origin_px
    weight = feathered(band.mask, blur_px)[..., None]
    out = face.copy()
    place = out[top : top + BAND_PX[1], left : left + BAND_PX[0]]
    place[:] = np.round(place + weight * (made.astype(np.float32) - place)).astype(np.uint8)
    return out
