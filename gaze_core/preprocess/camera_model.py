"""The camera of a picture: its intrinsics and distortion, from a file, a focal length, or assumed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import yaml
from jaxtyping import Float
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.preprocess.head_pose import intrinsics_of

ASSUMED_FOCAL_FACTOR = 1.2  # focal length over the longer side
_NUM_DISTORTION = (4, 5, 8, 12, 14)  # what OpenCV takes
_FORM = "expected `intrinsics_px`, 3 x 3, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], and perhaps OpenCV's `distortion`"


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics in px, pixel centres at +0.5, and OpenCV's distortion coefficients if there are any."""

    intrinsics_px: Float[ndarray, "3 3"]
    distortion: Float[ndarray, " d"] | None = None
    is_assumed: bool = False

    @classmethod
    def of_focal(cls, size_px: tuple[int, int], focal_px: float | None = None) -> Self:
        """The camera of pictures of (width, height) that looks along their middle; an assumed one without a focal length."""
        longer = max(size_px)
        return cls(intrinsics_of(size_px, (focal_px or ASSUMED_FOCAL_FACTOR * longer) / longer), None, focal_px is None)

    def scaled(self, scale: float) -> "Camera":
        """The camera of the same pictures, enlarged."""
        return Camera(self.intrinsics_px * [[scale], [scale], [1]], self.distortion, self.is_assumed)

    def undistorted(self, points_px: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2"]:
        """Where points would lie without distortion."""
        if self.distortion is None:
            return points_px
        K = self.intrinsics_px
        return np.asarray(cv2.undistortPoints(points_px[:, None].astype(np.float64), K, self.distortion, P=K))[:, 0]


def read_camera(path: Path) -> Camera:
    """A camera from a JSON or YAML file.

    Raises:
        BadInput: the file is missing, or is not a camera's.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content: Any = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: not a readable JSON or YAML file ({' '.join(str(error).split())}); {_FORM}") from error
    if not isinstance(content, dict) or "intrinsics_px" not in content:
        raise BadInput(f"{path}: no `intrinsics_px`; {_FORM}")
    K = _numbers(path, "intrinsics_px", content["intrinsics_px"])
    if K.shape != (3, 3) or min(K[0, 0], K[1, 1]) <= 0 or K[0, 1] or K[1, 0] or K[2].tolist() != [0, 0, 1]:
        raise BadInput(f"{path}: intrinsics_px is {K.tolist()}; {_FORM}")
    distortion = content.get("distortion")
    if distortion is None:
        return Camera(K)
    coefficients = _numbers(path, "distortion", distortion).ravel()
    if len(coefficients) not in _NUM_DISTORTION:
        raise BadInput(
            f"{path}: distortion has {len(coefficients)} numbers, expected {_NUM_DISTORTION} of them; {_FORM}"
        )
    return Camera(K, coefficients)


def require_fits(camera: Camera, size_px: tuple[int, int], name: str) -> None:
    """Raises BadInput if the camera's middle lies outside pictures of (width, height): it was calibrated at another size."""
    middle = camera.intrinsics_px[:2, 2]
    if (middle <= 0).any() or (middle >= size_px).any():
        raise BadInput(
            f"{name}: {size_px[0]} x {size_px[1]} px, but the camera's principal point is {middle[0]:g}, {middle[1]:g}; "
            "give the intrinsics of pictures of this size"
        )


def _numbers(path: Path, key: str, value: Any) -> Float[ndarray, "..."]:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: {key} is not a table of numbers; {_FORM}") from error
    if not np.isfinite(numbers).all():
        raise BadInput(f"{path}: {key} has a value that is not finite; {_FORM}")
    return numbers
