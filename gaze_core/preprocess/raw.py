"""Photographs with calibrated cameras and known gaze targets to subject files: the raw releases of gaze data sets.

Each photograph is undistorted, its landmarks found, the head's pose solved with the person's face model, and the crop
taken as any named normalisation does (`geometry/normalization.py`). The world is the frame of each photograph's camera.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, PositiveFloat, PositiveInt

from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.data.adapters.raw import RawFrame
from gaze_core.data.subject_writer import SubjectWriter
from gaze_core.errors import BadInput, reasons_text
from gaze_core.geometry.normalization import NORMALIZATIONS, NormalizationConfig, face_center_m
from gaze_core.preprocess.face_mesh import IBUG_68, read_average_face
from gaze_core.preprocess.head_pose import Pose, estimate_pose
from gaze_core.preprocess.images import RgbImage, read_image
from gaze_core.preprocess.iris_gaze import angles_of, camera_gaze
from gaze_core.preprocess.labels import label_frame
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.masks import HeadSegmenter, downscaled
from gaze_core.preprocess.person import Person, fit_person
from gaze_core.sampling import evenly_spaced

VERSION = 2
# Of a photograph without a known target: gaze predicted from the irises is not a target label.
_NO_GAZE = {
    "gaze_head_eyes": np.zeros((2, 2)), "gaze_head": np.zeros(2), "gaze_camera": np.zeros(2), "valid/gaze": False,
}  # fmt: skip


class RawConfig(Config):
    """How photographs become labelled crops."""

    normalization: NormalizationConfig = NORMALIZATIONS["portrait_128"]
    size_px: PositiveInt | None = None  # width of the crop, if not the normalisation's
    undistort: bool = True
    gaze_origin: Literal["eyes", "face_center"] = (
        "eyes"  # of the mean gaze; published labels originate at the face centre
    )
    num_person_frames: PositiveInt = 60  # from which the person's face is measured
    max_misfit: PositiveFloat = 0.08  # RMS of the rigid landmarks over the eyes' distance
    max_yaw_deg: float = Field(80, gt=0, le=90)

    @property
    def view(self) -> NormalizationConfig:
        """The virtual camera at the size of the crop."""
        return self.normalization if self.size_px is None else self.normalization.resized(self.size_px)


@dataclass(frozen=True)
class RawSummary:
    """Counts of a subject's photographs: `dropped` counts those left out, by reason."""

    num_read: int
    num_kept: int
    dropped: dict[str, int] = field(default_factory=dict)


class _Unusable(Exception):
    """This photograph is unusable; the text is the reason to count."""


