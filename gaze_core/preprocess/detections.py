"""The first pass over a recording: the face detected in each image, or the reason why there is none."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from gaze_core.preprocess.appearance import Appearance, AppearanceReader, covered_mouths, other_people
from gaze_core.preprocess.face_search import extent_px, find_faces
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.masks import SegmentationSample, downscaled
from gaze_core.preprocess.video_config import VideoConfig

_NUM_SAMPLES = 12
_MIN_INSIDE = 0.95  # of the landmarks
_MAX_STEP_S = 0.25  # over a second a face can change so much that it looks like another person's


@dataclass(frozen=True, eq=False)
class Detections:
    """Usable faces in the order of the recording, and image data that the second pass needs."""

    faces: dict[int, Face]  # by frame index
    dropped: Counter[str]
    size_px: tuple[int, int]  # (width, height)
    samples: list[SegmentationSample]  # a few downscaled images, from which colour models are fitted


def detect(
    recording: Recording, landmarker: FaceLandmarker, config: VideoConfig, advance: Callable[[], None]
) -> Detections:
    """Reads the recording once and keeps only numbers, and the segmentation samples."""
    faces: dict[int, Face] = {}
    sharpness: dict[int, float] = {}
    appearances: dict[int, Appearance] = {}
    appearance = AppearanceReader(landmarker.average)
    dropped: Counter[str] = Counter()
    samples: dict[int, SegmentationSample] = {}
    size_px = (0, 0)
    is_dense = recording.step_s is not None and recording.step_s <= _MAX_STEP_S
    stride = max(1, recording.expected_count // _NUM_SAMPLES)
    is_photo = not recording.is_video and recording.expected_count == 1
    for index, image in recording.frames(dropped, advance):
        size_px = (image.shape[1], image.shape[0])
        found = find_faces(image, landmarker) if is_photo else landmarker.faces(image)
        fault = _fault(found, size_px, config)
        if fault:
            dropped[fault] += 1
        else:
            faces[index], sharpness[index] = found[0], _sharpness(image, found[0])
            if recording.is_video:  # images of a folder may differ in light and camera
                appearances[index] = appearance(image, found[0].points_px[:, :2])
            if len(faces) % stride == 1 % stride and len(samples) < 2 * _NUM_SAMPLES:
                samples[index] = downscaled(image, found[0].points_px[:, :2])
    for reason, unlike in (
        ("blurred", lambda: _blurred(sharpness, config.min_sharpness)),
        ("mouth_covered", lambda: covered_mouths(appearances, config.min_lip_redness)),
        ("other_person", lambda: other_people(appearances) if is_dense else set()),
    ):
        for index in unlike():
            dropped[reason] += 1
            del faces[index]
            appearances.pop(index, None)
    usable = [sample for index, sample in samples.items() if index in faces]
    return Detections(faces, dropped, size_px, usable or list(samples.values()))


def _fault(faces: list[Face], size_px: tuple[int, int], config: VideoConfig) -> str:
    """The reason why the image does not show exactly one complete face; empty if it does."""
    if not faces:
        return "no_face"
    if len(faces) > 1 and extent_px(faces[1]) > config.min_second_face * extent_px(faces[0]):
        return "several_faces"
    if extent_px(faces[0]) < config.min_face_px:
        return "face_too_small"
    points = faces[0].points_px[:, :2]
    # Landmarks outside the image are guesses.
    inside = ((points >= 0) & (points <= size_px)).all(axis=1).mean()
    return "" if inside > _MIN_INSIDE else "out_of_picture"


def _sharpness(image: UInt8[ndarray, "h w 3"], face: Face) -> float:
    """Variance of the face's Laplacian over that of its grey values, at one size for all faces."""
    points = face.points_px[:, :2]
    left, top = points.min(axis=0).clip(0).astype(int)
    right, bottom = points.max(axis=0).astype(int)
    gray = cv2.cvtColor(image[top : bottom + 1, left : right + 1], cv2.COLOR_RGB2GRAY)
    gray = cv2.resize(gray, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(cv2.Laplacian(gray, cv2.CV_32F).var() / max(float(gray.var()), 1.0))


def _blurred(sharpness: dict[int, float], min_sharpness: float) -> set[int]:
    """Frames that are much more blurred than the median frame."""
    if not sharpness:
        return set()
    limit = min_sharpness * float(np.median(list(sharpness.values())))
    return {index for index, value in sharpness.items() if value < limit}
