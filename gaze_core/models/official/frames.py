"""Between our frames and the published ones: head parameters to codes, canonical Gaussians to our head frame.

Published: x_world = scale R(pose) x_canonical + T in decimetres; canonical axes are ours turned by 180 degrees about x.
Our head frame has its origin between the eyeballs, so the model carries `origin_m`: where that lies, from its own
landmarks, relative to the canonical origin, along our axes.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gaze_core.config import Config
from gaze_core.data.adapters.units import METRES_PER_DM
from gaze_core.data.batch import HeadParameters
from gaze_core.geometry.cameras import Camera, rigid_transform
from gaze_core.geometry.rotations import axis_angle_from_matrix, multiply_quaternions
from gaze_core.models.blocks import positional_encoding
from gaze_core.models.conditioning import mean_gaze
from gaze_core.models.official.clouds import CanonicalGaussians, Codes
from gaze_core.splat.gaussians import Gaussians

# The camera of the published face fits; its rotation is given to four digits. Decimetres.
_CAMERA_ROTATION = [[0.9988, 0.0097, -0.0486], [0.0105, -0.9998, 0.0149], [-0.0485, -0.0154, -0.9987]]
_CAMERA_TRANSLATION_DM = [0.0255, 0.1288, 6.2085]
_HALF_TURN_ABOUT_X = [0.0, 1.0, 0.0, 0.0]  # wxyz; canonical axes to ours


class OfficialConfig(Config):
    """How the published model is used.

    `scale` is the published scale of a head, which subject files do not hold; at 1 canonical units are decimetres.
    `recordings` says what it is fed with: `published` are converted GazeGaussian files, whose world and codes are those
    of its training; `any` are others, for which the codes are left neutral (theirs are of another basis) and the head
    pose is told in the world of the published camera.
    """

    image_px: PositiveInt = 512
    raster_px: PositiveInt = 128
    scale: PositiveFloat = 1.0
    recordings: Literal["published", "any"] = "published"


def eye_corners_dm(eye_landmarks_dm: Float[Tensor, "12 3"]) -> Float[Tensor, "2 2 3"]:
    """Both corners of each eye (left, right), from the landmarks iBUG 36-47."""
    return eye_landmarks_dm[torch.tensor([[6, 9], [0, 3]])]


def to_our_axes(points_dm: Float[Tensor, "*b 3"], scale: float) -> Float[Tensor, "*b 3"]:
    """Canonical points along our head frame's axes, in metres, about the canonical origin."""
    return points_dm * points_dm.new_tensor([1.0, -1.0, -1.0]) * (scale * METRES_PER_DM)


def to_head_frame(
    gaussians: CanonicalGaussians, scale: float, origin_m: Float[Tensor, "3"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means, quaternions, scales, opacities and features in our head frame, metres.

    The published code moves them on to the world by R, T and scale; here the camera is seen from the head instead.
    """
    turn = gaussians.quats_wxyz.new_tensor(_HALF_TURN_ABOUT_X).expand_as(gaussians.quats_wxyz)
    return (
        to_our_axes(gaussians.means_dm, scale) - origin_m,
        multiply_quaternions(turn, gaussians.quats_wxyz),
        gaussians.scales_dm * (scale * METRES_PER_DM),
        gaussians.opacities,
        gaussians.features,
    )


def stacked(clouds: list[tuple[Tensor, ...]]) -> Gaussians:
    """One batch element for each cloud."""
    return Gaussians(*(torch.stack(values) for values in zip(*clouds, strict=True)))


def shape_codes(head: HeadParameters, config: OfficialConfig) -> Float[Tensor, "b 144"]:
    """Expression (64), then identity (80)."""
    codes = torch.cat([head.expression_code, head.identity_code], dim=-1)
    return codes if config.recordings == "published" else torch.zeros_like(codes)


def poses(
    camera: Camera, head: HeadParameters, config: OfficialConfig, origin_m: Float[Tensor, "3"]
) -> Float[Tensor, "b 6"]:
    """The published pose of each head: axis-angle of canonical-to-world, and translation in decimetres.

    The published origin of a subject is known only through the model's landmarks: a subject whose eyes lie elsewhere in
    its own canonical space is moved by the difference.
    """
    to_world = head.head_to_world
    if config.recordings == "any":
        published = rigid_transform(
            to_world.new_tensor(_CAMERA_ROTATION), to_world.new_tensor(_CAMERA_TRANSLATION_DM) * METRES_PER_DM
        )
        to_world = torch.linalg.inv(published) @ camera.world_to_camera @ to_world
    rotation = to_world[:, :3, :3]
    translation_m = to_world[:, :3, 3] - rotation @ origin_m
    canonical = rotation @ rotation.new_tensor([1.0, -1.0, -1.0]).diag()
    return torch.cat([axis_angle_from_matrix(canonical), translation_m / METRES_PER_DM], dim=-1)


def codes_of(camera: Camera, head: HeadParameters, config: OfficialConfig, origin_m: Tensor) -> list[Codes]:
    """What the networks are told of each sample. Published pitch grows downward, and both eyes share one gaze."""
    gaze = mean_gaze(head) * head.gaze_head_eyes.new_tensor([-1.0, 1.0])
    rows = (
        shape_codes(head, config),
        positional_encoding(poses(camera, head, config, origin_m)),
        positional_encoding(gaze),
    )
    return [Codes(*row) for row in zip(*rows, strict=True)]
