"""EWA projection of 3D Gaussians to the image plane in plain torch (Zwicker et al. 2001; numerics of gsplat 1.5.3)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gaze_core.geometry.rotations import matrix_from_quaternion

MIN_ALPHA = 1 / 255  # a Gaussian with a lower alpha at a pixel is skipped there
MIN_TRANSMITTANCE = 1e-4  # a pixel is closed below this transmittance
FRUSTUM_MARGIN = 0.3  # of the tangent of half the field of view, to which the Jacobian's point is clamped


@dataclass(frozen=True, eq=False)
class Projected:
    """N Gaussians in each of B images: centres, inverse covariances (xx, xy, yy), depths, and half the box outside of
    which alpha < 1/255, which is 0 where a Gaussian cannot touch the image.
    """

    means_px: Float[Tensor, "b n 2"]
    conics: Float[Tensor, "b n 3"]
    depths_m: Float[Tensor, "b n"]
    extents_px: Float[Tensor, "b n 2"]

    @property
    def radii_px(self) -> Int[Tensor, "b n 2"]:
        """The extents in whole pixels, as gsplat reports them."""
        return self.extents_px.ceil().int()

    def squeezed(self, index: int) -> "Projected":
        """One batch element, without the batch axis."""
        return Projected(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def project(
    means: Float[Tensor, "b n 3"],
    quats_wxyz: Float[Tensor, "b n 4"],
    scales: Float[Tensor, "b n 3"],
    opacities: Float[Tensor, "b n"],
    viewmats: Float[Tensor, "b 4 4"],
    Ks: Float[Tensor, "b 3 3"],
    size_px: tuple[int, int],
    near_m: float,
    eps2d_px: float,
) -> Projected:
    """Projects each cloud with its own camera."""
    points = means @ viewmats[:, :3, :3].transpose(-1, -2) + viewmats[:, None, :3, 3]
    in_front = points[..., 2] > near_m
    # Culled points get a safe depth, so that neither values nor gradients behind the camera become infinite.
    x, y, z = (torch.where(in_front, c, torch.ones_like(c)) for c in points.unbind(-1))
    fx, fy, cx, cy = (Ks[:, row, column, None] for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    width, height = size_px
    jacobian_x = _clamped_ratio(x / z, width, fx, cx)
    jacobian_y = _clamped_ratio(y / z, height, fy, cy)
    zero = torch.zeros_like(z)
    jacobian = torch.stack([fx / z, zero, -fx * jacobian_x / z, zero, fy / z, -fy * jacobian_y / z], dim=-1).unflatten(
        -1, (2, 3)
    )
    half = jacobian @ viewmats[:, None, :3, :3] @ (matrix_from_quaternion(quats_wxyz) * scales[..., None, :])
    covariance = half @ half.transpose(-1, -2)
    xx, xy, yy = covariance[..., 0, 0] + eps2d_px, covariance[..., 0, 1], covariance[..., 1, 1] + eps2d_px
    determinant = xx * yy - xy * xy
    conics = torch.stack([yy, -xy, xx], dim=-1) / determinant[..., None]
    means_px = torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1)
    extents = _extents(xx.detach(), yy.detach(), opacities.detach())
    low, high = means_px.detach() - extents.ceil(), means_px.detach() + extents.ceil()
    inside = (high > 0).all(-1) & (low[..., 0] < width) & (low[..., 1] < height)
    visible = in_front & inside & (opacities.detach() >= MIN_ALPHA)
    return Projected(means_px, conics, points[..., 2], extents * visible[..., None])


def _clamped_ratio(ratio: Tensor, size_px: int, focal_px: Tensor, center_px: Tensor) -> Tensor:
    """x/z limited to a little more than the field of view, where the local linearisation is still accurate."""
    margin = FRUSTUM_MARGIN * 0.5 * size_px / focal_px
    return ratio.clamp(-(center_px / focal_px) - margin, (size_px - center_px) / focal_px + margin)


def _extents(xx: Tensor, yy: Tensor, opacities: Tensor) -> Float[Tensor, "b n 2"]:
    """Half the box outside of which alpha < 1/255: sqrt(2 ln(255 o)) standard deviations, at most 3.33."""
    reach = torch.sqrt(2 * torch.log((255 * opacities).clamp_min(1.0))).clamp(max=3.33)
    return reach[..., None] * torch.stack([xx, yy], dim=-1).sqrt()
