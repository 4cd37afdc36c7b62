"""Tiny files in exactly the published layouts, their labels by formulas of their own: nothing here imports an adapter.

A `Scene` is one image of a head with known gaze, drawn so that a bright dot lies on each eye where it looks.
`mirrored` is the scene in a mirror; each writer turns scenes into one layout's numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

SIZE_PX, DISTANCE_M = 64, 0.62
MIRROR = np.diag([-1.0, 1.0, 1.0])
SKIN, WHITE, DOT = np.array([90, 100, 120]), np.array([240, 240, 240]), np.array([250, 220, 40])
EYE_CENTERS_M = np.array([[0.031, 0.0, 0.0], [-0.031, 0.0, 0.0]])  # (left, right), head frame
BFM_ORIGIN_M = np.array([0.0, 0.012, 0.05])  # of the canonical frame, in the head's
TO_HEAD_AXES = np.diag([1.0, -1.0, -1.0])
# Near GazeGaussian's camera (x right, y up, z toward it) but clearly no symmetric matrix, so a transpose shows.
WORLD_TO_CAMERA = np.array([[0.98, 0.17, -0.1], [0.19, -0.95, 0.25], [-0.05, -0.26, -0.96]])
WORLD_TO_CAMERA = np.linalg.qr(WORLD_TO_CAMERA)[0] * np.sign(np.diag(np.linalg.qr(WORLD_TO_CAMERA)[1]))
WORLD_SHIFT_DM = np.array([0.0255, 0.1288, 6.2085])
KEPT_66 = [i for i in range(68) if i not in (48, 54)]
PAIRS = np.r_[  # the landmark that each becomes in a mirror
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, [45, 44, 43, 42, 47, 46], [39, 38, 37, 36, 41, 40],
    [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scene:
    """One image. Pixel centres are integers, as in the published files; (left, right) are the subject's own."""

    image: np.ndarray  # RGB
    head_mask: np.ndarray
    eye_masks: np.ndarray  # (2, h, w)
    eye_centers_px: np.ndarray  # (2, 2)
    landmarks_px: np.ndarray
    landmarks_camera_m: np.ndarray
    intrinsics_px: np.ndarray
    head_to_camera: np.ndarray  # rotation, without roll
    head_camera_m: np.ndarray
    gaze: np.ndarray  # unit vector to the target, camera frame
    gaze_eyes: np.ndarray  # (2, 3)
    world_to_camera: np.ndarray
    world_shift_dm: np.ndarray
    codes: np.ndarray
    frame: int
    camera: int


def make_scene(seed: int, width_px: int = SIZE_PX, height_px: int = SIZE_PX, frame: int = 0, camera: int = 0) -> Scene:
    rng = np.random.default_rng(seed)
    pitch, yaw = rng.choice([-1, 1], 2) * rng.uniform([0.1, 0.2], [0.35, 0.5])
    head_pitch, head_yaw = rng.uniform([-0.15, -0.3], [0.15, 0.3])
    into = np.array([np.cos(head_pitch) * np.sin(head_yaw), np.sin(head_pitch), np.cos(head_pitch) * np.cos(head_yaw)])
    right = np.array([np.cos(head_yaw), 0.0, -np.sin(head_yaw)])
    head = np.stack([right, np.cross(into, right), into], axis=1)
    focal_px = 2.03 * width_px
    intrinsics = np.array([[focal_px, 0, width_px / 2], [0, focal_px, height_px / 2], [0, 0, 1.0]])
    position = np.array([0.004, 0.002, DISTANCE_M])
    landmarks = landmarks_head_m() @ head.T + position
    eyes_px = project(EYE_CENTERS_M @ head.T + position, intrinsics)
    gaze = vector(pitch, yaw)
    y, x = np.mgrid[:height_px, :width_px]
    head_mask = (x - width_px / 2 - 3) ** 2 + (y - height_px / 2) ** 2 < (0.45 * height_px) ** 2
    image = np.where(head_mask[..., None], SKIN, 30 + (x + 2 * y)[..., None] % 40)
    eye_masks = []
    for center, radius_px in zip(eyes_px, (5.2, 4.6), strict=True):
        white = (x - center[0]) ** 2 + (y - center[1]) ** 2 < radius_px**2
        dot = center + 6 * gaze[:2]
        weight = np.exp(-0.5 * ((x - dot[0]) ** 2 + (y - dot[1]) ** 2) / 1.2**2)[..., None]
        image = np.where(white[..., None], WHITE * (1 - weight) + DOT * weight, image)
        eye_masks.append(white)
    return Scene(
        image=np.round(image).astype(np.uint8),
        head_mask=head_mask.astype(np.uint8) * 255,
        eye_masks=np.stack(eye_masks).astype(np.uint8) * 255,
        eye_centers_px=eyes_px,
        landmarks_px=project(landmarks, intrinsics),
        landmarks_camera_m=landmarks,
        intrinsics_px=intrinsics,
        head_to_camera=head,
        head_camera_m=position,
        gaze=gaze,
        gaze_eyes=np.stack([vector(pitch, yaw + 0.03), vector(pitch, yaw - 0.03)]),
        world_to_camera=WORLD_TO_CAMERA,
        world_shift_dm=WORLD_SHIFT_DM,
        codes=rng.normal(size=306),
        frame=frame,
        camera=camera,
    )


