"""Stage: turns the eyes of a photograph or a video; everything but the eyes stays as it is."""

from collections import Counter
from pathlib import Path

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gaze_core.artifacts import Produced, only_entry
from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.errors import BadInput, reasons_text
from gaze_core.evaluation.readers import ReaderName
from gaze_core.evaluation.readings import read_gaze
from gaze_core.evaluation.report_renderings import PitchYawDeg
from gaze_core.preprocess.eye_paste import EyeLimits, Pasted, frontal_crop, paste_eyes
from gaze_core.preprocess.face_mesh import AverageFace, read_average_face
from gaze_core.preprocess.face_search import extent_px, find_faces
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.head_pose import intrinsics_of, smooth_poses
from gaze_core.preprocess.images import RgbImage, read_image, write_png
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.person import fit_person
from gaze_core.preprocess.posed_face import PosedFace
from gaze_core.preprocess.video_writer import VideoWriter
from gaze_core.sampling import evenly_spaced
from gaze_core.stages.context import Inputs, StageContext
from gaze_core.stages.redirection.look_record import RECORD_FILE, LookRecord

NAME, VERSION = "look_paste", 1
_FRAME = "the picture's camera, turned toward the face: 0,0 looks into the lens, pitch > 0 up, yaw > 0 to image left"


class LookPasteConfig(Config):
    """Where the eyes are to look: `[pitch, yaw]` in degrees, frame of `preprocess/eye_paste.py`."""

    gaze_deg: tuple[float, float]
    limits: EyeLimits = EyeLimits()
    focal_factor: PositiveFloat = 1.2  # assumed focal length over the picture's longer side
    min_face_px: NonNegativeFloat = 48
    max_head_yaw_deg: float = Field(40, gt=0, le=90)  # beyond it one eye is hidden
    smooth_frames: NonNegativeFloat = 1.0  # sigma of the head's pose over time; videos only
    readers: tuple[ReaderName, ...] = ()
    num_read: PositiveInt = 8  # frames of a video that are read


