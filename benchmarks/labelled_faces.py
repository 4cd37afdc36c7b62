"""Errors of the readers of gaze on photographs of people whose gaze is known.

    python benchmarks/labelled_faces.py --data FOLDER [--record docs/measured/real_gaze]

`FOLDER` holds up to three sets, none of which may be published with this package:

- `xgaze40/`: faces of ETH-XGaze, normalised to a focal length of 960 px at 448 px, and `labels.csv` (file, pitch_deg,
  yaw_deg in the camera frame);
- `recalib/`: photographs of ReCalib with their JSON and `camera_intrinsics.npz`;
- `mpii/day01_0087.jpg`: a photograph of MPIIFaceGaze, whose camera and target stand below.

Nothing is trained here. Each face is read on its own. Prints JSON, which `--record FOLDER` keeps.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.assets import resolve
from gaze_core.config import Runtime
from gaze_core.driver.gaze_estimator import face_gaze
from gaze_core.driver.shipped_files import BASE_FILE, shipped
from gaze_core.errors import BadInput, GazeworksError
from gaze_core.evaluation.readers import why_not
from gaze_core.geometry.angles import angular_error_deg
from gaze_core.preprocess.iris_gaze import GazePrediction, angles_of, camera_gaze, eyes_open, gaze_from_irises
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.openvino_gaze import OpenvinoGaze
from gaze_core.preprocess.posed_face import PosedFace, enlarged, head_of_images, pose_face
from tasks.measurements import record_values

_XGAZE_FOCAL_PX = 960.0  # at 448 px
# Of day01_0087.jpg, person 00: the calibration of the data set, its 3D target, and the middle of the face (mm).
_MPII_INTRINSICS_PX = np.array([[994.735, 0, 624.663], [0, 998.166, 364.087], [0, 0, 1.0]])
_MPII_TARGET_MM, _MPII_FACE_MM = np.array([-127.791, 4.621, -12.025]), np.array([13.116, 38.793, 428.885])

Reading = tuple[Float[ndarray, "2"], bool, float | None]
"""`[pitch, yaw]` in radians, camera frame; whether it is valid; the expected error in radians, if the reader knows one."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A photograph, its camera, and where the person in it looks: `[pitch, yaw]` in radians, camera frame."""

    name: str
    image: UInt8[ndarray, "h w 3"]
    intrinsics_px: Float[ndarray, "3 3"]
    gaze: Float[ndarray, "2"]


def xgaze(folder: Path) -> Iterator[Labelled]:
    """Normalised faces of ETH-XGaze."""
    for row in csv.DictReader((folder / "labels.csv").open()):
        image = photograph(folder / row["file"])
        side_px = image.shape[0]
        focal_px = _XGAZE_FOCAL_PX * side_px / 448
        intrinsics_px = np.array([[focal_px, 0, side_px / 2], [0, focal_px, side_px / 2], [0, 0, 1.0]])
        yield Labelled(row["file"], image, intrinsics_px, np.deg2rad([float(row["pitch_deg"]), float(row["yaw_deg"])]))


def photographs(folder: Path) -> Iterator[Labelled]:
    """Those of ReCalib and MPIIFaceGaze."""
    recalib, mpii = folder / "recalib", folder / "mpii" / "day01_0087.jpg"
    for path in sorted(recalib.glob("*.png")):
        vector = np.array(json.loads(path.with_suffix(".json").read_text())["gaze"]["vector"])
        yield Labelled(
            path.stem, photograph(path), np.load(recalib / "camera_intrinsics.npz")["mtx"], angles_of(vector)
        )
    if mpii.is_file():
        yield Labelled(mpii.stem, photograph(mpii), _MPII_INTRINSICS_PX, angles_of(_MPII_TARGET_MM - _MPII_FACE_MM))


def photograph(path: Path) -> UInt8[ndarray, "h w 3"]:
    """RGB.

    Raises:
        BadInput: there is no readable image.
    """
    image = cv2.imread(str(path))
    if image is None:
        raise BadInput(f"{path}: not a readable image; the data set is incomplete")
    return np.ascontiguousarray(image[:, :, ::-1])


def in_camera(prediction: GazePrediction, posed: PosedFace, sigma_rad: float | None = None) -> Reading:
    """A prediction in the head frame as a reading."""
    return camera_gaze(prediction.gaze_head, posed.pose.rotation), prediction.valid, sigma_rad


def by_landmarks(posed: PosedFace) -> Reading:
    """The reader that labels recordings."""
    prediction = LandmarkGaze.load().read(posed.face, posed.pose, posed.head, posed.intrinsics_px)
    return in_camera(prediction, posed, prediction.sigma_rad)


