"""Our subject file in GazeGaussian's layout, for its own code and for comparisons; `gazegaussian.py` reads it back.

The layout cannot hold: `observed_mask`, each eye's own gaze (only their mean), `eye_centers_head_m`, the outer mouth
corners in 3D, `valid/gaze` (frames without gaze, head pose or 3D landmarks are left out), the source, label source,
normalisation and provenance. Values that GazeGaussian's code requires and we do not have get placeholders: texture and light
codes are zeros, `vertice` repeats the landmarks. `pitchyaw` and `pitchyaw_3d` (the target on the screen and
in millimetres) are left out, and `scale` is 1. `frame_index` stays in 8 bits while it fits.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.data.adapters.angles import face_head_pose, pitch_down
from gaze_core.data.adapters.gazegaussian import (
    CANONICAL_TO_HEAD,
    EXPRESSION_ATTRIBUTE,
    KEPT_LANDMARKS,
    NUM_CODES,
    NUM_VERTICES,
    ORIGIN_ATTRIBUTE,
)
from gaze_core.data.adapters.units import METRES_PER_DM, PIXEL_CENTER
from gaze_core.data.subject_writer import new_hdf5
from gaze_core.data.subjects import open_subject
from gaze_core.errors import BadInput
from gaze_core.geometry.rotations import axis_angle_from_matrix

_NEEDED = ("gaze", "head_pose", "landmarks_3d")
_IMAGES = ("face_patch", "head_mask", "left_eye_mask", "right_eye_mask")
_UPSTREAM_DEPTH_M = 0.62  # depth of the world origin, about that of GazeGaussian's heads


def export_gazegaussian(
    subject_file: Path, out: Path, size_px: int | None = None, upstream_axes: bool = False
) -> dict[str, int]:
    """Writes a subject file of ours in GazeGaussian's layout, frame by frame, atomically.

    Args:
        subject_file: the subject file of ours.
        out: the file to write, for example `xgaze_subject0000.h5`.
        size_px: side of the images, to resample them; GazeGaussian expects 512.
        upstream_axes: put each frame's world before its camera with y up and z toward it, as in the published files.
            GazeGaussian's loader brings 3D landmarks to the world by R (x - t) instead of R^T (x - t), which is right
            for these axes alone. Otherwise the world stays ours.

    Returns:
        number of frames left out, by reason.

    Raises:
        BadInput: the subject file is not readable, or no frame has all labels of the layout.
    """
    with open_subject(subject_file) as ours:
        faults = [_fault(ours, index) for index in range(len(ours["image"]))]
        keep = [index for index, fault in enumerate(faults) if not fault]
        dropped = dict(Counter(fault for fault in faults if fault))
        if not keep:
            raise BadInput(
                f"{subject_file}: none of {len(faults)} frames has all labels that the layout needs ({dropped})"
            )
        side = size_px or int(ours["image"].shape[2])
        with new_hdf5(out) as theirs:
            for position, index in enumerate(keep):
                row = _row(ours, index, side, upstream_axes)
                for key, value in row.items():
                    if key not in theirs:
                        _create(theirs, key, np.asarray(value), len(keep), int(ours["frame_index"][:].max()))
                    theirs[key][position] = value
            theirs.attrs.update({ORIGIN_ATTRIBUTE: "eyes", EXPRESSION_ATTRIBUTE: "arkit"})
    return dropped


def _fault(ours: h5py.File, index: int) -> str:
    return next((f"invalid_{label}" for label in _NEEDED if not ours[f"valid/{label}"][index]), "")


def _create(file: h5py.File, key: str, first: ndarray, count: int, last_frame: int) -> None:
    if key in ("cam_index", "frame_index"):
        dtype = np.dtype("uint8" if key == "cam_index" or last_frame < 256 else "int32")
    else:
        dtype = first.dtype
    packed = {"compression": "lzf"} if key in (*_IMAGES, "vertice") else {}
    file.create_dataset(key, (count, *first.shape), dtype, chunks=(1, *first.shape), **packed)


def _row(ours: h5py.File, index: int, side_px: int, upstream_axes: bool) -> dict[str, Any]:
    """One frame under the layout's keys."""
    world_to_camera = ours["world_to_camera"][index].astype(np.float64)
    head_to_camera = world_to_camera @ ours["head_to_world"][index].astype(np.float64)
    if upstream_axes:
        world_to_camera = np.diag([1.0, -1.0, -1.0, 1.0])
        world_to_camera[2, 3] = _UPSTREAM_DEPTH_M
    landmarks = ours["landmarks_3d_head_m"][index][KEPT_LANDMARKS] @ head_to_camera[:3, :3].T + head_to_camera[:3, 3]
    gaze = {
        "pitchyaw_head": pitch_down(ours["gaze_head"][index]),
        "face_head_pose": face_head_pose(head_to_camera[:3, :3]),
        "cam_index": np.array([ours["camera_index"][index]]),
        "frame_index": np.array([ours["frame_index"][index]]),
    }
    face = {
        "facial_landmarks_3d": landmarks / METRES_PER_DM,
        "vertice": np.resize(landmarks / METRES_PER_DM, (NUM_VERTICES, 3)).astype(np.float32),
        "latent_codes": _codes(ours, index),
    }
    return _images(ours, index, side_px) | _geometry(world_to_camera, head_to_camera) | gaze | face


