"""Writes a synthetic recording in the official layout of EVE, with exact labels."""

import json
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.estimation.eve_layout import NS_PER_S, write_eve
from gaze_core.estimation.viewing.film import Film, FilmConfig, FilmFrame
from gaze_core.estimation.viewing.images import Images, RenderConfig
from gaze_core.estimation.viewing.labels import PATCHES, HeadPoints
from gaze_core.estimation.viewing.plan import TICK_HZ, Viewing
from gaze_core.estimation.viewing.setup import (
    RATE_HZ,
    SCREEN_M,
    SCREEN_PX,
    CameraName,
    camera_matrix,
    screen_seen_by,
)

FILM_VERSION = 1  # raise when the same configuration no longer gives the same films
_MM = 1000.0
_LIDS_SHUT = 0.5  # a tracker sees no pupil where lids are closed further


def write_recording(
    folder: Path, images: Images, viewing: Viewing, points: HeadPoints, pupils_m: Float[ndarray, " m"],
    camera: CameraName, render: RenderConfig, config: FilmConfig, seed: int,
) -> None:  # fmt: skip
    """Films the moments and writes films and labels below `folder`, the step's, unless the same are there.

    Args:
        folder: of the step.
        images: of each moment.
        viewing: which moment each tick shows.
        points: of the person's face.
        pupils_m: diameters, of each moment.
        camera: its name.
        render: how the images were rendered.
        config: how they are filmed.
        seed: decides the noise.
    """
    made_by = json.dumps([FILM_VERSION, config.digest(), render.digest(), seed, len(viewing.moments)])
    if _made_by(folder / f"{camera}.h5") == made_by:
        return
    frames = list(Film(images, viewing, points, camera, render, config, seed).frames())
    groups = _groups(frames, viewing, pupils_m, camera)
    times_ns = np.array([frame.tick for frame in frames], dtype=np.int64) * NS_PER_S // TICK_HZ
    films = {"face": [frame.face for frame in frames], "eyes": [frame.eyes for frame in frames]}
    write_eve(
        folder, camera, _constants(camera), groups, times_ns, films, RATE_HZ[camera], config.crf,
        {"source": "synthetic", "made_by": made_by},
    )  # fmt: skip


def _made_by(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        with h5py.File(path) as file:
            return str(file.attrs.get("made_by", ""))
    except OSError:
        return ""  # damaged: it is written again


def _constants(camera: CameraName) -> dict[str, Any]:
    to_camera = screen_seen_by(camera).matrix
    to_camera[:3, 3] *= _MM
    per_px = np.asarray(SCREEN_M) * _MM / np.asarray(SCREEN_PX)
    return {
        "camera_matrix": camera_matrix(camera),
        "camera_transformation": to_camera,
        "inv_camera_transformation": np.linalg.inv(to_camera),
        "millimeters_per_pixel": per_px,
        "pixels_per_millimeter": 1 / per_px,
    }


def _groups(
    frames: list[FilmFrame], viewing: Viewing, pupils_m: Float[ndarray, " m"], camera: CameraName
) -> dict[str, tuple[ndarray, ndarray]]:
    moments = [viewing.moments[frame.moment] for frame in frames]
    seen = [frame.seen for frame in frames]
    sighted = np.array([moment.closed < _LIDS_SHUT for moment in moments])
    always = np.ones(len(frames), bool)
    matrix = camera_matrix(camera)
    poses = [one.head_to_camera for one in seen]
    projected = [one.landmarks_m @ matrix.T for one in seen]
    points_px = np.stack([moment.point_px for moment in moments])
    pupil_mm = _MM * pupils_m[[frame.moment for frame in frames]]
    out = {
        "facial_landmarks": (np.stack([points[:, :2] / points[:, 2:] for points in projected]), always),
        "head_rvec": (np.stack([cv2.Rodrigues(pose[:3, :3])[0] for pose in poses]), always),
        "head_tvec": (np.stack([_MM * pose[:3, 3:] for pose in poses]), always),
        "left_p": (pupil_mm, sighted),
        "right_p": (pupil_mm, sighted),
        "kind": (viewing.kind[[frame.tick for frame in frames]].astype(np.uint8), always),  # not in EVE
    }
    for patch in PATCHES:
        windows = [frame.windows[patch] for frame in frames]
        warps = [w.intrinsics_px @ s.rotation @ np.linalg.inv(matrix) for w, s in zip(windows, seen, strict=True)]
        out |= {
            f"{patch}_PoG_tobii": (points_px, sighted),
            f"{patch}_g_tobii": (np.stack([one.gaze_rad(patch) for one in seen]), sighted),
            f"{patch}_R": (np.stack([one.rotation for one in seen]), always),
            f"{patch}_W": (np.stack(warps), always),
            f"{patch}_h": (np.stack([one.head_rad for one in seen]), always),
            f"{patch}_o": (np.stack([_MM * one.origins_m[patch] for one in seen]), always),
        }
    return out
