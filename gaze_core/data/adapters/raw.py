"""Raw releases of gaze data sets as records: one photograph with its camera and labels, the image itself unread.

Pixels follow our convention (centres at +0.5); the releases have integer centres, so principal points and
landmarks move by half a pixel. Millimetres become metres. The camera frame is OpenCV's in all of them.
"""

import csv
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from jaxtyping import Float
from numpy import ndarray

from gaze_core.data.adapters.units import METRES_PER_MM, PIXEL_CENTER
from gaze_core.errors import BadInput
from gaze_core.geometry.landmarks import NUM_LANDMARKS

ETH_UPSIDE_DOWN_CAMERAS = (3, 6, 13)
_ETH_COLUMNS = 13  # before the landmarks
_MPII_COLUMNS = 28


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One photograph of a raw release.

    `head_to_camera` has the axes of our head frame (x image right, y down, z into the head when facing the camera),
    but its origin is that of the data set's face model, near the middle between the eyes. All labels belong to the
    image after it was turned by 180 degrees where `rotated_180` says so.
    """

    image_path: Path
    intrinsics_px: Float[ndarray, "3 3"]
    distortion: Float[ndarray, "5"]
    gaze_target_camera_m: Float[ndarray, "3"] | None
    landmarks_2d_px: Float[ndarray, "68 2"] | None
    head_to_camera: Float[ndarray, "4 4"] | None
    rotated_180: bool
    frame_index: int
    camera_index: int
    subject: str


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """A calibrated camera: pinhole intrinsics (px), distortion (k1, k2, p1, p2, k3) and extrinsics (m) if known."""

    intrinsics_px: Float[ndarray, "3 3"]
    distortion: Float[ndarray, "5"]
    world_to_camera: Float[ndarray, "4 4"] | None = None


def read_eth_camera(path: Path) -> CameraCalibration:
    """The camera of an ETH-XGaze `camNN.xml` (OpenCV FileStorage, translation in mm).

    Raises:
        BadInput: the file is missing, is not XML, or lacks the camera matrix or the distortion.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected the calibration of a camera (OpenCV XML)")
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise BadInput(f"{path}: not an OpenCV XML file ({error}); unpack the calibration again") from error
    matrix, distortion = _matrix(root, "Camera_Matrix", 9, path), _matrix(root, "Distortion_Coefficients", 5, path)
    pose = None
    if root.find("cam_rotation") is not None and root.find("cam_translation") is not None:
        shift_mm = _matrix(root, "cam_translation", 3, path)
        pose = _rigid(_matrix(root, "cam_rotation", 9, path).reshape(3, 3), shift_mm)
    return CameraCalibration(_shifted(matrix.reshape(3, 3)), distortion, pose)


def _matrix(root: ElementTree.Element, name: str, count: int, path: Path) -> Float[ndarray, " n"]:
    text = root.findtext(f"{name}/data")
    try:
        values = np.array([float(word) for word in (text or "").split()])
    except ValueError:
        values = np.empty(0)
    if len(values) != count:
        found = "nothing" if text is None else f"{len(values)} numbers"
        raise BadInput(f"{path}: {name} should hold {count} numbers, found {found}; use the published calibration")
    return values


