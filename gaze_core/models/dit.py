"""A diffusion transformer (DiT) without diffusion: no timestep, one deterministic forward pass."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaze_core.errors import BadInput
from gaze_core.models.blocks import zero_initialise


class DiT(nn.Module):
    """Feature maps to feature maps of the same size; outputs zero at initialisation (Peebles & Xie 2023).

    Patches become tokens, adaLN-zero blocks conditioned on a code process them, and tokens become patches again.
    """

    positions: Tensor

    def __init__(
        self, channels: int, code_width: int, side_px: int, token_width: int, depth: int, num_heads: int, patch_px: int
    ) -> None:
        if token_width % num_heads or token_width % 4:
            raise BadInput(
                f"token_width {token_width}: expected a multiple of num_heads {num_heads}, and of 4 (sine and cosine of row "
                "and column)"
            )
        super().__init__()
        self.depth, self.num_heads, self.patch_px, self.token_width = depth, num_heads, patch_px, token_width
        self.patch_embed = nn.Conv2d(channels, token_width, patch_px, stride=patch_px)
        self.code_embed = nn.Sequential(
            nn.Linear(code_width, token_width), nn.SiLU(), nn.Linear(token_width, token_width)
        )
        tokens = side_px // patch_px
        self.register_buffer("positions", sinusoidal_grid(tokens, tokens, token_width))
        self.blocks = nn.ModuleList([DiTBlock(token_width, num_heads, token_width) for _ in range(depth)])
        self.final_norm = nn.LayerNorm(token_width, elementwise_affine=False, eps=1e-6)
        self.final_modulation = nn.Sequential(nn.SiLU(), nn.Linear(token_width, 2 * token_width))
        self.unpatchify = nn.ConvTranspose2d(token_width, channels, patch_px, stride=patch_px)
        zero_initialise(self.final_modulation[1], self.unpatchify)

    def forward(self, maps: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        condition = self.code_embed(code)  # (b, d)
        tokens = self.patch_embed(maps)  # (b, d, h/p, w/p)
        grid = tokens.shape[-2:]
        tokens = tokens.flatten(2).transpose(1, 2) + self.positions  # (b, t, d)
        for block in self.blocks:
            tokens = block(tokens, condition)  # (b, t, d)
        shift, scale = self.final_modulation(condition)[:, None].chunk(2, dim=-1)
        tokens = self.final_norm(tokens) * (1 + scale) + shift  # (b, t, d)
        return self.unpatchify(tokens.transpose(1, 2).unflatten(2, grid))  # (b, c, h, w)

    def summary(self) -> dict[str, object]:
        """The hyperparameters of the transformer."""
        return {
            "depth": self.depth, "heads": self.num_heads, "patch_px": self.patch_px, "token_width": self.token_width,
        }  # fmt: skip


def sinusoidal_grid(height: int, width: int, channels: int) -> Float[Tensor, "hw c"]:
    """Fixed 2D position embedding: half the channels encode the row, half the column (Vaswani et al. 2017)."""
    frequencies = torch.exp(torch.arange(channels // 4) * (-math.log(10000.0) / (channels // 4)))

    def encode(positions: Tensor) -> Tensor:
        angles = positions[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.cat([encode(rows.flatten()), encode(columns.flatten())], dim=-1)


class DiTBlock(nn.Module):
    """Transformer block with adaLN-zero conditioning: the identity at initialisation (Peebles & Xie 2023, sec. 3.2)."""

    def __init__(self, width: int, num_heads: int, code_width: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        inner = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(code_width, 6 * width))
        zero_initialise(self.modulation[1])

    def forward(self, tokens: Float[Tensor, "b t d"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b t d"]:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(code)[:, None].chunk(6, dim=-1)
        tokens = tokens + gate_a * self.attention(self.norm_attention(tokens) * (1 + scale_a) + shift_a)
        return tokens + gate_m * self.mlp(self.norm_mlp(tokens) * (1 + scale_m) + shift_m)

    def attention(self, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Multi-head self-attention."""
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (b, heads, t, d')
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.projection(mixed.transpose(1, 2).flatten(-2))
