"""Conversion between our frames and the published ones: head parameters to codes, canonical Gaussians to our head frame.

Published: x_world = scale R(pose) x_canonical + T in decimetres; canonical axes are ours rotated by 180 degrees about x.
Our head frame has its origin between the eyeballs. A converted file gives, for each frame, the offset of that origin from
the canonical origin along our axes, the scale, and the frame of the gaze label. For other recordings the model's own
landmarks and the configured scale are used.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gaze_core.config import Config
from gaze_core.data.adapters.units import METRES_PER_DM
from gaze_core.data.batch import HeadParameters, PublishedFit
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
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

    `recordings` says what its input is: `published` means converted GazeGaussian files, whose world, codes, scale and
    gaze label are those of its training. `any` means other recordings: their codes are zero (they use another basis),
    `scale` is the size of every head (at 1, canonical units are decimetres), and the head pose is given in the world of
    the published camera.
    """

    image_px: PositiveInt = 512
    raster_px: PositiveInt = 128
    scale: PositiveFloat = 1.0
    recordings: Literal["published", "any"] = "published"


@dataclass(frozen=True, eq=False)
class Placement:
    """Size and canonical origin of each head, as in the module docstring."""

    scale: Float[Tensor, " b"]
    origin_m: Float[Tensor, "b 3"]


def placement(head: HeadParameters, config: OfficialConfig, origin_m: Float[Tensor, "3"]) -> Placement:
    """The placement of each head: from its file, or the configured scale with the model's `origin_m`.

    Raises:
        BadInput: converted GazeGaussian files are expected, and a head comes from another file.
    """
    if config.recordings == "published":
        fit = published_fit(head)
        return Placement(fit.scale, fit.origin_m)
    count = len(head.head_to_world)
    return Placement(origin_m.new_full((count,), config.scale), origin_m.expand(count, 3))


def published_fit(head: HeadParameters) -> PublishedFit:
    """The published fits of these heads, from their files.

    Raises:
        BadInput: they do not come from converted GazeGaussian files.
    """
    if head.published is None or not bool(head.published.known.all()):
        raise BadInput(
            "the imported GazeGaussian expects a converted GazeGaussian file with the published scale, origin and gaze "
            "label; found a subject file without them; convert the published file again (gazeworks data convert), or "
            "for other recordings import with --recordings any"
        )
    return head.published


def official_view(camera: Camera, config: OfficialConfig) -> Camera:
    """The camera of the published loader, which uses the image centre as principal point."""
    if config.recordings == "any":
        return camera
    intrinsics = camera.intrinsics_px.clone()
    intrinsics[:, :2, 2] = intrinsics.new_tensor(camera.size_px) / 2
    return replace(camera, intrinsics_px=intrinsics)


def eye_corners_dm(eye_landmarks_dm: Float[Tensor, "12 3"]) -> Float[Tensor, "2 2 3"]:
    """Both corners of each eye (left, right), from the landmarks iBUG 36-47."""
    return eye_landmarks_dm[torch.tensor([[6, 9], [0, 3]])]


def to_our_axes(points_dm: Float[Tensor, "*b 3"], scale: Tensor | float) -> Float[Tensor, "*b 3"]:
    """Canonical points along our head frame's axes, in metres, about the canonical origin."""
    return points_dm * points_dm.new_tensor([1.0, -1.0, -1.0]) * (scale * METRES_PER_DM)


def to_head_frame(
    gaussians: CanonicalGaussians, scale: Float[Tensor, ""], origin_m: Float[Tensor, "3"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means, quaternions, scales, opacities and features in our head frame, metres.

    The published code then transforms them to the world by R, T and scale; here the camera moves to the head frame instead.
    """
    rotation = gaussians.quats_wxyz.new_tensor(_HALF_TURN_ABOUT_X).expand_as(gaussians.quats_wxyz)
    return (
        to_our_axes(gaussians.means_dm, scale) - origin_m,
        multiply_quaternions(rotation, gaussians.quats_wxyz),
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
    camera: Camera, head: HeadParameters, config: OfficialConfig, origin_m: Float[Tensor, "b 3"]
) -> Float[Tensor, "b 6"]:
    """The published pose of each head: axis-angle of canonical-to-world, and translation in decimetres."""
    to_world = head.head_to_world
    if config.recordings == "any":
        published = rigid_transform(
            to_world.new_tensor(_CAMERA_ROTATION), to_world.new_tensor(_CAMERA_TRANSLATION_DM) * METRES_PER_DM
        )
        to_world = torch.linalg.inv(published) @ camera.world_to_camera @ to_world
    rotation = to_world[:, :3, :3]
    translation_m = to_world[:, :3, 3] - (rotation @ origin_m[..., None])[..., 0]
    canonical = rotation @ rotation.new_tensor([1.0, -1.0, -1.0]).diag()
    return torch.cat([axis_angle_from_matrix(canonical), translation_m / METRES_PER_DM], dim=-1)


def label_gaze(head: HeadParameters, config: OfficialConfig) -> Float[Tensor, "b 2"]:
    """The gaze in the published convention: in the frame of the label's own head pose, pitch positive downward.

    Both eyes share one gaze.
    """
    gaze = mean_gaze(head)
    if config.recordings == "published":
        rotation = published_fit(head).gaze_rotation
        gaze = pitchyaw_from_vector((rotation @ vector_from_pitchyaw(gaze)[..., None])[..., 0])
    return gaze * gaze.new_tensor([-1.0, 1.0])


def codes_of(
    camera: Camera, head: HeadParameters, config: OfficialConfig, origin_m: Float[Tensor, "b 3"]
) -> list[Codes]:
    """The codes of each sample; `origin_m` as in `Placement`."""
    rows = (
        shape_codes(head, config),
        positional_encoding(poses(camera, head, config, origin_m)),
        positional_encoding(label_gaze(head, config)),
    )
    return [Codes(*row) for row in zip(*rows, strict=True)]