def read_mpii_camera(path: Path) -> CameraCalibration:
    """The laptop camera of an MPIIFaceGaze `Calibration/Camera.mat`.

    Raises:
        BadInput: the file is missing, not a MATLAB file, or lacks `cameraMatrix` or `distCoeffs`.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected the calibration of the person's laptop camera")
    try:
        values = scipy.io.loadmat(path)
    except (ValueError, NotImplementedError) as error:
        raise BadInput(f"{path}: not a MATLAB 5 file ({error}); unpack the data set again") from error
    for key, size in (("cameraMatrix", 9), ("distCoeffs", 5)):
        if key not in values or values[key].size != size:
            found = values[key].shape if key in values else "nothing"
            raise BadInput(f"{path}: {key} should hold {size} numbers, found {found}; use the published calibration")
    matrix = values["cameraMatrix"].astype(np.float64)
    return CameraCalibration(_shifted(matrix), values["distCoeffs"].astype(np.float64).ravel())


def eth_xgaze_frames(annotation: Path, images: Path, calibration: Path) -> list[RawFrame]:
    """The photographs of one ETH-XGaze subject.

    Args:
        annotation: `subjectXXXX.csv`.
        images: the subject's folder, with `frameNNNN/camNN.JPG`.
        calibration: the folder of `camNN.xml`.

    Raises:
        BadInput: a file is missing or a row is malformed; the message names file and line.
    """
    cameras: dict[str, CameraCalibration] = {}
    frames = []
    for line, row in _csv_rows(annotation):
        name = row[1].strip().split(".")[0]
        if name not in cameras:
            cameras[name] = read_eth_camera(calibration / f"{name}.xml")
        frames.append(eth_xgaze_row(row, cameras[name], images, annotation.stem, f"{annotation}:{line}"))
    return frames


def eth_xgaze_row(row: Sequence[str], camera: CameraCalibration, images: Path, subject: str, where: str) -> RawFrame:
    """One row of an ETH-XGaze annotation: folder, image, screen px (2), target mm (3), rvec, tvec mm, 68 landmarks."""
    values = _numbers(row[2:], where)
    landmarks = values[_ETH_COLUMNS - 2 :]
    if len(values) < _ETH_COLUMNS - 2 or len(landmarks) not in (0, 2 * NUM_LANDMARKS):
        expected = f"{_ETH_COLUMNS} or {_ETH_COLUMNS + 2 * NUM_LANDMARKS}"
        raise BadInput(f"{where}: {len(row)} columns, expected {expected}; use the published annotation")
    camera_index = _index(row[1], where)
    return RawFrame(
        image_path=images / row[0].strip() / row[1].strip(),
        intrinsics_px=camera.intrinsics_px,
        distortion=camera.distortion,
        gaze_target_camera_m=_target(values[2:5]),
        landmarks_2d_px=landmarks.reshape(NUM_LANDMARKS, 2) + PIXEL_CENTER if len(landmarks) else None,
        head_to_camera=_head(values[5:8], values[8:11]),
        rotated_180=camera_index in ETH_UPSIDE_DOWN_CAMERAS,
        frame_index=_index(row[0], where),
        camera_index=camera_index,
        subject=subject,
    )


def mpii_face_gaze_frames(folder: Path) -> list[RawFrame]:
    """The photographs of one person of the raw MPIIFaceGaze release (`p00/p00.txt`, `p00/Calibration/Camera.mat`).

    `frame_index` is the line of the list, from 0. The release has six landmarks, not 68, so they are left out.

    Raises:
        BadInput: a file is missing or a line is malformed; the message names file and line.
    """
    listing = folder / f"{folder.name}.txt"
    camera = read_mpii_camera(folder / "Calibration" / "Camera.mat")
    rows = [line.split() for line in _lines(listing)]
    return [
        mpii_face_gaze_row(row, camera, folder, index, f"{listing}:{index + 1}")
        for index, row in enumerate(rows)
        if row
    ]


def mpii_face_gaze_row(
    row: Sequence[str], camera: CameraCalibration, folder: Path, frame_index: int, where: str
) -> RawFrame:
    """One line of `pXX.txt`: path, screen px (2), six landmarks, rvec, tvec mm, face centre mm, target mm, eye."""
    if len(row) != _MPII_COLUMNS:
        raise BadInput(f"{where}: {len(row)} columns, expected {_MPII_COLUMNS}; use the published list")
    values = _numbers(row[1:27], where)
    return RawFrame(
        image_path=folder / row[0],
        intrinsics_px=camera.intrinsics_px,
        distortion=camera.distortion,
        gaze_target_camera_m=_target(values[23:26]),
        landmarks_2d_px=None,
        head_to_camera=_head(values[14:17], values[17:20]),
        rotated_180=False,
        frame_index=frame_index,
        camera_index=0,
        subject=folder.name,
    )


def _csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    rows = [(line, row) for line, row in enumerate(csv.reader(_lines(path)), start=1) if row]
    for line, row in rows:
        if len(row) < _ETH_COLUMNS:
            raise BadInput(
                f"{path}:{line}: {len(row)} columns, expected at least {_ETH_COLUMNS}; use the published file"
            )
    return rows


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not readable as text ({error}); expected the annotation of one subject") from error


def _numbers(words: Sequence[str], where: str) -> Float[ndarray, " n"]:
    try:
        return np.array([float(word) for word in words])
    except ValueError as error:
        raise BadInput(f"{where}: {error}; expected numbers after the image's name") from error


def _index(name: str, where: str) -> int:
    """The number in a name such as `frame0012` or `cam03.JPG`."""
    match = re.search(r"(\d+)(\.\w+)?$", name.strip())
    if match is None:
        raise BadInput(f"{where}: {name!r} has no number; expected names such as frame0012 and cam03.JPG")
    return int(match.group(1))


def _target(target_mm: Float[ndarray, "3"]) -> Float[ndarray, "3"] | None:
    """The target in metres; None if it was not measured (zeros)."""
    return target_mm * METRES_PER_MM if np.isfinite(target_mm).all() else None


def _head(turn_rad: Float[ndarray, "3"], shift_mm: Float[ndarray, "3"]) -> Float[ndarray, "4 4"] | None:
    if not np.isfinite([turn_rad, shift_mm]).all():
        return None
    return _rigid(cv2.Rodrigues(turn_rad)[0], shift_mm)


def _rigid(rotation: Float[ndarray, "3 3"], shift_mm: Float[ndarray, "3"]) -> Float[ndarray, "4 4"]:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, shift_mm * METRES_PER_MM
    return out


def _shifted(intrinsics_px: Float[ndarray, "3 3"]) -> Float[ndarray, "3 3"]:
    """Shifts the principal point from integer pixel centres to ours."""
    out = intrinsics_px.copy()
    out[:2, 2] += PIXEL_CENTER
    return out