def _images(ours: h5py.File, index: int, side_px: int) -> dict[str, Any]:
    """Images, masks, and labels in pixels."""
    height, width = ours["image"].shape[1:3]
    scale = np.array([side_px / width, side_px / height])
    intrinsics_px = np.diag([*scale, 1.0]) @ ours["intrinsics_px"][index].astype(np.float64)
    intrinsics_px[:2, 2] -= PIXEL_CENTER
    image = ours["image"][index][..., ::-1]
    return {
        "face_patch": _resized(image, side_px, cv2.INTER_AREA if side_px < width else cv2.INTER_LINEAR),
        "head_mask": _resized(ours["head_mask"][index], side_px, cv2.INTER_NEAREST),
        # The layout's sides are the image's.
        "left_eye_mask": _resized(ours["right_eye_mask"][index], side_px, cv2.INTER_NEAREST),
        "right_eye_mask": _resized(ours["left_eye_mask"][index], side_px, cv2.INTER_NEAREST),
        "facial_landmarks": ours["landmarks_2d_px"][index].astype(np.float64) * scale - PIXEL_CENTER,
        "inmat": intrinsics_px,
        "inv_inmat": np.linalg.inv(intrinsics_px),
    }


def _resized(image: UInt8[ndarray, "h w *c"], side_px: int, interpolation: int) -> UInt8[ndarray, "s s *c"]:
    if image.shape[:2] == (side_px, side_px):
        return image
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (side_px, side_px), interpolation=interpolation))


def _geometry(world_to_camera: Float[ndarray, "4 4"], head_to_camera: Float[ndarray, "4 4"]) -> dict[str, Any]:
    """Camera and head pose in decimetres."""
    camera_to_world = np.linalg.inv(world_to_camera)
    head_to_world = camera_to_world @ head_to_camera
    turn = axis_angle_from_matrix(torch.from_numpy(head_to_world[:3, :3] @ CANONICAL_TO_HEAD)).numpy()
    return {
        "w2c_Rmat": world_to_camera[:3, :3],
        "w2c_Tvec": world_to_camera[:3, 3] / METRES_PER_DM,
        "c2w_Rmat": camera_to_world[:3, :3],
        "c2w_Tvec": camera_to_world[:3, 3] / METRES_PER_DM,
        "pose": np.concatenate([turn, head_to_world[:3, 3] / METRES_PER_DM]),
        "scale": np.ones(1),
    }


def _codes(ours: h5py.File, index: int) -> Float[ndarray, "251"]:
    """Identity, expression, and zeros for texture and light; invalid codes are zeros too."""
    codes = np.zeros(NUM_CODES)
    parts = [ours[f"{name}_code"][index] * bool(ours[f"valid/{name}"][index]) for name in ("identity", "expression")]
    known = np.concatenate(parts)
    codes[: len(known)] = known
    return codes
