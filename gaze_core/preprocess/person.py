"""The head model of the person in a recording, and the head pose in each frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.preprocess.face_mesh import AverageFace
from gaze_core.preprocess.head_pose import (
    HeadModel,
    Pose,
    average_head,
    estimate_pose,
    head_with_eyes,
    iris_scale,
    lift,
    subject_scale,
)
from gaze_core.preprocess.iris_gaze import eyes_open
from gaze_core.preprocess.landmarks import Face
from gaze_core.sampling import evenly_spaced


@dataclass(frozen=True, eq=False)
class Person:
    """The head model of the recorded person and its pose in each frame."""

    head: HeadModel
    scale: float  # of the average face
    poses: list[Pose]
    misfits: list[float]  # RMS of the rigid landmarks over the eyes' distance


def fit_person(faces: Sequence[Face], average: AverageFace, intrinsics_px: Float[ndarray, "*n 3 3"]) -> Person:
    """Scale from the irises, shape and eyeballs from the median face in the head frame, then each frame's pose.

    `intrinsics_px` is one camera for all faces, or one for each.
    """
    cameras = np.broadcast_to(intrinsics_px, (len(faces), 3, 3))

    def fit_poses(head: HeadModel) -> list[tuple[Pose, float]]:
        return [estimate_pose(face.points_px, head, camera) for face, camera in zip(faces, cameras, strict=True)]

    head = average_head(average)
    scales = [
        iris_scale(face.points_px, pose, head, camera)
        for face, (pose, _), camera in zip(faces, fit_poses(head), cameras, strict=True)
        if all(eyes_open(face.points_px, face.expression))
    ]
    scale = subject_scale(scales) if scales else 1.0
    head = average_head(average, scale)
    head = fitted_head(faces, [pose for pose, _ in fit_poses(head)], head, cameras)
    poses, misfits = zip(*fit_poses(head), strict=True)
    return Person(head, scale, list(poses), list(misfits))


def fitted_head(
    faces: Sequence[Face], poses: Sequence[Pose], head: HeadModel, intrinsics_px: Float[ndarray, "*n 3 3"]
) -> HeadModel:
    """The average head with x and y of the person's median face; depth cannot be recovered from few views.

    The median is over at most 200 frames, which bounds the memory.
    """
    cameras = np.broadcast_to(intrinsics_px, (len(faces), 3, 3))
    chosen = evenly_spaced(len(faces), 200)
    points = np.median([lift(faces[i].points_px, poses[i], head, cameras[i]) for i in chosen], axis=0)
    points[:, 2] = head.points_m[:, 2]
    return head_with_eyes(points)