def make_scenes(count: int = 3, seed: int = 0, width_px: int = SIZE_PX, height_px: int = SIZE_PX) -> list[Scene]:
    return [make_scene(100 * seed + i, width_px, height_px, frame=i // 2, camera=i % 2) for i in range(count)]


def mirrored(scene: Scene) -> Scene:
    """The mirrored scene: all points, directions and sides change with the image."""
    last_px = scene.image.shape[1] - 1
    intrinsics = scene.intrinsics_px.copy()
    intrinsics[0, 2] = last_px - intrinsics[0, 2]
    return replace(
        scene,
        image=scene.image[:, ::-1],
        head_mask=scene.head_mask[:, ::-1],
        eye_masks=scene.eye_masks[::-1, :, ::-1],
        eye_centers_px=scene.eye_centers_px[::-1] * [-1, 1] + [last_px, 0],
        landmarks_px=scene.landmarks_px[PAIRS] * [-1, 1] + [last_px, 0],
        landmarks_camera_m=scene.landmarks_camera_m[PAIRS] @ MIRROR,
        intrinsics_px=intrinsics,
        head_to_camera=MIRROR @ scene.head_to_camera @ MIRROR,
        head_camera_m=MIRROR @ scene.head_camera_m,
        gaze=MIRROR @ scene.gaze,
        gaze_eyes=scene.gaze_eyes[::-1] @ MIRROR,
        world_to_camera=MIRROR @ scene.world_to_camera @ MIRROR,
        world_shift_dm=MIRROR @ scene.world_shift_dm,
    )


def vector(pitch: float, yaw: float) -> np.ndarray:
    """x right, y down, z away from the camera; (0, 0) into the lens, pitch up, yaw to image left."""
    return np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])


def project(points_m: np.ndarray, intrinsics_px: np.ndarray) -> np.ndarray:
    pixels = points_m @ intrinsics_px.T
    return pixels[:, :2] / pixels[:, 2:]


def landmarks_head_m() -> np.ndarray:
    """68 points, symmetric in x under PAIRS; eye corners lie where an eyeball's centre is expected behind them."""
    rng = np.random.default_rng(7)
    points = rng.uniform([-0.06, -0.05, -0.02], [0.06, 0.1, 0.03], (68, 3))
    for index, other in enumerate(PAIRS):
        points[other] = points[index] * [-1, 1, 1] if other != index else points[index] * [0, 1, 1]
    left, right = EYE_CENTERS_M - np.array([[0.001, -0.0018, 0.0065], [-0.001, -0.0018, 0.0065]])
    width = np.array([0.014, 0.0, 0.0])
    points[[42, 45]] = [left - width, left + width]
    points[[36, 39]] = [right - width, right + width]
    points[[48, 54]] = [[-0.025, 0.065, 0.002], [0.025, 0.065, 0.002]]
    points[[60, 64]] = [[-0.021, 0.065, 0.0], [0.021, 0.065, 0.0]]
    return points


def camera_label(direction: np.ndarray) -> np.ndarray:
    """`[pitch, yaw]` of ETH-XGaze, STED, FAZE and MPIIFaceGaze."""
    x, y, z = direction
    return np.array([np.arcsin(-y), np.arctan2(-x, -z)])


def head_label(rotation: np.ndarray) -> np.ndarray:
    """`face_head_pose`, of the head's z axis."""
    x, y, z = rotation[:, 2]
    return np.array([np.arcsin(y), np.arctan2(x, z)])


def write_eth_xgaze(path: Path, scenes: Sequence[Scene], labelled: bool = True, landmarks: bool = True) -> Path:
    rotation = np.array([[0.96, 0.0, 0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, 0.96]])
    columns = {
        "frame_index": [[s.frame] for s in scenes],
        "cam_index": [[s.camera] for s in scenes],
        "face_mat_norm": [rotation for _ in scenes],
        "face_head_pose": [head_label(s.head_to_camera) for s in scenes],
    }
    if landmarks:
        columns["facial_landmarks"] = [s.landmarks_px for s in scenes]
    if labelled:
        columns["face_gaze"] = [camera_label(s.gaze) for s in scenes]
    with h5py.File(path, "w") as file:
        _images(file, "face_patch", [s.image[..., ::-1] for s in scenes])
        for key, values in columns.items():
            file.create_dataset(key, data=np.array(values), chunks=(1, *np.shape(values)[1:]))
    return path


