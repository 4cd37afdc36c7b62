"""The images of a report: held-out heads as recorded, as rendered, and rendered at target gazes and poses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gaze_core.data.batch import GazeBatch, HeadParameters
from gaze_core.evaluation.judge import Judge
from gaze_core.evaluation.metrics import gaze_error_deg
from gaze_core.evaluation.renderings import Prediction, Redirector, gaze_in_camera, redirect, render
from gaze_core.geometry.cameras import Camera, rigid_transform
from gaze_core.geometry.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from gaze_core.geometry.rotations import eye_rotation

PitchYawDeg = tuple[float, float]
CURVE_GAZES_DEG: tuple[PitchYawDeg, ...] = (
    *((0.0, yaw) for yaw in range(-30, 31, 6)),
    *((pitch, 0.0) for pitch in (-18.0, -12.0, -6.0, 6.0, 12.0, 18.0)),
)
"""The gazes, `[pitch, yaw]` in the head, of the curve whose points show their images."""
NUM_CURVE_HEADS = 2


@dataclass(frozen=True)
class ReportTargets:
    """Targets of the heads in a report, in degrees: gazes in the head frame, poses in the camera frame."""

    gazes_deg: Sequence[PitchYawDeg]
    poses_deg: Sequence[PitchYawDeg]


def report_images(
    redirector: Redirector, heads: Sequence[tuple[str, GazeBatch]], targets: ReportTargets, judge: Judge
) -> dict[str, np.ndarray]:
    """uint8 images of each (subject, frame), under the names that `report_images.ReportImages` reads."""
    rows = [_head(redirector, batch, targets) for _, batch in heads]
    curves = [_curve(redirector, batch, judge) for _, batch in heads[:NUM_CURVE_HEADS]]
    labels = {
        "heads": [f"{subject}, frame {int(batch.sample_index[0])}" for subject, batch in heads],
        "gazes": [f"gaze {pitch:+.0f}°, {yaw:+.0f}°" for pitch, yaw in targets.gazes_deg],
        "poses": [f"head {pitch:+.0f}°, {yaw:+.0f}°" for pitch, yaw in targets.poses_deg],
        "curve": CURVE_GAZES_DEG,
    }
    return {
        **{name: np.stack([row[name] for row in rows]) for name in rows[0]},
        **{name: np.stack([curve[name] for curve in curves]) for name in curves[0]},
        "labels": np.array(json.dumps(labels)),
    }


def _head(redirector: Redirector, batch: GazeBatch, targets: ReportTargets) -> dict[str, np.ndarray]:
    head, camera = batch.head, batch.camera
    gazes = [render(redirector, camera, head.with_gaze(radians(gaze, batch))) for gaze in targets.gazes_deg]
    poses = [
        render(redirector, camera, head.with_pose(facing_pose(camera, head, radians(pose, batch))))
        for pose in targets.poses_deg
    ]
    eyes = [eye_crops(images, batch.landmarks_2d_px) for images in (batch.rgb_on_white, *gazes)]
    return {
        "original": _as_uint8(batch.rgb_on_white)[0],
        "reconstruction": _as_uint8(render(redirector, camera, head))[0],
        "gazes": _as_uint8(torch.cat(gazes)),
        "poses": _as_uint8(torch.cat(poses)),
        "eyes": _as_uint8(torch.cat(eyes)),
    }


def _curve(redirector: Redirector, batch: GazeBatch, judge: Judge) -> dict[str, np.ndarray]:
    """Each gaze of `CURVE_GAZES_DEG`: eyes, angle between original and target gaze, errors of the rendering and of a copy."""
    original = Prediction.of(judge, batch.rgb_on_white)
    rendered, numbers = [], []
    for angle in CURVE_GAZES_DEG:
        gaze = radians(angle, batch)
        image, prediction = redirect(redirector, batch, gaze, judge)
        target_gaze = gaze_in_camera(batch, gaze)
        moved = gaze_error_deg(batch.gaze_camera, target_gaze)
        numbers.append(
            torch.stack([moved, prediction.gaze_error_deg(target_gaze), original.gaze_error_deg(target_gaze)])
        )
        rendered.append(eye_crops(image, batch.landmarks_2d_px))
    return {
        "curve_eyes": _as_uint8(torch.cat(rendered)),
        "curve_deg": torch.cat(numbers, dim=1).T.cpu().double().numpy(),
    }


def eye_crops(
    images: Float[Tensor, "b 3 h w"], landmarks_px: Float[Tensor, "b 68 2"], size_px: tuple[int, int] = (160, 64)
) -> Float[Tensor, "b 3 k l"]:
    """Both eyes of each image, enlarged to `size_px` (width, height): 1.5 times as wide as the outer corners are apart."""
    corners = landmarks_px[:, [RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    half_width = (corners[:, 1] - corners[:, 0]).norm(dim=-1) * 0.75
    half_size = torch.stack([half_width, half_width * size_px[1] / size_px[0]], dim=-1)
    extent = images.new_tensor([images.shape[-1], images.shape[-2]])
    theta = torch.cat([(2 * half_size / extent).diag_embed(), (2 * corners.mean(1) / extent - 1)[..., None]], dim=-1)
    grid = functional.affine_grid(theta, [len(images), 3, size_px[1], size_px[0]], align_corners=False)
    return functional.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)


def facing_pose(camera: Camera, head: HeadParameters, pitchyaw: Float[Tensor, "b 2"]) -> Float[Tensor, "b 4 4"]:
    """Head-to-world of a head that stays where it is and faces `[pitch, yaw]` in the camera frame, without roll."""
    to_camera = camera.world_to_camera @ head.head_to_world
    facing = rigid_transform(eye_rotation(pitchyaw), to_camera[:, :3, 3])
    return torch.linalg.inv(camera.world_to_camera) @ facing


def radians(pitchyaw_deg: PitchYawDeg, batch: GazeBatch) -> Float[Tensor, "b 2"]:
    """One angle for each sample of the batch."""
    return torch.deg2rad(batch.gaze_head.new_tensor(pitchyaw_deg)).expand(len(batch), 2)


def _as_uint8(images: Float[Tensor, "b 3 h w"]) -> np.ndarray:
    return (images.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().cpu().numpy()
