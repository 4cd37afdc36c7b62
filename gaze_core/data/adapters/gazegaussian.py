"""GazeGaussian's files: GazeNeRF's images and labels with a second face fit (BFM-09, decimetres).

Frames of that layout. Canonical: x image right, y up, z out of the face, so our head axes are its axes turned by 180
degrees about x. World: x_world = scale * R(pose[:3]) x_canonical + pose[3:]. `facial_landmarks_3d` are 66 of the 68,
without the outer mouth corners, in the camera's frame. Two things are verified frame by frame: 3D
landmarks are used only where they project onto the 2D ones (read as camera or else as world points), and the fitted
pose only where the face points as `face_head_pose` says within 30 degrees.

The gaze label was made with the head pose of `face_head_pose`. That gives the gaze in the camera's frame; in the head
frame it is recomputed for the fitted pose, so that all labels of a frame agree. The published network was trained with
the original label, the fit's scale and its own origin; the fields `published/` keep what restores them.
"""

from collections.abc import Iterator

import h5py
import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.data.adapters.angles import rotated
from gaze_core.data.adapters.fields import gaze_fields, nominal_head, outcomes, rigid
from gaze_core.data.adapters.gazenerf import SHARED_COLUMNS, frame_numbers, shared_fields
from gaze_core.data.adapters.hdf5 import Column, Rows, UnusableFrame, opened
from gaze_core.data.adapters.spec import Outcome, Sample, Subject
from gaze_core.data.schema import NUM_EXPRESSION, NUM_IDENTITY
from gaze_core.geometry.landmarks import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    MOUTH_LEFT,
    MOUTH_RIGHT,
    NUM_LANDMARKS,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
)
from gaze_core.geometry.rotations import matrix_from_axis_angle

NUM_CODES, NUM_VERTICES = 251, 35709
KEPT_LANDMARKS = [index for index in range(NUM_LANDMARKS) if index not in (MOUTH_RIGHT, MOUTH_LEFT)]
CANONICAL_TO_HEAD = np.diag([1.0, -1.0, -1.0])
# Attributes of files that `gazegaussian_export` wrote; published files do not specify the origin.
ORIGIN_ATTRIBUTE, EXPRESSION_ATTRIBUTE = "canonical_origin", "expression_basis"

COLUMNS = (
    *SHARED_COLUMNS,
    Column("facial_landmarks_3d", (len(KEPT_LANDMARKS), 3)),
    Column("latent_codes", (NUM_CODES,)),
    Column("pose", (6,)),
    Column("scale", (1,)),
)

_MOUTH_INNER = {MOUTH_RIGHT: 60, MOUTH_LEFT: 64}  # the inner corner beside each outer one
_MAX_REPROJECTION = 0.04  # median distance from the 2D landmarks, in widths of the image
_LEAST_POSE_AGREEMENT = np.cos(np.deg2rad(30))  # of where the face points, by both head poses
# From the midpoint of an eye's corners to the eyeball centre, head frame: average adult, as for videos.
_CORNERS_TO_CENTER_M = np.array([[0.001, -0.0018, 0.0065], [-0.001, -0.0018, 0.0065]])  # (left, right)
_CORNERS = [[LEFT_EYE_INNER, LEFT_EYE_OUTER], [RIGHT_EYE_OUTER, RIGHT_EYE_INNER]]


def read_gazegaussian(subject: Subject) -> Iterator[Outcome]:
    """The rows of one subject's file, one image in memory at a time."""
    with opened(subject.path) as file:
        rows = Rows(file, COLUMNS)
        frames = frame_numbers(rows, subject)
        is_ours = _is_ours(file, subject)

        def read(index: int) -> Sample:
            sample, gaze_head, published_head = shared_fields(rows, index, subject)
            head = _head_fields(rows, index, subject, sample, published_head, is_ours)
            head_to_camera = (sample["world_to_camera"] @ head["head_to_world"])[:3, :3]
            label_to_camera = head_to_camera if is_ours else published_head
            gaze = gaze_fields(rotated(gaze_head, label_to_camera), head_to_camera)
            published: Sample = {
                "published/gaze_rotation": label_to_camera.T @ head_to_camera,
                "published/scale": _scale(rows, index),
                "frame_index": frames[index],
            }
            return sample | head | gaze | _codes(rows, index, subject) | published

        yield from outcomes(len(rows), read)


