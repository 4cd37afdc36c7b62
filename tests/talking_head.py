"""An analytic talking head: an ellipsoid with painted eyes, mouth and hair that is traced ray by ray, with known signals.

Every label is exact, and each frame can be drawn again with another gaze, so results have a ground truth.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.talker.subject import TalkerSubjectWriter, TalkerTruth
from gaze_core.talker.subject_schema import (
    HAIR,
    LEFT_EYE,
    LIPS,
    MOUTH,
    RIGHT_EYE,
    SKIN,
    TORSO,
    TalkerFacts,
    TalkerSignals,
    held_out_end,
)

_CENTRE_M, _RADII_M = np.array([0.0, 0.02, 0.082]), np.array([0.075, 0.105, 0.09])
_EYES_M, _EYE_RADIUS_M = np.array([[0.03, 0.0, 0.008], [-0.03, 0.0, 0.008]]), 0.013
_MOUTH_Y_M, _MOUTH_HALF_M, _LIP_M = 0.062, 0.022, 0.006
_DISTANCE_M = 0.6


@dataclass(frozen=True, eq=False)
class Signals:
    """The known signals of N frames."""

    mouth: Float[ndarray, " n"]  # 0 to 1
    blink: Float[ndarray, " n"]
    gaze_rad: Float[ndarray, "n 2"]
    viewmat: Float[ndarray, "n 4 4"]


def signals_of(count: int, seed: int = 0) -> Signals:
    """Syllables, a blink every 23 frames, fixations, and a head that turns slowly."""
    random, t = np.random.default_rng(seed), np.arange(count)
    mouth = np.clip(0.5 + 0.35 * np.sin(t * 0.9) + 0.35 * np.sin(t * 0.37 + 1), 0, 1) * (np.sin(t * 0.11) > -0.7)
    blink = np.clip(1.5 - np.abs((t % 23) - 11) / 1.5, 0, 1)
    fixations = random.uniform([-0.2, -0.35], [0.2, 0.35], (count // 6 + 1, 2))
    gaze = np.repeat(fixations, 6, axis=0)[:count]
    pitch, yaw = 0.08 * np.sin(t * 0.05), 0.15 * np.sin(t * 0.07 + 0.5)
    view = np.tile(np.eye(4), (count, 1, 1))
    about_x, about_y = np.tile(np.eye(3), (2, count, 1, 1))
    about_x[:, 1, 1] = about_x[:, 2, 2] = np.cos(pitch)
    about_x[:, 2, 1], about_x[:, 1, 2] = np.sin(pitch), -np.sin(pitch)
    about_y[:, 0, 0] = about_y[:, 2, 2] = np.cos(yaw)
    about_y[:, 0, 2], about_y[:, 2, 0] = np.sin(yaw), -np.sin(yaw)
    view[:, :3, :3] = about_y @ about_x
    view[:, :3, 3] = np.array([0, -0.02, _DISTANCE_M])
    return Signals(mouth, blink, gaze, view)


def draw(
    signals: Signals, index: int, size_px: int
) -> tuple[UInt8[ndarray, "h w 3"], UInt8[ndarray, "h w"], UInt8[ndarray, "h w 4"]]:
    """Image, label map, and RGBA of the torso of one frame."""
    view, intrinsics = signals.viewmat[index], intrinsics_of(size_px)
    y, x = np.mgrid[:size_px, :size_px] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(intrinsics).T @ view[:3, :3]
    origin = -view[:3, :3].T @ view[:3, 3]
    hit, inside = _nearest((origin - _CENTRE_M) / _RADII_M, rays / _RADII_M)
    points = origin + hit[..., None] * rays
    normal = (points - _CENTRE_M) / _RADII_M**2
    shade = 0.65 + 0.35 * np.clip(-normal[..., 2] / np.linalg.norm(normal, axis=-1), 0, 1)
    image, labels, torso = _behind(size_px)
    image, labels = image.copy(), labels.copy()
    front = inside & (points[..., 2] < _CENTRE_M[2])
    is_hair = inside & ((points[..., 1] < -0.045) | ~front)
    image[inside] = (shade[..., None] * np.array([0.85, 0.65, 0.55]))[inside]
    image[is_hair] = (shade[..., None] * np.array([0.3, 0.2, 0.12]))[is_hair]
    labels[inside], labels[is_hair] = SKIN, HAIR
    _paint_mouth(image, labels, points, front, signals.mouth[index])
    for side, label in enumerate((LEFT_EYE, RIGHT_EYE)):
        _paint_eye(
            image, labels, (origin, rays, points, front), (signals.blink[index], signals.gaze_rad[index]), side, label
        )
    return (image * 255).round().astype(np.uint8), labels, torso


def _paint_mouth(image: ndarray, labels: ndarray, points: ndarray, front: ndarray, opening: float) -> None:
    across, down = points[..., 0] / _MOUTH_HALF_M, points[..., 1] - _MOUTH_Y_M
    profile = np.sqrt(np.clip(1 - across**2, 0, 1))
    half = 0.012 * opening * profile
    is_lip = front & (np.abs(across) < 1) & (np.abs(down) < half + _LIP_M * profile)
    is_open = is_lip & (np.abs(down) < half)
    is_teeth = is_open & (down < -half + 0.005)
    image[is_lip], labels[is_lip] = (0.75, 0.3, 0.3), LIPS
    image[is_open], labels[is_open] = (0.25, 0.08, 0.08), MOUTH
    image[is_teeth] = (0.9, 0.88, 0.82)


def _paint_eye(
    image: ndarray, labels: ndarray, traced: tuple[ndarray, ...], eye: tuple[float, ndarray], side: int, label: int
) -> None:
    (origin, rays, points, front), (blink, gaze_rad) = traced, eye
    centre = _EYES_M[side]
    across, down = (points[..., 0] - centre[0]) / 0.014, (points[..., 1] - centre[1]) / (0.0075 * (1 - blink) + 1e-6)
    depth, hit = _nearest((origin - centre) / _EYE_RADIUS_M, rays / _EYE_RADIUS_M)
    is_eye = front & hit & (across**2 + down**2 < 1)
    pitch, yaw = gaze_rad
    looks = -np.array([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)])
    angle = np.arccos(np.clip((origin + depth[..., None] * rays - centre) / _EYE_RADIUS_M @ looks, -1, 1))
    image[is_eye], labels[is_eye] = (0.92, 0.92, 0.9), label
    image[is_eye & (angle < 0.5)] = (0.2, 0.35, 0.5)
    image[is_eye & (angle < 0.22)] = (0.03, 0.03, 0.03)


def _nearest(origin: ndarray, rays: ndarray) -> tuple[ndarray, ndarray]:
    """Distance along each ray to the unit sphere, and whether it is hit."""
    a, b, c = (rays**2).sum(-1), rays @ origin, origin @ origin - 1
    root = b**2 - a * c
    return (-b - np.sqrt(np.clip(root, 0, None))) / a, root > 0


def _behind(size_px: int) -> tuple[Float[ndarray, "h w 3"], UInt8[ndarray, "h w"], UInt8[ndarray, "h w 4"]]:
    """The picture without a head, its label map, and the torso as RGBA."""
    y, x = (np.mgrid[:size_px, :size_px] + 0.5) / size_px
    is_torso = (y > 0.8) & (np.abs(x - 0.5) < 0.15 + 1.2 * (y - 0.8))
    torso = np.zeros((size_px, size_px, 4), np.uint8)
    torso[is_torso] = (40, 60, 120, 255)
    image = np.where(is_torso[..., None], torso[..., :3] / 255, plate_of(size_px) / 255)
    return image, (TORSO * is_torso).astype(np.uint8), torso


def plate_of(size_px: int) -> UInt8[ndarray, "h w 3"]:
    """The background without a person."""
    ramp = np.linspace(90, 170, size_px).astype(np.uint8)
    return np.stack(
        [np.tile(ramp, (size_px, 1)), np.tile(ramp[:, None], (1, size_px)), np.full((size_px,) * 2, 140, np.uint8)], -1
    )


def intrinsics_of(size_px: int) -> Float[ndarray, "3 3"]:
    """The camera matrix: the head fills about two thirds of the height."""
    return np.array([[2.0 * size_px, 0, size_px / 2], [0, 2.0 * size_px, size_px / 2], [0, 0, 1]])


def audio_of(signals: Signals, width: int = 29, seed: int = 1) -> Float[ndarray, "n 16 c"]:
    """50 Hz random projections of the mouth's opening, its speed, its square and its past, with noise, as windows."""
    random, count = np.random.default_rng(seed), len(signals.mouth)
    m = np.interp(np.arange(2 * count) / 2, np.arange(count), signals.mouth)
    sources = np.stack([m, np.gradient(m), m**2, np.roll(m, 2)], axis=1)
    stream = sources @ random.normal(size=(4, width)) + 0.05 * random.normal(size=(2 * count, width))
    padded = np.pad(stream, ((8, 8), (0, 0)))
    return np.stack([padded[2 * n : 2 * n + 16] for n in range(count)]).astype(np.float32)


