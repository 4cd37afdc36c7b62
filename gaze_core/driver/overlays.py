"""Overlays: gaze arrows on images of the driver, gaze points on images of the road. RGB arrays in, RGB arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.driver.calibration import angles, directions
from gaze_core.driver.predictions import Drive
from gaze_core.preprocess.images import RgbImage, read_image

Color = tuple[int, int, int]
TRUE, PREDICTED, BEFORE = (60, 200, 90), (240, 110, 40), (150, 158, 170)  # colours (RGB) of the gazes
_LENGTH = 0.9  # of an arrow seen from the side, in face widths
_FACE_M = 0.14


@dataclass(frozen=True, eq=False)
class Gaze:
    """Predicted and true gaze (the tracker's) of all frames, as directions in the face camera's frame."""

    predicted: Float[ndarray, "n 3"]
    true: Float[ndarray, "n 3"] | None
    predicted_deg: Float[
        ndarray, "n 2"
    ]  # [elevation, azimuth]: tracker's frame, or the crop's where nothing is labelled
    true_deg: Float[ndarray, "n 2"] | None

    def arrows(self, position: int) -> list[tuple[Float[ndarray, "3"], Color]]:
        """The true gaze, if it is known, and the predicted one."""
        true = [] if self.true is None else [(self.true[position], TRUE)]
        return [*true, (self.predicted[position], PREDICTED)]


def gaze_of_drive(drive: Drive, gaze_view: Float[ndarray, "n 2"]) -> Gaze:
    """An estimator's predictions for the crops of a drive, with the labels, as directions in the face camera's frame."""
    all_items = range(len(drive.record.frames))
    predicted = _in_camera(drive, gaze_view)
    if not drive.record.labelled:
        return Gaze(predicted, None, np.rad2deg(gaze_view), None)
    labels = np.asarray(drive.dataset.labels["gaze_camera"], dtype=np.float64)
    in_label_frame = np.rad2deg(drive.in_label_frame(gaze_view, all_items))
    return Gaze(predicted, _in_camera(drive, labels), in_label_frame, np.rad2deg(drive.record.tracker))


def _in_camera(drive: Drive, gaze_view: Float[ndarray, "n 2"]) -> Float[ndarray, "n 3"]:
    return np.asarray((drive.camera_to_view.transpose(0, 2, 1) @ directions(gaze_view)[..., None])[..., 0])


def label_in_camera(drive: Drive, angles_rad: Float[ndarray, "n 2"], items: Sequence[int]) -> Float[ndarray, "n 3"]:
    """`[elevation, azimuth]` in the tracker's frame as directions in the face camera's."""
    chosen = list(items)
    turn = drive.camera_to_view[chosen].transpose(0, 2, 1) @ drive.label_to_view[chosen]
    return np.asarray((turn @ directions(angles_rad)[..., None])[..., 0])


def driver_view(drive: Drive, position: int, arrows: Sequence[tuple[Float[ndarray, "3"], Color]]) -> RgbImage:
    """The driver with an arrow from between the eyes for each direction in the face camera's frame, in its colour."""
    image = read_image(drive.record.image(drive.folder, position, "driver"))
    image, _ = _enlarged(image)
    pose = drive.head_to_camera[position]
    focal_px = drive.record.focal_factor * max(image.shape[:2])
    center = np.array([image.shape[1], image.shape[0]]) / 2
    start = center + focal_px * pose[:2, 3] / pose[2, 3]
    length_px = _LENGTH * focal_px * _FACE_M / pose[2, 3]
    for direction, color in arrows:
        _arrow(image, start, start + length_px * direction[:2], color)
    return image


def road_view(drive: Drive, gaze: Gaze, position: int, to_road: Float[ndarray, "3 2"] | None) -> RgbImage | None:
    """The road with a ring at each gaze point; None if there is no road image."""
    if not drive.record.has_road:
        return None
    image, scale = _enlarged(read_image(drive.record.image(drive.folder, position, "road")))
    true = drive.record.frames[position].road_px
    marks = [(None if true is None else np.array(true), TRUE)]
    if to_road is not None:
        marks.append((_features(gaze.predicted[position : position + 1])[0] @ to_road, PREDICTED))
    for point, color in marks:
        if point is not None:
            _ring(image, point * scale, color)
    return image


def fit_road(drive: Drive, gaze: Gaze) -> Float[ndarray, "3 2"] | None:
    """Map from a gaze in the face camera's frame to a point of the road tile: linear in the angles, fitted on training blocks.

    Returns None if fewer than 20 training frames have a point on the road.
    """
    known = [n for n in drive.splits.train if drive.record.frames[n].road_px is not None]
    if gaze.true is None or len(known) < 20:
        return None
    points = np.array([drive.record.frames[n].road_px for n in known])
    return np.asarray(np.linalg.lstsq(_features(gaze.true[known]), points, rcond=None)[0])


def _features(direction: Float[ndarray, "n 3"]) -> Float[ndarray, "n 3"]:
    pitchyaw = angles(direction)
    return np.column_stack([pitchyaw, np.ones(len(pitchyaw))])


def _enlarged(image: RgbImage) -> tuple[RgbImage, float]:
    """A small image enlarged two or three times, so that arrows are thin compared with the face, and the factor."""
    scale = max(1, 480 // image.shape[0])
    if scale == 1:
        return image, 1.0
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)), float(scale)


def _arrow(image: RgbImage, start: ndarray, end: ndarray, color: tuple[int, int, int]) -> None:
    ends = [tuple(int(round(value * 16)) for value in point) for point in (start, end)]
    thickness = max(2, round(image.shape[0] / 160))
    for width, paint in ((thickness + 2, (20, 20, 20)), (thickness, color)):
        cv2.line(image, ends[0], ends[1], paint, width, cv2.LINE_AA, 4)
        cv2.circle(image, ends[1], 16 * (thickness + width // 2), paint, -1, cv2.LINE_AA, 4)


def _ring(image: RgbImage, center: ndarray, color: tuple[int, int, int]) -> None:
    """A ring around the point, moved to the border if the point lies outside the image."""
    radius = max(6, round(image.shape[0] / 28))
    x, y = np.clip(center, radius, np.array([image.shape[1], image.shape[0]]) - radius)
    place = (int(round(x)), int(round(y)))
    cv2.circle(image, place, radius, (20, 20, 20), 5, cv2.LINE_AA)
    cv2.circle(image, place, radius, color, 3, cv2.LINE_AA)