def write_gazenerf(path: Path, scenes: Sequence[Scene], codes: int = 306) -> Path:
    head_gaze = [s.head_to_camera.T @ s.gaze for s in scenes]
    columns = {
        "frame_index": np.array([[s.frame % 256] for s in scenes], dtype=np.uint8),
        "cam_index": np.array([[s.camera] for s in scenes], dtype=np.uint8),
        "facial_landmarks": [s.landmarks_px for s in scenes],
        "latent_codes": [s.codes[:codes] for s in scenes],
        "w2c_Rmat": [s.world_to_camera for s in scenes],
        "w2c_Tvec": [s.world_shift_dm for s in scenes],
        "c2w_Rmat": [s.world_to_camera.T for s in scenes],
        "c2w_Tvec": [-s.world_to_camera.T @ s.world_shift_dm for s in scenes],
        "inmat": [s.intrinsics_px for s in scenes],
        "inv_inmat": [np.linalg.inv(s.intrinsics_px) for s in scenes],
        "pitchyaw": [[960.0, 540.0] for _ in scenes],  # of the screen, pixels
        "pitchyaw_3d": [[12.0, -30.0, 5.0] for _ in scenes],  # millimetres
        "pitchyaw_head": [[np.arcsin(v[1]), np.arctan2(-v[0], -v[2])] for v in head_gaze],
        "face_head_pose": [head_label(s.head_to_camera) for s in scenes],
    }
    with h5py.File(path, "w") as file:
        _images(file, "face_patch", [s.image[..., ::-1] for s in scenes])
        _images(file, "head_mask", [s.head_mask for s in scenes])
        _images(file, "left_eye_mask", [s.eye_masks[1] for s in scenes])  # of the image's left half
        _images(file, "right_eye_mask", [s.eye_masks[0] for s in scenes])
        for key, values in columns.items():
            file.create_dataset(key, data=np.array(values), chunks=(1, *np.shape(values)[1:]))
    return path


def write_gazegaussian(path: Path, scenes: Sequence[Scene], landmarks_in_world: bool = False) -> Path:
    write_gazenerf(path, scenes, codes=251)
    poses, landmarks = [], []
    for s in scenes:
        to_world = s.world_to_camera.T
        origin_dm = 10 * (s.head_to_camera @ BFM_ORIGIN_M + s.head_camera_m)
        turn = to_world @ s.head_to_camera @ TO_HEAD_AXES
        poses.append(np.r_[axis_angle(turn), to_world @ (origin_dm - s.world_shift_dm)])
        points_dm = 10 * s.landmarks_camera_m[KEPT_66]
        landmarks.append((points_dm - s.world_shift_dm) @ to_world.T if landmarks_in_world else points_dm)
    with h5py.File(path, "a") as file:
        file["pose"] = np.array(poses).reshape(-1, 6)
        file["scale"] = np.full((len(scenes), 1), 0.15)
        file["facial_landmarks_3d"] = np.array(landmarks).reshape(-1, 66, 3)
        file.create_dataset("vertice", (len(scenes), 35709, 3), "float32", chunks=(1, 35709, 3), compression="lzf")
    return path


def write_mpii_mat(path: Path, scenes: Sequence[Scene]) -> Path:
    labels = np.zeros((len(scenes), 16))
    for row, s in zip(labels, scenes, strict=True):
        row[:2], row[2:4] = camera_label(s.gaze), head_label(s.head_to_camera)
    with h5py.File(path, "w") as file:
        images = np.stack([s.image[..., ::-1].transpose(2, 0, 1) for s in scenes]).astype(np.float32)
        file.create_dataset("Data/data", data=images, chunks=(1, *images.shape[1:]), compression="gzip")
        file["Data/label"] = labels
    return path


def write_mpii_h5(path: Path, people: Mapping[str, Sequence[Scene]]) -> Path:
    with h5py.File(path, "w") as file:
        for name, scenes in people.items():
            for index, s in enumerate(scenes):
                file.create_dataset(f"{name}/image/{index:04}", data=s.image[..., ::-1], chunks=s.image.shape)
                file[f"{name}/pose/{index:04}"] = head_label(s.head_to_camera).astype(np.float32)
                file[f"{name}/gaze/{index:04}"] = camera_label(s.gaze).astype(np.float32)
    return path


def write_sted(path: Path, people: Mapping[str, Sequence[Scene]], columns: int = 8, bgr: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        for name, scenes in people.items():
            labels = [
                np.r_[camera_label(s.gaze), head_label(s.head_to_camera), *map(camera_label, s.gaze_eyes)]
                for s in scenes
            ]  # fmt: skip
            group = file.create_group(name)
            images = [s.image[..., ::-1] if bgr else s.image for s in scenes]
            if scenes:
                _images(group, "pixels", images)
            else:
                group.create_dataset("pixels", (0, SIZE_PX, SIZE_PX, 3), "uint8")
            group["labels"] = np.array(labels, dtype=np.float32).reshape(-1, 8)[:, :columns]
    return path


def axis_angle(rotation: np.ndarray) -> np.ndarray:
    """so(3) logarithm, by the eigenvector of eigenvalue 1, so that turns near 180 degrees are exact."""
    values, vectors = np.linalg.eig(rotation)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return axis * np.arctan2(-np.trace(skew @ rotation) / 2, (np.trace(rotation) - 1) / 2)


def _images(group: h5py.Group, key: str, images: Sequence[np.ndarray]) -> None:
    data = np.stack(images)
    group.create_dataset(key, data=data, chunks=(1, *data.shape[1:]), compression="lzf")
