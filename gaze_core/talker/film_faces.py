"""The face of each frame of a film, and one head for all of them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.preprocess.face_mesh import read_average_face
from gaze_core.preprocess.head_pose import HeadModel, Pose, intrinsics_of, smooth_poses
from gaze_core.preprocess.landmarks import Face, FaceLandmarker
from gaze_core.preprocess.person import fit_person
from gaze_core.talker.film import Film

MIN_FRAMES = 50  # two seconds; published talkers need 250 and are good with thousands


_ABOVE, _BELOW, _BESIDE = 0.75, 0.65, 0.9  # of the face's height, around all faces of the film


class TalkerPrepareConfig(Config):
    """How a video or a published folder becomes a talker subject."""

    size_px: PositiveInt = Field(256, ge=32)  # of the square images; a smaller crop is not enlarged
    max_frames: PositiveInt | None = None  # from the beginning
    held_out_share: float = Field(1 / 11, gt=0, lt=0.5)  # of the end of the film
    audio: str = "log_mel"  # features of the sound, or a file of features beside the video (.npy)
    audio_rate_hz: PositiveFloat | None = None  # of such a file's stream
    focal_factor: PositiveFloat = 1.2  # assumed focal length over the image's longer side
    smooth_frames: NonNegativeFloat = 1.0  # sigma of the poses' smoothing over time
    smooth_masks_frames: NonNegativeFloat = 1.0
    max_misfit: PositiveFloat = 0.06  # RMS of the rigid landmarks over the eyes' distance
    num_points: PositiveInt = 6000  # from which a model starts
    seed: NonNegativeInt = 0


@dataclass(eq=False)
class Faces:
    """The first pass: the face of each frame that shows one."""

    found: dict[int, Face] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    num_frames: int = 0
    size_px: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Fit:
    """One head for all frames, and the square that is cut out of each frame."""

    head: HeadModel
    poses: dict[int, Pose]
    corner_px: tuple[int, int]
    side_px: int
    size_px: int
    camera: Float[ndarray, "3 3"]  # of whole frames
    intrinsics: Float[ndarray, "3 3"]  # of the stored squares

    def cut(self, image: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "s s 3"]:
        """The square of a whole frame, at the stored size."""
        (x, y), side = self.corner_px, self.side_px
        square = image[y : y + side, x : x + side]
        if side == self.size_px:
            return np.ascontiguousarray(square)
        return np.asarray(cv2.resize(square, (self.size_px, self.size_px), interpolation=cv2.INTER_AREA))

    def points(self, face: Face) -> Float[ndarray, "478 2"]:
        """Landmarks in the stored square, pixels."""
        return np.asarray((face.points_px[:, :2] - self.corner_px) * (self.size_px / self.side_px), np.float64)


def find_faces(film: Film, count: int, find: FaceLandmarker, advance: Callable[[], None]) -> Faces:
    """The largest face of each of the first `count` frames."""
    faces = Faces(num_frames=count)
    for index, image in film.frames():
        if index >= count:
            break
        if image is None:
            faces.dropped["not_decodable"] += 1
        elif found := find.faces(image):
            faces.found[index], faces.size_px = found[0], image.shape[1::-1]
        else:
            faces.dropped["no_face"] += 1
        advance()
    return faces


def fitted(faces: Faces, config: TalkerPrepareConfig, landmarker: Path) -> Fit:
    """One head for all faces; frames whose pose does not fit it are counted in `faces.dropped`."""
    camera = intrinsics_of(faces.size_px, config.focal_factor)
    index = list(faces.found)
    person = fit_person(list(faces.found.values()), read_average_face(landmarker), camera)
    smooth = smooth_poses(person.poses, index, config.smooth_frames)
    good = [misfit <= config.max_misfit for misfit in person.misfits]
    if bad := good.count(False):
        faces.dropped["pose_not_fit"] += bad
    poses = {k: pose for k, pose, fits in zip(index, smooth, good, strict=True) if fits}
    corner, side = _square(faces)
    size = min(config.size_px, side) // 2 * 2
    intrinsics = camera.copy()
    intrinsics[:2, 2] -= corner
    intrinsics[:2] *= size / side
    return Fit(person.head, poses, corner, side, size, camera, intrinsics)


def _square(faces: Faces) -> tuple[tuple[int, int], int]:
    """The square, (x, y) and side, around all faces with hair and shoulders, as far as the image reaches."""
    points = np.stack([face.points_px[:, :2] for face in faces.found.values()])
    low, high = np.percentile(points.min(axis=1), 2, axis=0), np.percentile(points.max(axis=1), 98, axis=0)
    height = float(np.median(np.ptp(points[..., 1], axis=1)))
    top, bottom = low[1] - _ABOVE * height, high[1] + _BELOW * height
    wide = high[0] - low[0] + 2 * _BESIDE * height
    side = int(min(max(bottom - top, wide), *faces.size_px))
    middle = np.array([(low[0] + high[0]) / 2, (top + bottom) / 2])
    x, y = (int(np.clip(m - side / 2, 0, whole - side)) for m, whole in zip(middle, faces.size_px, strict=True))
    return (x, y), side
