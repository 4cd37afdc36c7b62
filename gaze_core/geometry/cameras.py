"""Pinhole cameras. x right, y down, z forward; extrinsics are world-to-camera; pixel centres at +0.5."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Camera:
    """B pinhole cameras of one image size. Lengths in metres, intrinsics in pixels of an image of `size_px`."""

    intrinsics_px: Float[Tensor, "b 3 3"]
    world_to_camera: Float[Tensor, "b 4 4"]
    size_px: tuple[int, int]  # (width, height)

    def resized(self, size_px: tuple[int, int]) -> "Camera":
        """The same view sampled at another image size."""
        factors = [new / old for new, old in zip(size_px, self.size_px, strict=True)]
        scale = self.intrinsics_px.new_tensor([*factors, 1.0]).diag()
        return Camera(scale @ self.intrinsics_px, self.world_to_camera, size_px)

    def seen_from(self, frame_to_world: Float[Tensor, "b 4 4"]) -> "Camera":
        """The camera whose world is another frame, for example the head's."""
        return Camera(self.intrinsics_px, self.world_to_camera @ frame_to_world, self.size_px)

    def project(self, points_world_m: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 2"]:
        """Pixel coordinates of points in front of the camera."""
        points = transform_points(self.world_to_camera, points_world_m) @ self.intrinsics_px.transpose(-1, -2)
        return points[..., :2] / points[..., 2:]


def transform_points(rigid: Float[Tensor, "*b 4 4"], points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Applies a rigid (or affine) 4 x 4 transform to points."""
    return points @ rigid[..., :3, :3].transpose(-1, -2) + rigid[..., None, :3, 3]


def rigid_transform(rotation: Float[Tensor, "*b 3 3"], translation_m: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4 4"]:
    """The 4 x 4 matrix of x -> R x + t."""
    upper = torch.cat([rotation, translation_m[..., None]], dim=-1)
    lower = upper.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*upper.shape[:-2], 1, 4)
    return torch.cat([upper, lower], dim=-2)
