"""Stage: redirects the eyes of a photograph or a video; everything outside the eyes stays as it is."""

from collections import Counter
from pathlib import Path

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gaze_core.artifacts import Produced, only_entry
from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.errors import BadInput, reasons_text
from gaze_core.evaluation.readers import ReaderName
from gaze_core.evaluation.readings import Reading, read_gaze
from gaze_core.one_shot.checkpoints import Redirector, load_redirector
from gaze_core.one_shot.painter import PaintConfig, paint_eyes
from gaze_core.preprocess.eye_paste import frontal_crop
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

NAME, VERSION = "one_shot_apply", 1
RECORD_FILE = "apply.json"


class GazeAt(Config):
    """The wanted gaze from one frame of a video on; degrees, toward the face."""

    frame: int = Field(0, ge=0)
    pitch_deg: float = Field(0.0, ge=-60, le=60)
    yaw_deg: float = Field(0.0, ge=-60, le=60)


class OneShotApplyConfig(Config):
    """Where the eyes are to look, and how they are put back."""

    gazes: tuple[GazeAt, ...] = (GazeAt(),)  # the default is eye contact
    paint: PaintConfig = PaintConfig()
    keep: float = Field(0.35, ge=0, lt=1)  # temporal filter: share of the frame before in what is made
    smooth_frames: NonNegativeFloat = 1.0  # sigma of the head's pose over time
    focal_factor: PositiveFloat = 1.2  # assumed focal length over the picture's longer side
    min_face_px: NonNegativeFloat = 48
    readers: tuple[ReaderName, ...] = ()
    num_read: PositiveInt = 8  # frames of a video that are read

    def gaze_rad(self, frame: int) -> np.ndarray:
        """The wanted gaze of a frame: that of the last row before it."""
        row = [one for one in self.gazes if one.frame <= frame] or list(self.gazes[:1])
        return np.deg2rad([row[-1].pitch_deg, row[-1].yaw_deg])


class ApplyRecord(Config):
    """What was done and read. Angles in degrees, `[pitch, yaw]`, in the frame of the camera turned toward the face."""

    asked_deg: tuple[tuple[float, float], ...]
    frames: int
    changed_frames: int
    left_alone: dict[str, int] = {}  # frames that were not changed, by reason
    readings: dict[str, Reading] = {}


def run(config: OneShotApplyConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Writes `eyes.png` or `eyes.mp4` and `apply.json` for `inputs["recording"]`, by `inputs["checkpoint"]`.

    Raises:
        BadInput: the recording cannot be read, or shows no usable face.
        MissingArtifact: the landmarker is not available.
    """
    recording = Recording(only_entry(inputs["recording"]))
    loaded = load_redirector(inputs["checkpoint"], context.runtime)
    landmarker = resolve("face_landmarker")
    find, average = FaceLandmarker(landmarker), read_average_face(landmarker)
    work = _video if recording.is_video else _photo
    result, record = work(config, recording, loaded, find, average, context)
    (context.work_dir / RECORD_FILE).write_text(record.model_dump_json(indent=1))
    return Produced(
        kind="report",
        files={result.name: result, RECORD_FILE: context.work_dir / RECORD_FILE},
        metrics={f"{name}_way": one.way for name, one in record.readings.items() if one.way is not None},
        dropped=record.left_alone,
    )


def _photo(
    config: OneShotApplyConfig, recording: Recording, loaded: Redirector, find: FaceLandmarker, average: AverageFace,
    context: StageContext,
) -> tuple[Path, ApplyRecord]:  # fmt: skip
    image = read_image(recording.path)
    faces = find_faces(image, find)
    if not faces or extent_px(faces[0]) < config.min_face_px:
        raise BadInput(
            f"{recording.path}: no face of {config.min_face_px:g} px or more was found; give a larger picture of a face"
        )
    intrinsics_px = intrinsics_of(image.shape[1::-1], config.focal_factor)
    person = fit_person(faces[:1], average, intrinsics_px)
    posed = PosedFace(image, faces[0], person.poses[0], person.head, intrinsics_px)
    painted = paint_eyes(loaded, posed, config.gaze_rad(0), config.paint)
    out = write_png(context.work_dir / "eyes.png", painted.image, like=recording.path)
    crops = [frontal_crop(one, posed) for one in (image, painted.image)]
    asked = (config.gazes[0].pitch_deg, config.gazes[0].yaw_deg)
    context.progress(1, 1, float("nan"))
    return out, ApplyRecord(
        asked_deg=(asked,), frames=1, changed_frames=int(bool(painted.share)),
        left_alone={painted.left_alone: 1} if painted.left_alone else {},
        readings=read_gaze(crops[:1], crops[1:], asked, config.readers),
    )  # fmt: skip


def _video(
    config: OneShotApplyConfig, recording: Recording, loaded: Redirector, find: FaceLandmarker, average: AverageFace,
    context: StageContext,
) -> tuple[Path, ApplyRecord]:  # fmt: skip
    left_alone: Counter[str] = Counter()
    faces, shape = _faces(config, recording, find, left_alone, context)
    if not faces:
        raise BadInput(
            f"{recording.path}: no frame shows a usable face ({reasons_text(left_alone)}); use another video"
        )
    intrinsics_px = intrinsics_of(shape[::-1], config.focal_factor)
    person = fit_person(list(faces.values()), average, intrinsics_px)
    poses = dict(zip(faces, smooth_poses(person.poses, list(faces), config.smooth_frames), strict=True))
    chosen = {list(faces)[k] for k in evenly_spaced(len(faces), config.num_read)}
    before, after, changed = [], [], 0
    last: np.ndarray | None = None
    total = 2 * recording.expected_count
    out = context.work_dir / "eyes.mp4"
    with VideoWriter(out, recording.video) as writer:
        for number, (index, image) in enumerate(recording.frames()):
            result: RgbImage = image
            if index in faces:
                posed = PosedFace(image, faces[index], poses[index], person.head, intrinsics_px)
                painted = paint_eyes(loaded, posed, config.gaze_rad(index), config.paint, last, config.keep)
                result, last = painted.image, painted.made
                changed += int(bool(painted.share))
                if painted.left_alone:
                    left_alone[painted.left_alone] += 1
                if index in chosen and config.readers:
                    before.append(frontal_crop(image, posed))
                    after.append(frontal_crop(result, posed))
            else:
                last = None
            writer.write(index, result)
            context.progress(recording.expected_count + number + 1, total, float("nan"))
        if not writer.sound and recording.video.has_sound:
            left_alone["sound: of a kind that MP4 does not hold"] += 1
    asked = tuple((one.pitch_deg, one.yaw_deg) for one in config.gazes)
    return out, ApplyRecord(
        asked_deg=asked, frames=recording.expected_count, changed_frames=changed, left_alone=dict(left_alone),
        readings=read_gaze(before, after, asked[0], config.readers) if before else {},
    )  # fmt: skip


def _faces(
    config: OneShotApplyConfig, recording: Recording, find: FaceLandmarker, left_alone: Counter[str], context: StageContext
) -> tuple[dict[int, Face], tuple[int, int]]:  # fmt: skip
    """The largest face of each frame that shows a usable one, and the frames' (height, width)."""
    faces: dict[int, Face] = {}
    shape, total = (0, 0), 2 * recording.expected_count
    for number, (index, image) in enumerate(recording.frames(left_alone)):
        shape = image.shape[:2]
        found = find.faces(image)
        if found and extent_px(found[0]) >= config.min_face_px:
            faces[index] = found[0]
        else:
            left_alone["no face, or a small one"] += 1
        context.progress(number + 1, total, float("nan"))
    return faces, shape
