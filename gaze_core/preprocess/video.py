"""A portrait video or image folder to a subject file, labelled by landmarks (docs/decisions/0004).

Two readings of the recording: the first keeps only landmarks and decides per person (size, eyeballs) and over time
(smooth poses); the second crops, masks and writes. One picture is in memory at a time.
"""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.geometry.normalization import NORMALIZATIONS, NormalizationConfig
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.head_pose import Pose, intrinsics_of, smooth_poses
from gaze_core.preprocess.labels import label_frame
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.person import Person, fit_person
from gaze_core.preprocess.subject_writer import SubjectWriter

Progress = Callable[[int, int, float], None]


class VideoConfig(Config):
    """How a recording becomes labelled crops."""

    size_px: PositiveInt = 128
    every_nth: PositiveInt = 1
    max_frames: PositiveInt | None = None
    focal_factor: PositiveFloat = 1.2  # assumed focal length over the picture's longer side
    normalization: NormalizationConfig = NORMALIZATIONS["portrait_128"]
    smooth_frames: NonNegativeFloat = 1.0  # sigma of the poses' smoothing over time; videos only
    max_pitch_deg: float = Field(40, gt=0, le=90)
    max_yaw_deg: float = Field(50, gt=0, le=90)
    max_misfit: PositiveFloat = 0.06  # RMS of the rigid landmarks over the eyes' distance
    min_sharpness: NonNegativeFloat = 0.25  # of the recording's median; below it a frame is blurred
    second_face: float = Field(0.4, gt=0, le=1)  # size relative to the first from which a second face counts


@dataclass(frozen=True)
class VideoSummary:
    """What became of the frames."""

    num_frames_read: int
    num_kept: int
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Sighting:
    """What the first reading keeps of one frame."""

    frame_index: int
    face: Face
    sharpness: float


def preprocess_video(
    path: Path,
    out: Path,
    config: VideoConfig,
    landmarker: Path | None = None,
    progress: Progress | None = None,
) -> VideoSummary:
    """Writes the subject file of one person's recording.

    Args:
        path: a video file, or a folder of images of one size.
        out: the HDF5 file to write; it appears only when complete.
        config: how.
        landmarker: the MediaPipe face landmarker (`.task`); found by `gaze_core.assets` if None.
        progress: called after each frame as (done, to do, nan).

    Raises:
        BadInput: the recording is missing, unreadable, or without a usable face.
        MissingArtifact: the landmarker is not at hand.
    """
    recording = Recording(path, config.every_nth, config.max_frames)
    landmarker = resolve("face_landmarker", landmarker)
    tick = _Ticker(progress, 2 * recording.expected_count)
    sightings, dropped, size_px = _look(recording, FaceLandmarker(landmarker), config, tick)
    num_read = len(sightings) + dropped.total()
    sightings = _sharp(sightings, config.min_sharpness, dropped)
    intrinsics_px = intrinsics_of(size_px, config.focal_factor)
    if sightings:
        faces = [sighting.face for sighting in sightings]
        person = fit_person(faces, read_average_face(landmarker), intrinsics_px)
        poses = _good_poses(person, sightings, config, recording.is_video, dropped)
    if not sightings or not poses:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(dropped.items()))
        raise BadInput(f"{path}: none of {num_read} frames shows one usable face ({reasons}); use another recording")
    view = config.normalization.resized(config.size_px)
    faces_by_frame = {sighting.frame_index: sighting.face for sighting in sightings}
    with SubjectWriter(out, config.size_px) as writer:
        for index, image in recording.frames():
            if index in poses:
                values = label_frame(image, faces_by_frame[index], poses[index], person.head, intrinsics_px, view)
                writer.append({**values, "frame_index": index})
            tick()
        writer.describe(_attributes(path, config, view, person, dropped))
    return VideoSummary(num_read, len(poses), dict(dropped))