def _is_ours(file: h5py.File, subject: Subject) -> bool:
    subject.notes["expression_basis"] = str(file.attrs.get(EXPRESSION_ATTRIBUTE, "bfm09"))
    return bool(file.attrs.get(ORIGIN_ATTRIBUTE) == "eyes")


def _scale(rows: Rows, index: int) -> float:
    scale = float(rows.numbers("scale", index)[0])
    if scale <= 0:
        raise UnusableFrame("scale_not_positive")
    return scale


def _head_fields(
    rows: Rows, index: int, subject: Subject, sample: Sample, published_head: Float[ndarray, "3 3"], is_ours: bool
) -> Sample:
    """Head pose, 3D landmarks and eyeball centres, where they pass the checks."""
    to_camera, pose = sample["world_to_camera"], rows.numbers("pose", index)
    turn = matrix_from_axis_angle(torch.from_numpy(pose[:3])).numpy() @ CANONICAL_TO_HEAD
    head_to_camera = to_camera @ rigid(turn, pose[3:] * subject.unit_m)
    is_doubtful = head_to_camera[:3, 2] @ published_head[:, 2] < _LEAST_POSE_AGREEMENT
    points = _landmarks_camera(rows.numbers("facial_landmarks_3d", index) * subject.unit_m, sample)
    if points is None:
        subject.notes["frames_without_3d_landmarks"] = subject.notes.get("frames_without_3d_landmarks", 0) + 1
    if (points is None and not is_ours) or is_doubtful:
        subject.notes["frames_without_head_pose"] = subject.notes.get("frames_without_head_pose", 0) + 1
        nominal = nominal_head(published_head, subject.spec.view, to_camera)
        return {"head_to_world": nominal, "published/origin_m": np.zeros(3)}
    fields: Sample = {"valid/head_pose": True, "published/origin_m": np.zeros(3)}
    if points is not None:
        landmarks = (points - head_to_camera[:3, 3]) @ head_to_camera[:3, :3]
        centers = landmarks[_CORNERS].mean(axis=1) + _CORNERS_TO_CENTER_M
        origin = np.zeros(3) if is_ours else centers.mean(axis=0)
        head_to_camera = head_to_camera @ rigid(np.eye(3), origin)
        fields |= {
            "landmarks_3d_head_m": landmarks - origin,
            "eye_centers_head_m": centers - centers.mean(axis=0),
            "valid/landmarks_3d": True,
            "published/origin_m": origin,
        }
    return fields | {"head_to_world": np.linalg.inv(to_camera) @ head_to_camera}


def _landmarks_camera(stored: Float[ndarray, "66 3"], sample: Sample) -> Float[ndarray, "68 3"] | None:
    """All 68 landmarks in the camera's frame, metres; None if they do not project onto the face in the image.

    An outer mouth corner is placed on the ray of its 2D landmark, at the depth of the inner corner beside it.
    """
    to_camera = sample["world_to_camera"]
    for seen in (stored, stored @ to_camera[:3, :3].T + to_camera[:3, 3]):
        if _is_on_face(seen, sample):
            break
    else:
        return None
    points = np.empty((NUM_LANDMARKS, 3))
    points[KEPT_LANDMARKS] = seen
    for outer, inner in _MOUTH_INNER.items():
        ray = np.linalg.inv(sample["intrinsics_px"]) @ [*sample["landmarks_2d_px"][outer], 1.0]
        points[outer] = points[inner, 2] * ray
    return points


def _is_on_face(points_m: Float[ndarray, "66 3"], sample: Sample) -> bool:
    if (points_m[:, 2] <= 0).any():
        return False
    projected = points_m @ sample["intrinsics_px"].T
    offset_px = projected[:, :2] / projected[:, 2:] - sample["landmarks_2d_px"][KEPT_LANDMARKS]
    return bool(np.median(np.linalg.norm(offset_px, axis=1)) <= _MAX_REPROJECTION * sample["image"].shape[1])


def _codes(rows: Rows, index: int, subject: Subject) -> Sample:
    """Identity (80) and expression (64); an all-zero code was not fitted."""
    is_arkit = subject.notes["expression_basis"] == "arkit"
    codes = rows.numbers("latent_codes", index)
    identity, expression = codes[:NUM_IDENTITY], codes[NUM_IDENTITY : NUM_IDENTITY + NUM_EXPRESSION]
    fields: Sample = {"identity_code": identity, "valid/identity": bool(identity.any())}
    if subject.flags.bfm_codes == "keep" or is_arkit:
        fields |= {"expression_code": expression, "valid/expression": bool(expression.any())}
    return fields
