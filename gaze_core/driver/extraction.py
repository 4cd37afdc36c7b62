"""A drive's video and eye-tracker table to images, labels and a subject file.

The video is decoded once and leaves JPEG files of the chosen frames; everything after that reads those, one at a time.
"""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.data.blocks import BlockConfig, split_blocks, stretch_of
from gaze_core.data.splits import Splits
from gaze_core.data.subject_writer import SubjectWriter
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.driver.calibration import GazeFrame, Mount, angles, directions, fit_mount
from gaze_core.driver.record import IMAGES, DriveFrame, DriveRecord, image_name
from gaze_core.driver.sensors import GazeTrack, SensorColumns
from gaze_core.driver.signs import SignCheck, check_signs
from gaze_core.driver.tiles import TileLayout
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.errors import BadInput, reasons_text
from gaze_core.geometry.normalization import NormalizationConfig
from gaze_core.preprocess.detections import detect
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.head_pose import Pose, intrinsics_of
from gaze_core.preprocess.images import read_image
from gaze_core.preprocess.labels import label_frame
from gaze_core.preprocess.landmark_gaze import LandmarkGaze
from gaze_core.preprocess.landmarks import FaceLandmarker
from gaze_core.preprocess.person import Person, fit_person
from gaze_core.preprocess.video_config import VideoConfig

ProgressCallback = Callable[[], None]


class ExtractConfig(Config):
    """How a drive becomes labelled frames."""

    num_frames: PositiveInt = 500
    layout: TileLayout = TileLayout()
    columns: SensorColumns = SensorColumns()
    gaze_frame: GazeFrame = "scene"  # of the table's angles
    trust_pixels: bool = True  # flip a sign that disagrees with the pixels of the scene camera
    blocks: BlockConfig = BlockConfig()
    normalization: NormalizationConfig = DRIVER_FACE  # scaled to size_px
    size_px: PositiveInt = 128
    focal_factor: PositiveFloat = 1.2  # assumed focal length over the longer side of the driver's tile
    max_pitch_deg: float = Field(45, gt=0, le=90)  # of the head
    max_yaw_deg: float = Field(75, gt=0, le=90)
    max_misfit: PositiveFloat = 0.08

    @property
    def video(self) -> VideoConfig:
        """Options of the face detection. The largest face is the driver's; passengers' faces are ignored."""
        return VideoConfig(min_second_face=1.0, focal_factor=self.focal_factor)


def label_drive(
    name: str,
    folder: Path,
    decoded: Mapping[int, float],
    track: GazeTrack | None,
    duration_s: float,
    config: ExtractConfig,
    landmarker: Path,
    advance: ProgressCallback,
) -> tuple[DriveRecord, Splits]:
    """Writes the subject file `folder/subject.h5` from the images of the decoded frames (number -> time).

    Without a table the labels are the gaze read from the eyes' landmarks, and all frames are test frames.

    Raises:
        BadInput: no frame shows a usable face, or the frames are too few to split or to calibrate.
    """
    dropped: Counter[str] = Counter()
    found, poses, person, intrinsics_px = _find_faces(name, folder, decoded, config, landmarker, dropped, advance)
    numbers = [sorted(decoded)[position] for position in found]
    times_s = np.array([decoded[number] for number in numbers])
    readings = [
        LandmarkGaze.load().read(face, pose, person.head, intrinsics_px)
        for face, pose in zip(found.values(), poses, strict=True)
    ]
    if track:
        splits = split_blocks(name, times_s.tolist(), duration_s, config.blocks)
    else:  # without labels there is nothing to train on
        splits = Splits(subject=name, train=(), validation=(), test=tuple(range(len(numbers))))
    signs = check_signs(track, config.trust_pixels) if track else None
    frames = drive_frames(numbers, times_s, duration_s, track, signs, config.blocks)
    record = DriveRecord(
        name=name, video_sha256="", labelled=track is not None, gaze_frame=config.gaze_frame, frames=frames, has_road=False,
        focal_factor=config.focal_factor,
        duration_s=duration_s, requested=len(decoded), dropped=dict(dropped), row_faults=track.row_faults if track else {},
        sign_correlations=signs.correlations if signs else (None, None), warnings=signs.warnings if signs else (),
    )  # fmt: skip
    seen = np.stack([reading.gaze_head for reading in readings])
    readable = np.array([reading.valid for reading in readings])
    if track and config.gaze_frame == "scene":
        mount = fit_mount(record.tracker, seen, readable, splits.train)
        record = record.model_copy(update={"mount": mount})
    view = config.normalization.resized(config.size_px)
    optional = () if track else ("gaze_sigma_rad",)  # a tracker's labels are no estimates of the landmarks
    with SubjectWriter(folder / SUBJECT_FILE, config.size_px, optional=optional) as writer:
        for row, (number, (_, face), pose) in enumerate(zip(numbers, found.items(), poses, strict=True)):
            image = read_image(folder / image_name(number, "driver"))
            full_mask = np.full(image.shape[:2], 255, np.uint8)  # the estimator reads the crop with its background
            values = label_frame(image, face, pose, person.head, intrinsics_px, view, full_mask)
            if track:
                values |= tracker_labels(record.tracker[row], values, record.gaze_frame, record.mount)
            writer.append({**values, "frame_index": number})
            advance()
        writer.describe(_attributes(record, config, person))
    return record, splits


