"""OpenVINO's `gaze-estimation-adas-0002` on our landmarks and head pose: a reader of gaze that nobody here has trained.

The network gets both eyes, turned upright in the image, with yaw and pitch of the head, and returns a vector in the camera's
axes with y up. It is not the same for left and right: on 40 labelled people of ETH-XGaze its yaw is 4 degrees to one
side. So each face is read as it is and in a mirror, and the mean counts: 6.2 degrees of error there instead of 8.3. The
head angles that it was trained with are those of `head-pose-estimation-adas-0001`; with that network's own it errs by 1.5
degrees more than with our fitted pose (docs/evaluation.md).
"""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.assets import resolve
from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.geometry.landmarks import Eyes
from gaze_core.preprocess.face_mesh import CORNERS
from gaze_core.preprocess.iris_gaze import angles_of, eyes_open
from gaze_core.preprocess.posed_face import PORTRAIT_FOCAL_FACTOR, PosedFace, read_each

NETWORK, WEIGHTS = "openvino_gaze", "openvino_gaze_weights"  # assets
MISSING_PACKAGE = "the package openvino is not installed, pip install 'gazeworks[openvino]'"
VERSION = 1  # of what is done with the network; another gives other readings
_INPUTS = ("left_eye_image", "right_eye_image", "head_pose_angles")
_EYE_PX = 60
# Side of an eye's image over the distance of its corners. The network's makers take 1.8 with corners of their own
# landmarks; the inner corner of ours lies further in, in the tear duct.
_EYE_MARGIN = 1.6
EyeImage = UInt8[ndarray, "60 60 3"]
_MIRROR = np.array([-1.0, 1.0, 1.0])


class OpenvinoGaze:
    """The network, ready to read one face at a time.

    Args:
        network, weights: its two files (`.xml`, `.bin`); found by `gaze_core.assets` if None.

    Raises:
        MissingArtifact: the extra `openvino` is not installed, or a file is not available.
        ContractViolation: the files are not this network's.
    """

    def __init__(self, network: Path | None = None, weights: Path | None = None) -> None:
        openvino = import_openvino()
        network, weights = network or resolve(NETWORK), weights or resolve(WEIGHTS)
        core = openvino.Core()
        try:
            # One thread, so that its answers do not depend on the machine's cores.
            how = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
            self._run: Any = core.compile_model(core.read_model(network, weights), "CPU", how)
            self._inputs = {name: self._run.input(name) for name in _INPUTS}
        except RuntimeError as error:
            raise ContractViolation(
                f"{network}, {weights}: expected gaze-estimation-adas-0002 with the inputs {', '.join(_INPUTS)}, found "
                f"{str(error).strip().splitlines()[-1]}"
            ) from error

    def __call__(self, posed: PosedFace) -> Float[ndarray, "2"] | None:
        """`[pitch, yaw]` in radians, camera frame; None where an eye is shut."""
        return self.read(posed) if all(eyes_open(posed.face.points_px, posed.face.expression)) else None

    def read(self, posed: PosedFace) -> Float[ndarray, "2"]:
        """The same, eyes shut or not."""
        eyes, roll_rad = upright_eyes(posed.image, posed.face.points_px)
        pitch_deg, yaw_deg = posed.pose.facing_deg
        seen = self._vector(eyes, yaw_deg, pitch_deg)
        mirrored = self._vector(Eyes(left=eyes.right[:, ::-1], right=eyes.left[:, ::-1]), -yaw_deg, pitch_deg)
        x, y, z = seen + mirrored * _MIRROR
        cos, sin = np.cos(roll_rad), np.sin(roll_rad)
        return angles_of(np.array([cos * x - sin * y, sin * x + cos * y, z]))

    def _vector(self, eyes: Eyes[EyeImage], yaw_deg: float, pitch_deg: float) -> Float[ndarray, "3"]:
        """Unit vector in upright camera axes (y down) for eyes and a head that faces `(pitch, yaw)`, signs as for gaze."""
        values = {
            "left_eye_image": _planes(eyes.left),
            "right_eye_image": _planes(eyes.right),
            # The network's angles grow toward image right and down; the roll is gone from the images.
            "head_pose_angles": np.array([[-yaw_deg, -pitch_deg, 0.0]], np.float32),
        }
        (vector,) = self._run({self._inputs[name]: value for name, value in values.items()}).values()
        x, y, z = np.asarray(vector, dtype=np.float64).ravel()
        return np.array([x, -y, z]) / np.linalg.norm([x, y, z])


def import_openvino() -> Any:
    """The package, without its telemetry, which would report each import over the network.

    Raises:
        MissingArtifact: the extra `openvino` is not installed.
    """
    telemetry = "openvino_telemetry"
    known = {name: module for name, module in sys.modules.items() if name == telemetry}
    sys.modules[telemetry] = None  # type: ignore[assignment]  # it does without what cannot be imported
    try:
        import openvino
    except ImportError as error:
        raise MissingArtifact(MISSING_PACKAGE) from error
    finally:
        del sys.modules[telemetry]
        sys.modules.update(known)
    return openvino


def predict_gaze(
    images: UInt8[ndarray, "n h w 3"],
    network: OpenvinoGaze,
    landmarker: Path | None = None,
    focal_factor: float = PORTRAIT_FOCAL_FACTOR,
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """`posed_face.read_each` with the network; valid where both eyes are open."""
    return read_each(images, network, landmarker, focal_factor)


def upright_eyes(image: UInt8[ndarray, "h w 3"], points_px: Float[ndarray, "478 3"]) -> tuple[Eyes[EyeImage], float]:
    """Square images of both eyes (left, right: the subject's), and the angle by which the line of the eyes is turned.

    The angle is in radians, positive where the subject's left eye is the lower one; the images are turned back by it.
    """
    outer = points_px[[CORNERS.left[0], CORNERS.right[0]], :2]
    roll_rad = float(np.arctan2(*(outer[0] - outer[1])[::-1]))
    return Eyes(*(_upright(image, points_px[list(corners), :2], roll_rad) for corners in CORNERS)), roll_rad


def _upright(
    image: UInt8[ndarray, "h w 3"], corners_px: Float[ndarray, "2 2"], roll_rad: float
) -> EyeImage:  # fmt: skip
    side_px = _EYE_MARGIN * float(np.linalg.norm(corners_px[0] - corners_px[1]))
    scale = _EYE_PX / side_px
    cos, sin = scale * np.cos(roll_rad), scale * np.sin(roll_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = _EYE_PX / 2 - turn @ corners_px.mean(axis=0)
    shift += turn @ (0.5, 0.5) - 0.5  # OpenCV's pixel centres are whole numbers
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    matrix = np.column_stack([turn, shift])
    return cv2.warpAffine(image, matrix, (_EYE_PX, _EYE_PX), flags=how, borderMode=cv2.BORDER_REPLICATE)


def _planes(eye: EyeImage) -> Float[ndarray, "1 3 60 60"]:
    """Blue, green, red in [0, 255]."""
    return np.ascontiguousarray(eye[None, :, :, ::-1].transpose(0, 3, 1, 2), dtype=np.float32)
