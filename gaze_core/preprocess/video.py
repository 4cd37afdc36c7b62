"""A portrait video or image folder to a subject file, labelled by landmarks (docs/decisions/0004-video-labels.md).

Two passes over the recording: the first keeps only landmarks, from which person-level quantities (size, eyeballs,
colours) and smoothed poses are estimated; the second crops, masks and writes. A few images are in memory at a time.
"""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.assets import resolve
from gaze_core.data.subject_writer import SubjectWriter
from gaze_core.errors import BadInput, reasons_text
from gaze_core.preprocess.detections import Detections, detect
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.head_pose import HeadModel, Pose, intrinsics_of, smooth_poses
from gaze_core.preprocess.images import RgbImage, hints
from gaze_core.preprocess.labels import label_frame
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.masks import HeadSegmenter, Mask
from gaze_core.preprocess.person import Person, fit_person
from gaze_core.preprocess.silhouettes import steady_masks
from gaze_core.preprocess.video_config import VideoConfig
from gaze_core.sampling import most_varied

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class VideoSummary:
    """Counts of the frames: `dropped` counts those left out, by reason."""

    num_frames_read: int
    num_kept: int
    dropped: dict[str, int] = field(default_factory=dict)


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
        config: settings of the preprocessing.
        landmarker: the MediaPipe face landmarker (`.task`); found by `gaze_core.assets` if None.
        progress: called after each frame of both passes as (done, to do, nan).

    Raises:
        BadInput: the recording is missing, unreadable, or without a usable face.
        MissingArtifact: the landmarker is not available.
    """
    recording = Recording(path, config.every_nth)
    landmarker = landmarker or resolve("face_landmarker")
    advance = _FrameProgress(progress, 2 * recording.expected_count)
    detections = detect(recording, FaceLandmarker(landmarker), config, advance)
    dropped = Counter(detections.dropped)
    num_read = len(detections.faces) + dropped.total()
    if not detections.faces:
        raise _no_face(path, num_read, dropped)
    intrinsics_px = intrinsics_of(detections.size_px, config.focal_factor)
    person = fit_person(list(detections.faces.values()), read_average_face(landmarker), intrinsics_px)
    poses = _good_poses(person, detections, config, recording.is_video, dropped)
    if not poses:
        raise _no_face(path, num_read, dropped)
    if config.max_frames is not None:
        poses = _most_varied(poses, detections, person.head, intrinsics_px, config.max_frames, dropped)
    view = config.normalization.resized(config.size_px)
    # The world's origin is where the head is most of the time, as in a rig: models are conditioned on the pose in the world.
    origin_m = np.median([pose.translation_m for pose in poses.values()], axis=0)
    missing = set(poses)
    with SubjectWriter(out, config.size_px, optional=("gaze_sigma_rad",)) as writer:
        for index, image, head_mask in _masked(recording, poses, detections, config, advance):
            missing.remove(index)
            face = detections.faces[index]
            values = label_frame(image, face, poses[index], person.head, intrinsics_px, view, head_mask, origin_m)
            writer.append({**values, "frame_index": index})
        if missing:
            raise BadInput(
                f"{path}: frame {min(missing)} could be read once but not again; expected a recording that does not change "
                "while it is read; run again when it is complete"
            )
        writer.describe(_attributes(recording, config, person, dropped))
    return VideoSummary(num_read, len(poses), dict(dropped))


class _FrameProgress:
    """Progress over the frames of both passes."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def __call__(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(min(self._done, self._total), self._total, float("nan"))


def _no_face(path: Path, num_read: int, dropped: Counter[str]) -> BadInput:
    advice = "; ".join(hints(dropped)) or "use another recording"
    return BadInput(f"{path}: none of {num_read} frames shows one usable face ({reasons_text(dropped)}); {advice}")


def _good_poses(
    person: Person, detections: Detections, config: VideoConfig, is_video: bool, dropped: Counter[str]
) -> dict[int, Pose]:
    """Smoothed poses by frame index, of frames with a reliable pose; counts the others."""
    index = list(detections.faces)
    poses = smooth_poses(person.poses, index, config.smooth_frames if is_video else 0)
    limits_deg = np.array([config.max_pitch_deg, config.max_yaw_deg])
    good: dict[int, Pose] = {}
    for i, pose, misfit in zip(index, poses, person.misfits, strict=True):
        if misfit > config.max_misfit:
            dropped["pose_not_fit"] += 1
        elif (np.abs(pose.facing_deg) > limits_deg).any():
            dropped["pose_out_of_range"] += 1
        else:
            good[i] = pose
    return good


def _most_varied(
    poses: dict[int, Pose],
    detections: Detections,
    head: HeadModel,
    intrinsics_px: Float[ndarray, "3 3"],
    num_wanted: int,
    dropped: Counter[str],
) -> dict[int, Pose]:
    """The frames that differ most in gaze and head pose, of those with a valid gaze if there are any; counts the others."""
    readings = {
        index: LandmarkGaze.load().read(face, poses[index], head, intrinsics_px)
        for index, face in detections.faces.items()
        if index in poses
    }
    usable = [index for index, reading in readings.items() if reading.valid] or list(readings)
    features = np.array([(*np.rad2deg(readings[index].gaze_head), *poses[index].facing_deg) for index in usable])
    chosen = [usable[k] for k in most_varied(features, num_wanted)]
    if others := len(poses) - len(chosen):
        dropped["over_max_frames"] = others
    return {index: poses[index] for index in chosen}


def _masked(
    recording: Recording,
    poses: dict[int, Pose],
    detections: Detections,
    config: VideoConfig,
    advance: Callable[[], None],
) -> Iterator[tuple[int, RgbImage, Mask]]:
    """The second reading: each frame that has a pose, with its head mask."""
    frames = (
        (index, image, detections.faces[index].points_px[:, :2])
        for index, image in recording.frames(advance=advance)
        if index in poses
    )
    sigma_frames = config.smooth_masks_frames if recording.is_video else 0
    return steady_masks(frames, HeadSegmenter(detections.samples), sigma_frames)


def _attributes(
    recording: Recording, config: VideoConfig, person: Person, dropped: Counter[str]
) -> dict[str, Any]:  # fmt: skip
    return {
        "subject": recording.path.stem,
        "source": "video",
        "label_source": "landmarks",
        "normalization": config.normalization.resized(config.size_px).model_dump(mode="json"),
        "provenance": {
            "generator": "gaze_core.preprocess.video.preprocess_video",
            "config": config.model_dump(mode="json"),
            "recording": recording.path.name,
            "recording_sha256": recording.sha256(),
            "frames_per_s": recording.frames_per_s,
            "head_scale": person.scale,
            "gaze_reader": LandmarkGaze.load().digest,
            "packages": {"ai-edge-litert": importlib.metadata.version("ai-edge-litert")},
        },
        "dropped": dict(dropped),
    }
