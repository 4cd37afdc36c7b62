"""Lids, brows, mouth and gaze of a published subject."""

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.preprocess.face_mesh import IBUG_68
from gaze_core.talker.audio import AudioFeatures
from gaze_core.talker.frame_values import held_between, nearest_valid
from gaze_core.talker.published_files import Subject, read_action_units
from gaze_core.talker.subject_schema import (
    TalkerSignals,
)

RIGHT_EYE_POINTS, LEFT_EYE_POINTS = slice(36, 42), slice(42, 48)  # of iBUG 68


CLOSED_AU45, _MOST_AU = 2.0, 5.0


def signals_of(
    subject: Subject, viewmat: Float[ndarray, "n 4 4"], scale: float, audio: AudioFeatures, missing: list[str]
) -> TalkerSignals:
    """All signals, by frame; what is lacking is added to `missing`."""
    count = len(subject.ids)
    lms = subject.landmarks[nearest_valid(subject.valid)]
    points = np.full((count, 478, 2), np.nan)
    points[:, list(IBUG_68)] = subject.landmarks * scale
    table = read_action_units(subject.folder / "au.csv", int(subject.ids[-1]) + 1)
    if "AU45_r" in table:
        blink = np.asarray(table["AU45_r"][subject.ids].clip(0, CLOSED_AU45) / CLOSED_AU45)
    else:
        missing.append("AU45_r in au.csv; blinks from the distance of the lids")
        blink = blink_of_landmarks(lms)
    raised = {name: table[name][subject.ids] / _MOST_AU for name in ("AU01_r", "AU02_r", "AU04_r") if name in table}
    if len(raised) < 3:
        missing.append("AU01_r, AU02_r, AU04_r in au.csv; brows are taken as still")
    brows = [raised.get(name, np.zeros(count)) for name in ("AU01_r", "AU02_r", "AU04_r")]
    gaze, sigma = gaze_of(table, subject, viewmat, missing)
    eyes_px = np.linalg.norm(lms[:, RIGHT_EYE_POINTS].mean(axis=1) - lms[:, LEFT_EYE_POINTS].mean(axis=1), axis=1)
    return TalkerSignals(
        frame_id=subject.ids,
        viewmat=viewmat,
        landmarks_px=points,
        blink=np.repeat(blink[:, None], 2, axis=1),
        brows=np.stack(brows, axis=1).clip(0, 1),
        mouth_open=np.linalg.norm(lms[:, 62] - lms[:, 66], axis=1) / eyes_px,
        gaze_head_rad=gaze,
        gaze_sigma_rad=np.full(count, sigma),
        valid=subject.valid,
        audio=audio.windows,
        split=subject.split,
    )


def blink_of_landmarks(lms: Float[ndarray, "n 68 2"]) -> Float[ndarray, " n"]:
    """Lids from 0 to 1: distance of the lids over the eye's width, its 85th percentile open, its 2nd closed.

    A film in which that hardly varies has no blink.
    """

    def ratio(eye: Float[ndarray, "n 6 2"]) -> Float[ndarray, " n"]:
        tall = np.linalg.norm(eye[:, 1] - eye[:, 5], axis=1) + np.linalg.norm(eye[:, 2] - eye[:, 4], axis=1)
        return np.asarray(tall / (2 * np.linalg.norm(eye[:, 0] - eye[:, 3], axis=1)))

    mean = (ratio(lms[:, RIGHT_EYE_POINTS]) + ratio(lms[:, LEFT_EYE_POINTS])) / 2
    closed, open_ = np.percentile(mean, [2, 85])
    closed = min(float(closed), 0.6 * float(open_))
    return np.asarray(((open_ - mean) / max(open_ - closed, 1e-6)).clip(0, 1))


def gaze_of(
    table: dict[str, Float[ndarray, " n"]], subject: Subject, viewmat: Float[ndarray, "n 4 4"], missing: list[str]
) -> tuple[Float[ndarray, "n 2"], float]:
    """OpenFace's gaze (x > 0 to image right, y > 0 down, rad, in the camera) in the head frame."""
    if not {"gaze_angle_x", "gaze_angle_y"} <= set(table):
        missing.append(
            "gaze_angle_x and gaze_angle_y in au.csv; gaze is taken as straight ahead, eyes cannot be turned"
        )
        return np.zeros((len(subject.ids), 2)), float(np.deg2rad(15))
    camera = np.stack([-table["gaze_angle_y"], -table["gaze_angle_x"]], axis=1)[subject.ids]
    vectors = vector_from_pitchyaw(torch.from_numpy(camera)).numpy()
    in_head = np.einsum("nji,nj->ni", viewmat[:, :3, :3], vectors)
    gaze = pitchyaw_from_vector(torch.from_numpy(in_head)).numpy()
    return held_between(gaze, np.isfinite(gaze).all(axis=1) & subject.valid), float(np.deg2rad(8))