def write_talking_head(
    folder: Path,
    count: int = 110,
    size_px: int = 64,
    audio_width: int = 29,
    invalid: tuple[int, ...] = (),
    seed: int = 0,
    audio_extractor: str = "random projection",
) -> Path:
    """Writes a subject with the truth of other gazes for its held-out frames."""
    signals = signals_of(count, seed)
    split = held_out_end(count)
    centres = np.einsum("nij,ej->nei", signals.viewmat[:, :3, :3], _EYES_M) + signals.viewmat[:, None, :3, 3]
    landmarks = np.full((count, 478, 2), np.nan)
    landmarks[:, [468, 473]] = (centres @ intrinsics_of(size_px).T / centres[..., 2:])[..., :2]
    valid = np.ones(count, bool)
    valid[list(invalid)] = False
    random = np.random.default_rng(3)
    normals = random.normal(size=(1500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    normals[:, 2] = -np.abs(normals[:, 2])
    points = _CENTRE_M + _RADII_M * normals
    with TalkerSubjectWriter(folder) as writer:
        for index in range(count):
            writer.append(*draw(signals, index, size_px))
        writer.finish(
            TalkerFacts(
                "ellipsoid", intrinsics_of(size_px), _EYES_M, _EYE_RADIUS_M, points, np.tile([0.7, 0.5, 0.4], (1500, 1)),
                audio_extractor, 50.0, 16, "synthetic",
            ),
            TalkerSignals(
                np.arange(count), signals.viewmat, landmarks, np.tile(signals.blink[:, None], (1, 2)), np.zeros((count, 3)),
                0.3 * signals.mouth, signals.gaze_rad, np.zeros(count), valid, audio_of(signals, audio_width), split,
            ),
            plate_of(size_px), None, _truth(signals, np.flatnonzero(split), size_px),
        )  # fmt: skip
    return folder


def _truth(signals: Signals, rows: ndarray, size_px: int) -> TalkerTruth:
    """Each held-out frame with its yaw, then with its pitch, turned to the other side."""
    frames, gazes, images, eyes = [], [], [], []
    for row in rows:
        for flip in ([1.0, -1.0], [-1.0, 1.0]):
            other = signals.gaze_rad.copy()
            other[row] *= flip
            image, labels, _ = draw(replace(signals, gaze_rad=other), int(row), size_px)
            frames.append(row)
            gazes.append(other[row])
            images.append(image)
            eyes.append(np.where((labels == LEFT_EYE) | (labels == RIGHT_EYE), labels, 0))
    place = np.searchsorted(rows, frames)
    return TalkerTruth(np.array(frames), place, np.array(gazes), np.stack(images), np.stack(eyes).astype(np.uint8))
