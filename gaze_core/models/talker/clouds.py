"""The sets of Gaussians of a talking head, and colours as spherical harmonics."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

SH_0 = 0.28209479177387814  # the constant harmonic
_SH_1 = 0.4886025119029199
_SH_2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
_SH_3 = (
    -0.5900435899266435, 2.890611442640554, -0.4570457994644658, 0.3731763325901154, -0.4570457994644658,
    1.445305721320277, -0.5900435899266435,
)  # fmt: skip


class GaussianSet(nn.Module):
    """N Gaussians with raw attributes: log scales (metres), opacity logits, and colours as spherical harmonics.

    `feature_width` > 0 gives each its own learned feature; otherwise the tri-plane gives it one.
    """

    def __init__(self, num_points: int, num_sh: int, feature_width: int = 0) -> None:
        super().__init__()
        self.means_m = nn.Parameter(torch.zeros(num_points, 3))
        self.log_scales = nn.Parameter(torch.full((num_points, 3), -6.0))
        self.quats_wxyz = nn.Parameter(torch.tensor([1.0, 0, 0, 0]).repeat(num_points, 1))
        self.opacity_logits = nn.Parameter(torch.zeros(num_points, 1))
        self.colors = nn.Parameter(torch.zeros(num_points, 3 * num_sh))
        self.features = nn.Parameter(0.3 * torch.randn(num_points, feature_width)) if feature_width else None

    @property
    def num_points(self) -> int:
        """The number of Gaussians."""
        return len(self.means_m)

    @torch.no_grad()
    def place(
        self,
        means_m: Float[Tensor, "n 3"],
        rgb: Float[Tensor, "n 3"],
        scale_m: Float[Tensor, " n"],
        opacity_logit: float,
    ) -> None:
        """Sets the initial values: isotropic Gaussians of standard deviation `scale_m`."""
        self.means_m.copy_(means_m)
        self.log_scales.copy_(scale_m.log()[:, None].expand(-1, 3))
        self.opacity_logits.fill_(opacity_logit)
        self.colors.unflatten(1, (-1, 3))[:, 0] = (rgb - 0.5) / SH_0


def rgb_from_harmonics(colors: Float[Tensor, "b n c"], directions: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 3"]:
    """Colours (>= 0) seen along unit `directions` from the camera; real harmonics up to degree 3, as in 3DGS.

    c is 3 times the number of harmonics, ordered harmonic by harmonic.
    """
    sh = colors.unflatten(2, (-1, 3))
    found = SH_0 * sh[:, :, 0]
    if sh.shape[2] > 1:
        found = found + (_basis(directions)[..., : sh.shape[2] - 1, None] * sh[:, :, 1:]).sum(dim=2)
    return (found + 0.5).clamp_min(0)


def _basis(directions: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n 15"]:
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    first = [-_SH_1 * y, _SH_1 * z, -_SH_1 * x]
    second = [x * y, y * z, 2 * zz - xx - yy, x * z, xx - yy]
    third = [
        y * (3 * xx - yy), x * y * z, y * (4 * zz - xx - yy), z * (2 * zz - 3 * xx - 3 * yy), x * (4 * zz - xx - yy),
        z * (xx - yy), x * (xx - 3 * yy),
    ]  # fmt: skip
    rows = [
        *first,
        *(c * v for c, v in zip(_SH_2, second, strict=True)),
        *(c * v for c, v in zip(_SH_3, third, strict=True)),
    ]
    return torch.stack(rows, dim=-1)
