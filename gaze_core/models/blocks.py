"""Building blocks shared by the models."""

import math
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
    """Channels that `positional_encoding` makes of `width`."""
    return width * (1 + 2 * NUM_OCTAVES)


class ConditionedMLP(nn.Module):
    """MLP over N points that all share one code per sample.

    The first layer acts on points and code apart: the points' part is computed once for the whole batch and the
    code's part once per sample, which is exact and saves most of that layer. `first_activations` are what the
    orthogonality loss compares. With `zero_output` the MLP starts as the constant zero.
    """

    def __init__(self, point_width: int, code_width: int, hidden: int, out: int, *, zero_output: bool) -> None:
        super().__init__()
        self.from_points = nn.Linear(point_width, hidden)
        self.from_code = nn.Linear(code_width, hidden, bias=False)
        self.middle = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, out)
        self.activation = nn.LeakyReLU(0.01)
        if zero_output:
            start_at_zero(self.output)

    def first_activations(self, points: Float[Tensor, "*p n d"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b n h"]:
        """Output of the first layer, before its activation function."""
        return self.from_points(points) + self.from_code(code)[:, None]

    def forward(self, points: Float[Tensor, "*p n d"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b n o"]:
        """Points of shape (n, d) are shared by the batch; (b, n, d) are its own."""
        hidden = self.activation(self.first_activations(points, code))  # (b, n, h)
        return self.output(self.activation(self.middle(hidden)))  # (b, n, o)


def first_layer(mlp: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The `first_activations` of a `ConditionedMLP` that is kept in a `ModuleDict`, which forgets its type."""
    assert isinstance(mlp, ConditionedMLP)
    return mlp.first_activations


def start_at_zero(*layers: nn.Module) -> None:
    """Makes layers put out zero, so that what they are added to is unchanged at the start of training."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def sinusoidal_grid(height: int, width: int, channels: int) -> Float[Tensor, "hw c"]:
    """Fixed 2D position embedding: half the channels encode the row, half the column (Vaswani et al. 2017)."""
    frequencies = torch.exp(torch.arange(channels // 4) * (-math.log(10000.0) / (channels // 4)))

    def encode(positions: Tensor) -> Tensor:
        angles = positions[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.cat([encode(rows.flatten()), encode(columns.flatten())], dim=-1)


class DiTBlock(nn.Module):
    """Transformer block with adaLN-zero conditioning: it starts as the identity (Peebles & Xie 2023, sec. 3.2)."""

    def __init__(self, width: int, num_heads: int, code_width: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"token width {width} must be divisible by num_heads {num_heads}")
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        inner = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(code_width, 6 * width))
        start_at_zero(self.modulation[1])

    def forward(self, tokens: Float[Tensor, "b t d"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b t d"]:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(code)[:, None].chunk(6, dim=-1)
        tokens = tokens + gate_a * self.attention(self.norm_attention(tokens) * (1 + scale_a) + shift_a)
        return tokens + gate_m * self.mlp(self.norm_mlp(tokens) * (1 + scale_m) + shift_m)

    def attention(self, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Multi-head self-attention."""
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (b, heads, t, d')
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.projection(mixed.transpose(1, 2).flatten(-2))
