"""Gaze of normalised crops from their irises: judges redirected images without a trained gaze model.

Predictions for one person share a bias of a few degrees, so compare predictions with predictions.
"""

from pathlib import Path

from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.preprocess.iris_gaze import camera_gaze, gaze_from_irises
from gaze_core.preprocess.posed_face import PORTRAIT_FOCAL_FACTOR, PosedFace, read_each


def predict_gaze(
    images: UInt8[ndarray, "n h w 3"],
    landmarker: Path | None = None,
    focal_factor: float = PORTRAIT_FOCAL_FACTOR,
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """`posed_face.read_each` with the eyeball model; valid where both eyes are open and agree."""
    return read_each(images, _iris_gaze, landmarker, focal_factor)


def _iris_gaze(posed: PosedFace) -> Float[ndarray, "2"] | None:
    prediction = gaze_from_irises(
        posed.face.points_px, posed.face.expression, posed.pose, posed.head, posed.intrinsics_px
    )
    return camera_gaze(prediction.gaze_head, posed.pose.rotation) if prediction.valid else None
