"""Gaze of normalised faces, read by the project's judges, which were made for whole heads.

A normalised face is shown in the middle of a larger picture, at the scale and with the focal length of its camera.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from gaze_core.assets import find, resolve
from gaze_core.evaluation.judge import CnnJudge
from gaze_core.evaluation.readers import why_not
from gaze_core.one_shot.band import FACE_PX
from gaze_core.preprocess import landmark_gaze

FaceJudgeName = Literal["landmarks", "cnn"]
_CANVAS_PX = 550  # 33 cm at the face's depth, as in `portrait_128`
_FOCAL_FACTOR = 1000.0 / _CANVAS_PX
_EYES_AT_PX = 68  # height of the eyes in a normalised face


def available_judge() -> FaceJudgeName:
    """The map of eye landmarks where the landmarker is at hand; else the shipped network, which errs twice as much here."""
    return "landmarks" if find("face_landmarker") is not None and not why_not("landmarks") else "cnn"


def read_faces(
    faces: UInt8[ndarray, "n 256 256 3"], judge: FaceJudgeName
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, " n"]]:
    """`[pitch, yaw]` in radians, frame of the normalised camera, and whether each was read."""
    shown = np.stack([_on_canvas(face) for face in faces])
    if judge == "landmarks":
        return landmark_gaze.predict_gaze(shown, resolve("face_landmarker"), _FOCAL_FACTOR)
    found = CnnJudge().predict(torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255)
    return found.gaze_camera.double().numpy(), found.valid.numpy()


def _on_canvas(face: UInt8[ndarray, "256 256 3"]) -> UInt8[ndarray, "y x 3"]:
    """The face on white, with the eyes in the middle."""
    canvas = np.full((_CANVAS_PX, _CANVAS_PX, 3), 255, np.uint8)
    left, top = (_CANVAS_PX - FACE_PX) // 2, _CANVAS_PX // 2 - _EYES_AT_PX
    canvas[top : top + FACE_PX, left : left + FACE_PX] = face
    return canvas
