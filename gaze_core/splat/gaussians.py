"""The inputs and outputs of the rasteriser."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Gaussians:
    """B clouds of N Gaussians with activated values: lengths in metres, opacities in [0, 1], scales > 0.

    The frame is the one that the camera's extrinsics map from.
    """

    means: Float[Tensor, "b n 3"]
    quats_wxyz: Float[Tensor, "b n 4"]
    scales: Float[Tensor, "b n 3"]
    opacities: Float[Tensor, "b n"]
    features: Float[Tensor, "b n c"]

    def with_features(self, features: Float[Tensor, "b n d"]) -> "Gaussians":
        """The same cloud with other features."""
        return Gaussians(self.means, self.quats_wxyz, self.scales, self.opacities, features)


def concatenate(clouds: list[Gaussians]) -> Gaussians:
    """Concatenates the Gaussians of several clouds, in order, for each batch element."""
    return Gaussians(
        torch.cat([c.means for c in clouds], dim=1),
        torch.cat([c.quats_wxyz for c in clouds], dim=1),
        torch.cat([c.scales for c in clouds], dim=1),
        torch.cat([c.opacities for c in clouds], dim=1),
        torch.cat([c.features for c in clouds], dim=1),
    )


@dataclass(frozen=True, eq=False)
class Rendering:
    """B images of a rasterised cloud. Features are composited over the background; depth is the expected depth.

    `means2d_px` keeps its gradient for densification; `radii_px` is 0 where a Gaussian was culled.
    """

    features: Float[Tensor, "b c h w"]
    alpha: Float[Tensor, "b 1 h w"]
    depth_m: Float[Tensor, "b 1 h w"]
    means2d_px: Float[Tensor, "b n 2"]
    radii_px: Int[Tensor, "b n 2"]
