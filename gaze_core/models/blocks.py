"""Building blocks shared by the models."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

NUM_OCTAVES = 4


def positional_encoding(x: Float[Tensor, "*b d"], num_octaves: int = NUM_OCTAVES) -> Float[Tensor, "*b e"]:
    """[x, sin(2^k x), cos(2^k x)] for k < num_octaves; e = d (1 + 2 num_octaves). NeRF (Mildenhall et al. 2020)."""
    octaves = [function(2.0**k * x) for k in range(num_octaves) for function in (torch.sin, torch.cos)]
    return torch.cat([x, *octaves], dim=-1)


def encoded_width(width: int) -> int:
    """Width of the `positional_encoding` of `width` channels."""
    return width * (1 + 2 * NUM_OCTAVES)


class ConditionedMLP(nn.Module):
    """MLP over N points that share one code per sample.

    The first layer is split into a part for the points, computed once for the whole batch, and a part for the code,
    computed once per sample. This is exact and saves most of that layer. The orthogonality loss compares the
    `first_activations`. With `zero_output` the MLP is initialised to output zero.
    """

    def __init__(self, point_width: int, code_width: int, hidden: int, out: int, *, zero_output: bool) -> None:
        super().__init__()
        self.from_points = nn.Linear(point_width, hidden)
        self.from_code = nn.Linear(code_width, hidden, bias=False)
        self.middle = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, out)
        self.activation = nn.LeakyReLU(0.01)
        if zero_output:
            zero_initialise(self.output)

    def first_activations(self, points: Float[Tensor, "*p n d"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b n h"]:
        """Output of the first layer, before its activation function."""
        return self.from_points(points) + self.from_code(code)[:, None]

    def forward(self, points: Float[Tensor, "*p n d"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b n o"]:
        """Points of shape (n, d) are shared by the batch; points of shape (b, n, d) differ by sample."""
        hidden = self.activation(self.first_activations(points, code))  # (b, n, h)
        return self.output(self.activation(self.middle(hidden)))  # (b, n, o)


def first_layer(mlp: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The `first_activations` of a `ConditionedMLP` in a `ModuleDict`, whose items have no static type."""
    assert isinstance(mlp, ConditionedMLP)
    return mlp.first_activations


def zero_initialise(*layers: nn.Module) -> None:
    """Sets all parameters of layers to zero, so that a residual branch adds nothing at the start of training."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
