"""Gaze of normalised crops, read from their irises: judges redirected images without any trained gaze model.

Readings of one person share a bias of a few degrees, so compare readings with readings.
"""

from pathlib import Path

from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.preprocess.iris_gaze import camera_gaze, read_eyes
from gaze_core.preprocess.posed_face import PORTRAIT_FOCAL_FACTOR, PosedFace, read_each


def read_gaze(
    images: UInt8[ndarray, "n h w 3"],
    landmarker: Path | None = None,
    focal_factor: float = PORTRAIT_FOCAL_FACTOR,
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """`posed_face.read_each` with the eyeball model; valid where both eyes are open and agree."""
    return read_each(images, _iris_gaze, landmarker, focal_factor)


def _iris_gaze(posed: PosedFace) -> Float[ndarray, "2"] | None:
    reading = read_eyes(posed.face.points_px, posed.face.expression, posed.pose, posed.head, posed.intrinsics_px)
    return camera_gaze(reading.gaze_head, posed.pose.rotation) if reading.valid else None
