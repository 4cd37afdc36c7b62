"""A photograph of a raw release, before any preprocessing."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One photograph with what its data set says of it. Lengths in metres; the camera frame is OpenCV's."""

    image_path: Path
    intrinsics_px: Float[ndarray, "3 3"]
    distortion: Float[ndarray, "5"]  # OpenCV's order
    gaze_target_camera_m: Float[ndarray, "3"] | None
    landmarks_2d_px: Float[ndarray, "68 2"] | None
    head_to_camera: Float[ndarray, "4 4"] | None
    rotated_180: bool  # the camera hung upside down: turn the picture before use
    frame_index: int
    camera_index: int
    subject: str
