"""Pictures of predictions: face crops with the predicted gaze in red and the target in green."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.atomic import replacing

RgbImage = UInt8[ndarray, "h w 3"]
PREDICTED, TARGET = (225, 30, 40), (30, 190, 60)
LEGEND = "red: predicted, green: target"
_SIDE_PX, _COLUMNS, _SHIFT = 192, 4, 4  # cv2 draws at 1/16 px


def gaze_picture(
    face: RgbImage, predicted_rad: Float[ndarray, "2"] | None, target_rad: Float[ndarray, "2"] | None
) -> RgbImage:
    """An enlarged face crop with an arrow for each known gaze, from the middle of the crop, where the gaze begins."""
    image = cv2.resize(face, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC)
    for gaze, colour in ((target_rad, TARGET), (predicted_rad, PREDICTED)):
        if gaze is not None and np.isfinite(gaze).all():
            _arrow(image, gaze, colour)
    return image


def gaze_pictures(
    faces: UInt8[ndarray, "n f f 3"], predicted_rad: Float[ndarray, "n 2"], target_rad: Float[ndarray, "n 2"]
) -> RgbImage:
    """All of them side by side, in rows."""
    tiles = [gaze_picture(*one) for one in zip(faces, predicted_rad, target_rad, strict=True)]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _COLUMNS)
    rows = [np.concatenate(tiles[at : at + _COLUMNS], axis=1) for at in range(0, len(tiles), _COLUMNS)]
    return np.concatenate(rows)


def write_picture(path: Path, rgb: RgbImage) -> None:
    """Writes a PNG atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
    with replacing(path) as partial:
        partial.write_bytes(encoded.tobytes())


def _arrow(image: RgbImage, gaze_rad: Float[ndarray, "2"], colour: tuple[int, int, int]) -> None:
    """An arrow of half the side for a gaze at right angles to the view (Zhang et al. 2020 draw it so)."""
    pitch, yaw = gaze_rad
    direction = np.array([-np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    start = np.array([0.5, 0.5]) * _SIDE_PX
    ends = [tuple(int(round(v * 2**_SHIFT)) for v in place) for place in (start, start + direction * _SIDE_PX / 2)]
    for width, paint in ((5, (20, 20, 20)), (3, colour)):
        cv2.line(image, ends[0], ends[1], paint, width, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, ends[1], (2 + width) * 2**_SHIFT // 2 * 2, paint, -1, cv2.LINE_AA, _SHIFT)