def by_irises(posed: PosedFace) -> Reading:
    """The eyeball model."""
    return in_camera(
        gaze_from_irises(posed.face.points_px, posed.face.expression, posed.pose, posed.head, posed.intrinsics_px),
        posed,
    )


def driver_base() -> Callable[[PosedFace], Reading]:
    """The appearance network from which `gazeworks driver run` starts, on its own view of the face."""
    gaze = face_gaze(shipped(BASE_FILE), Runtime(device="cpu"))
    return lambda posed: (gaze(posed), all(eyes_open(posed.face.points_px, posed.face.expression)), None)


def readers() -> dict[str, Callable[[PosedFace], Reading]]:
    """All that are at hand, by name."""
    found: dict[str, Callable[[PosedFace], Reading]] = {
        "landmarks": by_landmarks,
        "iris": by_irises,
        "driver_base": driver_base(),
    }
    if reason := why_not("openvino"):
        sys.stderr.write(f"openvino does not read: {reason}\n")
        return found
    network = OpenvinoGaze()

    def by_openvino(posed: PosedFace) -> Reading:
        return network.read(posed), all(eyes_open(posed.face.points_px, posed.face.expression)), None

    return {**found, "openvino": by_openvino}


def measure(labelled: list[Labelled], landmarker: Path) -> dict[str, object]:
    """Errors of every reader on one set; `without_face` counts the photographs in which no face was found."""
    find, head = FaceLandmarker(landmarker), head_of_images(landmarker)
    posed, true = [], []
    for row in labelled:
        image = enlarged(row.image)
        intrinsics_px = np.diag([*(image.shape[1] / row.image.shape[1],) * 2, 1]) @ row.intrinsics_px
        for face in find.faces(image)[:1]:
            posed.append(pose_face(image, face, head, intrinsics_px))
            true.append(row.gaze)
    gaze = np.array(true)
    result: dict[str, object] = {"photographs": len(labelled), "without_face": len(labelled) - len(posed)}
    for name, read in readers().items():
        readings = [read(face) for face in posed]
        values = np.array([reading[0] for reading in readings])
        valid = np.array([reading[1] for reading in readings])
        sigmas = [reading[2] for reading in readings if reading[2] is not None]
        result[name] = errors(values, gaze, valid) | (
            {"expected_error_deg": float(np.rad2deg(np.mean(sigmas)))} if sigmas else {}
        )
    result["constant"] = errors(np.broadcast_to(gaze.mean(axis=0), gaze.shape), gaze, np.ones(len(gaze), bool))
    return result


def errors(gaze: Float[ndarray, "n 2"], true: Float[ndarray, "n 2"], valid: ndarray) -> dict[str, object]:
    """Mean angles in degrees; slope and bias of each angle over all, null for fewer than ten."""
    off_deg = angular_error_deg(torch.as_tensor(gaze.copy()), torch.as_tensor(true)).numpy()
    out: dict[str, object] = {
        "error_deg": float(off_deg.mean()),
        "num_valid": int(valid.sum()),
        "valid_error_deg": float(off_deg[valid].mean()) if valid.any() else None,
        "each_deg": [round(float(value), 1) for value in off_deg],
    }
    for axis, name in enumerate(("pitch", "yaw")):
        slope = float(np.polyfit(true[:, axis], gaze[:, axis], 1)[0]) if len(true) >= 10 else None
        out[f"{name}_slope"] = slope
        out[f"{name}_bias_deg"] = float(np.rad2deg((gaze - true)[:, axis].mean()))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with xgaze40, recalib and mpii")
    parser.add_argument("--record", type=Path, help="folder of records, such as docs/measured/real_gaze")
    options = parser.parse_args()
    sets = {}
    if (options.data / "xgaze40" / "labels.csv").is_file():
        sets["xgaze40"] = list(xgaze(options.data / "xgaze40"))
    if found := list(photographs(options.data)):
        sets["photographs"] = found
    if not sets:
        raise BadInput(
            f"{options.data}: no labelled faces; expected xgaze40/labels.csv, recalib/*.png or mpii/day01_0087.jpg there"
        )
    landmarker = resolve("face_landmarker")
    result: dict[str, object] = {name: measure(labelled, landmarker) for name, labelled in sets.items()}
    result["weights"] = LandmarkGaze.load().digest
    if options.record:
        record_values(options.record, "readers of gaze on labelled photographs of people", result)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except GazeworksError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