def _find_faces(
    name: str, folder: Path, decoded: Mapping[int, float], config: ExtractConfig, landmarker: Path,
    dropped: Counter[str], advance: ProgressCallback,
) -> tuple[dict[int, Any], list[Pose], Person, Float[ndarray, "3 3"]]:  # fmt: skip
    """Faces by position among the decoded frames, with their poses; counts the others."""
    recording = Recording(folder / IMAGES / "driver")
    detections = detect(recording, FaceLandmarker(landmarker), config.video, advance)
    dropped.update(detections.dropped)
    if not detections.faces:
        raise BadInput(
            f"{name}: none of {len(decoded)} frames shows the driver's face ({reasons_text(dropped)}); check the layout: "
            "the driver's tile must hold one whole face"
        )
    intrinsics_px = intrinsics_of(detections.size_px, config.focal_factor)
    person = fit_person(list(detections.faces.values()), read_average_face(landmarker), intrinsics_px)
    limits_deg = np.array([config.max_pitch_deg, config.max_yaw_deg])
    found, poses = {}, []
    for (position, face), pose, misfit in zip(detections.faces.items(), person.poses, person.misfits, strict=True):
        if misfit > config.max_misfit:
            dropped["pose_not_fit"] += 1
        elif (np.abs(pose.facing_deg) > limits_deg).any():
            dropped["pose_out_of_range"] += 1
        else:
            found[position] = face
            poses.append(pose)
    return found, poses, person, intrinsics_px


def drive_frames(
    numbers: list[int],
    times_s: Float[ndarray, " n"],
    duration_s: float,
    track: GazeTrack | None,
    signs: SignCheck | None,
    blocks: BlockConfig,
) -> tuple[DriveFrame, ...]:
    """The rows of the record. If the table names no scenarios, each stretch of time is a scenario."""
    stretches = stretch_of(times_s.tolist(), duration_s, blocks)
    rows = []
    for number, time_s, stretch in zip(numbers, times_s, stretches, strict=True):
        common = {"frame": number, "time_s": float(time_s), "scenario": f"stretch {stretch + 1}"}
        if track is None or signs is None:
            rows.append(DriveFrame(**common))
            continue
        gaze = track.gaze[number]
        rows.append(
            DriveFrame(
                **common | ({"scenario": gaze.scenario} if gaze.scenario else {}),
                azimuth_deg=signs.factors[0] * gaze.azimuth_deg,
                elevation_deg=signs.factors[1] * gaze.elevation_deg,
                azimuth_spread_deg=gaze.azimuth_spread_deg,
                elevation_spread_deg=gaze.elevation_spread_deg,
                num_rows=gaze.num_rows,
                road_px=gaze.road_px,
            )
        )
    return tuple(rows)


def tracker_labels(
    pitchyaw: Float[ndarray, "2"], values: Mapping[str, Any], frame: GazeFrame, mount: Mount | None
) -> dict[str, Any]:
    """The tracker's gaze in all coordinate frames of the schema, replacing the gaze read from the eyes' landmarks."""
    head_to_view = values["world_to_camera"][:3, :3] @ values["head_to_world"][:3, :3]
    if frame == "scene":
        assert mount is not None
        in_head = mount.matrix @ directions(pitchyaw)
    else:
        in_head = values["head_to_world"][:3, :3].T @ directions(pitchyaw)
    gaze_head = angles(in_head)
    return {
        "gaze_head": gaze_head,
        "gaze_head_eyes": np.stack([gaze_head, gaze_head]),
        "gaze_camera": angles(head_to_view @ in_head),
        "valid/gaze": True,
    }


def _attributes(record: DriveRecord, config: ExtractConfig, person: Person) -> dict[str, Any]:
    return {
        "subject": record.name,
        "source": "driver",
        "label_source": "tracker" if record.labelled else "landmarks",
        "normalization": config.normalization.resized(config.size_px).model_dump(mode="json"),
        "provenance": {
            "generator": "gaze_core.driver.extraction.label_drive",
            "config": config.model_dump(mode="json"),
            "head_scale": person.scale,
            "packages": {"ai-edge-litert": importlib.metadata.version("ai-edge-litert")},
        },
        "dropped": record.dropped,
    }
