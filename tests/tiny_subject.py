"""A small subject file for tests: an ellipsoid head with two eyeballs, ray-cast, with exact labels."""

import json
from pathlib import Path

import h5py
import numpy as np
import torch

from gaze_core.data.schema import FIELDS, SCHEMA_VERSION
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.rotations import matrix_from_axis_angle

EYES_M = np.array([[0.03, 0.0, 0.0], [-0.03, 0.0, 0.0]])  # (left, right): the subject's left is at +x
EYE_RADIUS_M = 0.014
HEAD_CENTER_M, HEAD_RADII_M = np.array([0.0, 0.02, 0.08]), np.array([0.075, 0.11, 0.085])
DISTANCE_M = 0.6
SKIN, WHITE, PUPIL = np.array([200, 150, 120]), np.array([240, 240, 240]), np.array([30, 40, 60])


def write_tiny_subject(
    path: Path, num_images: int = 20, size_px: int = 32, subject: str = "tiny", seed: int = 0, turning: float = 1.0,
    eye_radius_m: float = EYE_RADIUS_M,
) -> Path:  # fmt: skip
    """Writes a valid subject file; the last quarter is marked as held out. `turning` is relative to the usual poses."""
    rng = np.random.default_rng(seed)
    rows = [_sample(rng, size_px, index, turning, eye_radius_m) for index in range(num_images)]
    with h5py.File(path, "w") as file:
        for name, field in FIELDS.items():
            file[name] = np.stack([row[name] for row in rows]).astype(field.dtype)
        file["held_out"] = np.arange(num_images) >= num_images * 3 // 4
        file.attrs.update(
            {
                "schema_version": SCHEMA_VERSION,
                "subject": subject,
                "source": "synthetic",
                "label_source": "exact",
                "normalization": json.dumps({"size_px": size_px, "distance_m": DISTANCE_M}),
                "provenance": json.dumps({"generator": "tests/tiny_subject.py", "seed": seed}),
                "dropped": "{}",
            }
        )
    return path


def _sample(
    rng: np.random.Generator, size_px: int, index: int, turning: float, eye_radius_m: float
) -> dict[str, np.ndarray]:
    axis_angle = turning * torch.tensor(rng.uniform([-0.15, -0.3, -0.05], [0.15, 0.3, 0.05]))
    rotation = matrix_from_axis_angle(axis_angle).numpy()
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, [0, 0, DISTANCE_M]
    gaze = rng.uniform([-0.35, -0.5], [0.35, 0.5])
    gaze_vector = vector_from_pitchyaw(torch.tensor(gaze)).numpy()
    focal_px = size_px * 2.2
    intrinsics = np.array([[focal_px, 0, size_px / 2], [0, focal_px, size_px / 2], [0, 0, 1]])
    image, kind = _ray_cast(pose, intrinsics, gaze_vector, size_px, eye_radius_m)
    landmarks = _landmarks(eye_radius_m)
    camera_points = landmarks @ rotation.T + pose[:3, 3]
    pixels = camera_points @ intrinsics.T
    row = {name: np.ones(()) for name in FIELDS if name.startswith("valid/")}
    return row | {
        "image": image,
        "head_mask": 255 * (kind > 0),
        "observed_mask": np.full((size_px, size_px), 255),
        "left_eye_mask": 255 * (kind == 2),
        "right_eye_mask": 255 * (kind == 3),
        "landmarks_2d_px": pixels[:, :2] / pixels[:, 2:],
        "landmarks_3d_head_m": landmarks,
        "eye_centers_head_m": EYES_M,
        "intrinsics_px": intrinsics,
        "world_to_camera": np.eye(4),
        "head_to_world": pose,
        "gaze_camera": pitchyaw_from_vector(torch.tensor(rotation @ gaze_vector)).numpy(),
        "gaze_head": gaze,
        "gaze_head_eyes": np.stack([gaze, gaze]),
        "identity_code": np.full(80, 0.1),
        "expression_code": np.r_[rng.uniform(0, 0.5, 52), np.zeros(12)],  # without effect on the image
        "frame_index": np.array(index),
        "camera_index": np.array(0),
    }


def _ray_cast(
    pose: np.ndarray, intrinsics: np.ndarray, gaze: np.ndarray, size_px: int, eye_radius_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """RGB image, and per pixel 0 background, 1 skin, 2 left eye, 3 right eye."""
    v, u = np.mgrid[:size_px, :size_px] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(intrinsics).T @ pose[:3, :3]
    origin = -pose[:3, :3].T @ pose[:3, 3]
    bodies = [(HEAD_CENTER_M, HEAD_RADII_M), *((eye, np.full(3, eye_radius_m)) for eye in EYES_M)]
    depth, kind = np.full((size_px, size_px), np.inf), np.zeros((size_px, size_px), dtype=int)
    image = np.full((size_px, size_px, 3), 255)
    for number, (center, radii) in enumerate(bodies, start=1):
        o, d = (origin - center) / radii, rays / radii
        a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1
        discriminant = b * b - a * c
        t = np.where(discriminant > 0, (-b - np.sqrt(discriminant.clip(0))) / a, np.inf)
        nearer = t < depth
        depth, kind = np.where(nearer, t, depth), np.where(nearer, number, kind)
        normal = o + np.where(np.isfinite(t), t, 0)[..., None] * d
        color = np.broadcast_to(SKIN, image.shape) * (0.75 - 0.25 * normal[..., 2:])
        if number > 1:
            color = np.where((normal @ gaze > 0.85)[..., None], PUPIL, WHITE)
        image = np.where(nearer[..., None], color, image)
    return image.clip(0, 255).astype(np.uint8), kind


def _landmarks(eye_radius_m: float) -> np.ndarray:
    """68 points on the front of the head; each eye's six around its eyeball, the right eye (image left) first."""
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    directions = np.stack([0.7 * np.cos(angles), 0.7 * np.sin(angles), -np.full(68, 0.714)], axis=-1)
    points = HEAD_CENTER_M + HEAD_RADII_M * directions
    around = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    ring = np.stack([np.cos(around), np.sin(around), -np.full(6, 0.5)], axis=-1) * eye_radius_m
    points[36:42], points[42:48] = EYES_M[1] + ring, EYES_M[0] + ring
    return points