def preprocess_raw(
    frames: Sequence[RawFrame],
    out: Path,
    config: RawConfig,
    source: str,
    landmarker: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> RawSummary:
    """Writes the subject file of one person's photographs; unusable photographs are left out and counted.

    Args:
        frames: records of the photographs, all of one subject; the images are read one at a time.
        out: the HDF5 file to write; it appears only when complete.
        config: settings of the preprocessing.
        source: name of the data set.
        landmarker: the MediaPipe face landmarker (`.task`); found by `gaze_core.assets` if None.
        progress: called after each photograph as (done, to do, nan).

    Raises:
        BadInput: no photograph shows a usable face.
        MissingArtifact: the landmarker is not available.
    """
    landmarker = landmarker or resolve("face_landmarker")
    find = FaceLandmarker(landmarker)
    dropped: Counter[str] = Counter()
    person = _measure_person(frames, find, landmarker, config)
    kept = 0
    with SubjectWriter(out, config.view.size_px) as writer:
        for done, frame in enumerate(frames, start=1):
            try:
                writer.append(_label(frame, find, person, config))
                kept += 1
            except _Unusable as reason:
                dropped[str(reason)] += 1
            if progress:
                progress(done, len(frames), float("nan"))
        if not kept:
            raise _no_face(frames, dropped)
        writer.describe(_attributes(frames[0].subject, source, config, person, dropped))
    return RawSummary(len(frames), kept, dict(dropped))


def _measure_person(frames: Sequence[RawFrame], find: FaceLandmarker, landmarker: Path, config: RawConfig) -> Person:
    """Size and shape of the person's head from evenly spaced photographs."""
    faces, cameras, reasons = [], [], Counter[str]()
    for index in evenly_spaced(len(frames), config.num_person_frames):
        try:
            faces.append(_face(_image(frames[index], config), find))
            cameras.append(frames[index].intrinsics_px)
        except _Unusable as reason:
            reasons[str(reason)] += 1
    if not faces:
        raise _no_face(frames, reasons)
    return fit_person(faces, read_average_face(landmarker), np.stack(cameras))


def _no_face(frames: Sequence[RawFrame], reasons: Counter[str]) -> BadInput:
    where = frames[0].image_path.parent if frames else "the list of photographs"
    return BadInput(
        f"{where}: no photograph of {len(frames)} shows one usable face ({reasons_text(reasons)}); check the folder"
    )


def _image(frame: RawFrame, config: RawConfig) -> RgbImage:
    """The photograph as RGB, upright, as a pinhole camera would have taken it."""
    if not frame.image_path.exists():
        raise _Unusable("missing_image")
    try:
        image = read_image(frame.image_path)
    except BadInput as error:
        raise _Unusable("unreadable_image") from error
    if frame.rotated_180:
        image = cv2.rotate(image, cv2.ROTATE_180)
    if config.undistort and np.any(frame.distortion):
        image = cv2.undistort(image, _opencv_intrinsics(frame.intrinsics_px), frame.distortion)
    return np.asarray(image)


def _opencv_intrinsics(intrinsics_px: Float[ndarray, "3 3"]) -> Float[ndarray, "3 3"]:
    """The intrinsics in OpenCV's convention, where the centre of the first pixel is 0, not 0.5."""
    out = intrinsics_px.copy()
    out[:2, 2] -= 0.5
    return out


def _face(image: RgbImage, find: FaceLandmarker) -> Face:
    faces = find.faces(image)
    if not faces:
        raise _Unusable("no_face")
    return faces[0]


def _label(frame: RawFrame, find: FaceLandmarker, person: Person, config: RawConfig) -> dict[str, Any]:
    """All fields of one photograph."""
    image = _image(frame, config)
    face = _face(image, find)
    pose, misfit = estimate_pose(face.points_px, person.head, frame.intrinsics_px)
    if misfit > config.max_misfit:
        raise _Unusable("pose_not_fit")
    if abs(pose.facing_deg[1]) > config.max_yaw_deg:
        raise _Unusable("pose_out_of_range")
    mesh_px = face.points_px[:, :2]
    head_mask = HeadSegmenter([downscaled(image, mesh_px)])(image, mesh_px)
    values = label_frame(image, face, pose, person.head, frame.intrinsics_px, config.view, head_mask)
    if not values["head_mask"].any():
        raise _Unusable("empty_head_mask")
    if frame.gaze_target_camera_m is None:
        values |= _NO_GAZE
    else:
        values |= _target_gaze(frame.gaze_target_camera_m, pose, person, values["world_to_camera"][:3, :3], config)
    return {**values, "frame_index": frame.frame_index, "camera_index": frame.camera_index}


def _target_gaze(
    target_m: Float[ndarray, "3"], pose: Pose, person: Person, rotation: Float[ndarray, "3 3"], config: RawConfig
) -> dict[str, Any]:
    """Gaze labels from a known target in the real camera's frame; `rotation` turns that into the virtual camera's."""
    target_head_m = pose.to_head(np.asarray(target_m, dtype=np.float64))
    eyes = angles_of(target_head_m - person.head.eye_centers_m)
    mean = eyes.mean(axis=0)
    if config.gaze_origin == "face_center":
        center = face_center_m(person.head.points_m[list(IBUG_68)], config.view.face_center)
        mean = angles_of((target_head_m - center)[None])[0]
    gaze_camera = camera_gaze(mean, rotation @ pose.rotation)
    return {"gaze_head_eyes": eyes, "gaze_head": mean, "gaze_camera": gaze_camera, "valid/gaze": True}


def _attributes(
    subject: str, source: str, config: RawConfig, person: Person, dropped: Counter[str]
) -> dict[str, Any]:  # fmt: skip
    return {
        "subject": subject,
        "source": source,
        "label_source": "target",
        "normalization": config.view.model_dump(mode="json"),
        "provenance": {
            "generator": "gaze_core.preprocess.raw.preprocess_raw",
            "generator_version": VERSION,
            "config": config.model_dump(mode="json"),
            "head_scale": person.scale,
        },
        "dropped": dict(dropped),
    }