def run(config: LookPasteConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Writes the picture or video of `inputs["recording"]` with turned eyes, `look.png` or `look.mp4`, and `look.json`.

    Raises:
        BadInput: the recording cannot be read, or shows no usable face.
        MissingArtifact: the landmarker is not available.
    """
    path = only_entry(inputs["recording"])
    recording = Recording(path)
    landmarker = resolve("face_landmarker")
    find, average = FaceLandmarker(landmarker), read_average_face(landmarker)
    work = _video if recording.is_video else _photo
    result, record = work(config, recording, find, average, context)
    (context.work_dir / RECORD_FILE).write_text(record.model_dump_json(indent=1))
    return Produced(
        kind="report",
        files={result.name: result, RECORD_FILE: context.work_dir / RECORD_FILE},
        metrics={f"{name}_way": one.way for name, one in record.readings.items() if one.way is not None},
        dropped=record.left_alone,
    )


def _photo(
    config: LookPasteConfig, recording: Recording, find: FaceLandmarker, average: AverageFace, context: StageContext
) -> tuple[Path, LookRecord]:
    path = recording.path
    image = read_image(path)
    faces = find_faces(image, find)
    if fault := _fault(faces, config):
        raise BadInput(f"{path}: {fault}")
    intrinsics_px = intrinsics_of(image.shape[1::-1], config.focal_factor)
    person = fit_person(faces[:1], average, intrinsics_px)
    posed = PosedFace(image, faces[0], person.poses[0], person.head, intrinsics_px)
    if abs(posed.pose.facing_deg[1]) > config.max_head_yaw_deg:
        raise BadInput(
            f"{path}: the head is turned by {abs(posed.pose.facing_deg[1]):.0f} degrees, expected up to "
            f"{config.max_head_yaw_deg:g}, or one eye is hidden; give a picture that shows both eyes"
        )
    pasted = paste_eyes(posed, np.deg2rad(config.gaze_deg), config.limits)
    out = write_png(context.work_dir / "look.png", pasted.image, like=path)
    record = LookRecord(
        frame=_FRAME,
        asked_deg=config.gaze_deg,
        drawn_deg=_degrees(pasted),
        focal_length_px=float(intrinsics_px[0, 0]),
        faces=len(faces),
        left_alone=dict(_reasons(pasted)),
        readings=read_gaze(
            [frontal_crop(image, posed)], [frontal_crop(pasted.image, posed)], config.gaze_deg, config.readers
        ),
    )
    context.progress(1, 1, float("nan"))
    return out, record


def _video(
    config: LookPasteConfig, recording: Recording, find: FaceLandmarker, average: AverageFace, context: StageContext
) -> tuple[Path, LookRecord]:
    total, done = 2 * recording.expected_count, 0
    faces: dict[int, Face] = {}
    left_alone: Counter[str] = Counter()
    most_faces, shape = 0, (0, 0)
    for index, image in recording.frames(left_alone):
        shape = image.shape[:2]
        found = find.faces(image)
        most_faces = max(most_faces, len(found))
        if _fault(found, config):
            left_alone["frames: no face, or a small one"] += 1
        else:
            faces[index] = found[0]
        context.progress(done := done + 1, total, float("nan"))
    if not faces:
        raise BadInput(
            f"{recording.path}: no frame shows a usable face ({reasons_text(left_alone)}); use another video"
        )
    intrinsics_px = intrinsics_of(shape[::-1], config.focal_factor)
    person = fit_person(list(faces.values()), average, intrinsics_px)
    poses = dict(zip(faces, smooth_poses(person.poses, list(faces), config.smooth_frames), strict=True))
    chosen = {list(faces)[k] for k in evenly_spaced(len(faces), config.num_read)}
    before, after, drawn = [], [], config.gaze_deg
    out = context.work_dir / "look.mp4"
    with VideoWriter(out, recording.video) as writer:
        for index, image in recording.frames():
            result: RgbImage = image
            if index in faces:
                posed = PosedFace(image, faces[index], poses[index], person.head, intrinsics_px)
                if abs(posed.pose.facing_deg[1]) > config.max_head_yaw_deg:
                    left_alone["frames: head turned away"] += 1
                else:
                    pasted = paste_eyes(posed, np.deg2rad(config.gaze_deg), config.limits, fade_blinks=True)
                    result, drawn = pasted.image, _degrees(pasted)
                    left_alone.update(_reasons(pasted))
                    if index in chosen and config.readers:
                        before.append(frontal_crop(image, posed))
                        after.append(frontal_crop(result, posed))
            writer.write(index, result)
            context.progress(done := done + 1, total, float("nan"))
        if not writer.sound and recording.video.has_sound:
            left_alone["sound: of a kind that MP4 does not hold"] += 1
    readings = read_gaze(before, after, config.gaze_deg, config.readers) if before else {}
    return out, LookRecord(
        frame=_FRAME, asked_deg=config.gaze_deg, drawn_deg=drawn, focal_length_px=float(intrinsics_px[0, 0]), faces=most_faces,
        frames=recording.expected_count, left_alone=dict(left_alone), readings=readings,
    )  # fmt: skip


def _fault(faces: list[Face], config: LookPasteConfig) -> str:
    """What is wrong with the faces of a picture; empty if the largest can be used."""
    if not faces:
        return (
            "no face was found, expected one that is not turned away; cut the picture so that the face fills more of it"
        )
    if (size := extent_px(faces[0])) < config.min_face_px:
        return f"the face is {size:.0f} px high, expected {config.min_face_px:g} or more; use a larger picture"
    return ""


def _reasons(pasted: Pasted) -> Counter[str]:
    return Counter(f"{name} eye: {reason}" for name, reason in pasted.left_alone.items())


def _degrees(pasted: Pasted) -> PitchYawDeg:
    pitch, yaw = np.rad2deg(pasted.drawn).tolist()
    return round(pitch, 2), round(yaw, 2)
