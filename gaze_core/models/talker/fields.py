"""The tri-plane: a feature for each point of space, and the heads that decode a canonical appearance from it.

Shapes and initial values as in GaussianTalker (Cho et al. 2024), whose dense planes are those of K-planes.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_PLANES = ((0, 1), (0, 2), (1, 2))  # xy, xz, yz


class TriPlane(nn.Module):
    """Three planes at each resolution; the planes' features are multiplied, those of the resolutions concatenated.

    Positions are relative to the box of the initial points; outside of it the border is read.
    """

    box_m: Tensor

    def __init__(self, channels: int, resolutions: tuple[int, ...]) -> None:
        super().__init__()
        self.planes = nn.ParameterList(
            nn.Parameter(torch.empty(3, channels, size, size).uniform_(0.1, 0.5)) for size in resolutions
        )
        self.register_buffer("box_m", torch.tensor([[-0.1] * 3, [0.1] * 3]))

    def forward(self, points_m: Float[Tensor, "n 3"]) -> Float[Tensor, "n d"]:
        """The feature of each point, of `channels` values for each resolution."""
        low, high = self.box_m
        places = 2 * (points_m - low) / (high - low).clamp_min(1e-6) - 1
        grid = torch.stack([places[:, list(axes)] for axes in _PLANES])[:, None]  # (3, 1, n, 2)
        found = [
            functional.grid_sample(plane, grid, align_corners=True, padding_mode="border").prod(dim=0)[:, 0]
            for plane in self.planes
        ]
        return torch.cat(found).T


class AppearanceHeads(nn.Module):
    """Decodes attributes of a point from its feature: two shared layers, then a head of two for each attribute."""

    def __init__(self, width: int, outputs: dict[str, int]) -> None:
        super().__init__()
        hidden = 2 * width
        self.trunk = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.heads = nn.ModuleDict({name: offset_head(hidden, hidden, size) for name, size in outputs.items()})

    def forward(self, features: Float[Tensor, "n d"]) -> dict[str, Tensor]:
        """The raw values of each attribute, (n, size)."""
        shared = self.trunk(features)
        return {name: head(shared) for name, head in self.heads.items()}


def offset_head(width: int, hidden: int, size: int) -> nn.Sequential:
    """ReLU, linear, ReLU, linear; its first outputs are near zero."""
    last = nn.Linear(hidden, size)
    nn.init.xavier_uniform_(last.weight, gain=0.1)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.ReLU(), nn.Linear(width, hidden), nn.ReLU(), last)