class _Ticker:
    """Counts frames over both readings."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def __call__(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(min(self._done, self._total), self._total, float("nan"))


def _look(
    recording: Recording, landmarker: FaceLandmarker, config: VideoConfig, tick: Callable[[], None]
) -> tuple[list[_Sighting], "Counter[str]", tuple[int, int]]:
    """The first reading: the one face of each picture; also the pictures' (width, height)."""
    sightings: list[_Sighting] = []
    dropped: Counter[str] = Counter()
    size_px = (0, 0)
    for index, image in recording.frames():
        size_px = (image.shape[1], image.shape[0])
        faces = landmarker.faces(image)
        if not faces:
            dropped["no_face"] += 1
        elif len(faces) > 1 and _extent_px(faces[1]) > config.second_face * _extent_px(faces[0]):
            dropped["several_faces"] += 1
        elif not _inside(faces[0], size_px):
            dropped["out_of_picture"] += 1
        else:
            sightings.append(_Sighting(index, faces[0], _sharpness(image, faces[0])))
        tick()
    return sightings, dropped, size_px


def _extent_px(face: Face) -> float:
    return float(np.ptp(face.points_px[:, :2], axis=0).max())


def _inside(face: Face, size_px: tuple[int, int]) -> bool:
    """Whether the picture shows (nearly) all of the face; what lies outside was guessed."""
    points = face.points_px[:, :2]
    return bool(((points >= 0) & (points <= size_px)).all(axis=1).mean() > 0.95)


def _sharpness(image: UInt8[ndarray, "h w 3"], face: Face) -> float:
    """Variance of the Laplacian over the face, shrunk or grown to one size and free of its contrast."""
    (left, top), (right, bottom) = (
        np.clip(edge(face.points_px[:, :2], axis=0).round().astype(int), 0, None) for edge in (np.min, np.max)
    )
    gray = cv2.cvtColor(image[top : bottom + 1, left : right + 1], cv2.COLOR_RGB2GRAY)
    gray = cv2.resize(gray, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(cv2.Laplacian(gray, cv2.CV_32F).var() / max(float(gray.var()), 1.0))


def _sharp(sightings: list[_Sighting], fraction: float, dropped: "Counter[str]") -> list[_Sighting]:
    """Those that are not much more blurred than the recording usually is."""
    if not sightings:
        return []
    limit = fraction * float(np.median([sighting.sharpness for sighting in sightings]))
    kept = [sighting for sighting in sightings if sighting.sharpness >= limit]
    _count(dropped, "blurred", len(sightings) - len(kept))
    return kept


def _good_poses(
    person: Person, sightings: Sequence[_Sighting], config: VideoConfig, is_video: bool, dropped: "Counter[str]"
) -> dict[int, Pose]:
    """Smoothed poses by frame index, of the frames whose pose can be trusted."""
    index = [sighting.frame_index for sighting in sightings]
    poses = smooth_poses(person.poses, index, config.smooth_frames if is_video else 0)
    fits = {
        i: pose for i, pose, misfit in zip(index, poses, person.misfits, strict=True) if misfit <= config.max_misfit
    }
    limits = np.array([config.max_pitch_deg, config.max_yaw_deg])
    good = {i: pose for i, pose in fits.items() if (np.abs(pose.facing_deg) <= limits).all()}
    _count(dropped, "pose_not_fit", len(poses) - len(fits))
    _count(dropped, "pose_out_of_range", len(fits) - len(good))
    return good


def _count(dropped: "Counter[str]", reason: str, number: int) -> None:
    if number:
        dropped[reason] += number


def _attributes(
    path: Path, config: VideoConfig, view: NormalizationConfig, person: Person, dropped: "Counter[str]"
) -> dict[str, Any]:
    return {
        "subject": path.stem,
        "source": "video",
        "label_source": "iris",
        "normalization": view.model_dump(mode="json"),
        "provenance": {
            "generator": "gaze_core.preprocess.video.preprocess_video",
            "config": config.model_dump(mode="json"),
            "recording": path.name,
            "head_scale": person.scale,
            "packages": {name: importlib.metadata.version(name) for name in ("ai-edge-litert",)},
        },
        "dropped": dict(dropped),
    }
