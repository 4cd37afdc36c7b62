"""Neural renderers: feature raster and code to the final image. The DiT, and the pixel-shuffle baseline.

Both start as the identity on the raster's first three channels, bilinearly enlarged, and learn what to change.
"""

import math
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.blocks import DiTBlock, sinusoidal_grid, start_at_zero


class RendererConfig(Config):
    """Which renderer, and its size; the token fields speak of the DiT only."""

    kind: Literal["dit", "pixel_shuffle"] = "dit"
    channels: PositiveInt = 32
    token_width: PositiveInt = 192
    depth: PositiveInt = 4
    num_heads: PositiveInt = 4
    patch_px: PositiveInt = 4  # of the feature raster


class Renderer(Protocol):
    """What the Gaussian model needs of a renderer."""

    def __call__(self, features: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b 3 H W"]: ...

    def summary(self) -> dict[str, object]:
        """What a run prints and logs: class and the numbers that define it."""
        ...


def make_renderer(
    config: RendererConfig, in_channels: int, code_width: int, raster_px: int, image_px: int
) -> "DiTRenderer | PixelShuffleRenderer":
    """The configured renderer for a square raster and image.

    Raises:
        BadInput: sizes that do not fit together.
    """
    factor, rest = divmod(image_px, raster_px)
    if rest or factor & (factor - 1) or factor < 1:
        raise BadInput(f"image_px {image_px} must be raster_px {raster_px} times a power of two")
    if config.kind == "pixel_shuffle":
        return PixelShuffleRenderer(config, in_channels, code_width, factor)
    if raster_px % config.patch_px:
        raise BadInput(f"raster_px {raster_px} must be divisible by patch_px {config.patch_px}")
    return DiTRenderer(config, in_channels, code_width, raster_px, factor)


def enlarge(image: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c H W"]:
    """Bilinear enlargement with pixel centres at +0.5."""
    return functional.interpolate(image, scale_factor=factor, mode="bilinear") if factor > 1 else image


class DiTRenderer(nn.Module):
    """Feed-forward diffusion-transformer renderer: the blocks of a DiT without a timestep, one pass, deterministic.

    Patches of the feature raster become tokens, adaLN-zero blocks conditioned on (expression, identity) mix them, and
    the result is added to the raster before a small convolutional decoder enlarges it. DiT-Gaze (arXiv 2511.11231)
    with the choices of `docs/decisions`.
    """

    positions: Tensor

    def __init__(self, config: RendererConfig, in_channels: int, code_width: int, raster_px: int, factor: int) -> None:
        super().__init__()
        self.config, self.factor = config, factor
        width, patch = config.token_width, config.patch_px
        self.patch_embed = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.code_embed = nn.Sequential(nn.Linear(code_width, width), nn.SiLU(), nn.Linear(width, width))
        self.register_buffer("positions", sinusoidal_grid(raster_px // patch, raster_px // patch, width))
        self.blocks = nn.ModuleList([DiTBlock(width, config.num_heads, width) for _ in range(config.depth)])
        self.final_norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.final_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.unpatchify = nn.ConvTranspose2d(width, in_channels, patch, stride=patch)
        self.decode = nn.Sequential(
            nn.Conv2d(in_channels, config.channels, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(config.channels, config.channels, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(config.channels, 3 * factor**2, 3, padding=1), nn.PixelShuffle(factor),
        )  # fmt: skip
        start_at_zero(self.final_modulation[1], self.unpatchify, self.decode[4])

    def forward(self, features: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b 3 H W"]:
        condition = self.code_embed(code)  # (b, d)
        tokens = self.patch_embed(features)  # (b, d, h/p, w/p)
        grid = tokens.shape[-2:]
        tokens = tokens.flatten(2).transpose(1, 2) + self.positions  # (b, t, d)
        for block in self.blocks:
            tokens = block(tokens, condition)  # (b, t, d)
        shift, scale = self.final_modulation(condition)[:, None].chunk(2, dim=-1)
        tokens = self.final_norm(tokens) * (1 + scale) + shift  # (b, t, d)
        mixed = features + self.unpatchify(tokens.transpose(1, 2).unflatten(2, grid))  # (b, c, h, w)
        return enlarge(features[:, :3], self.factor) + self.decode(mixed)  # (b, 3, H, W)

    def summary(self) -> dict[str, object]:
        config = self.config
        return {
            "class": "DiTRenderer",
            "depth": config.depth,
            "heads": config.num_heads,
            "patch_px": config.patch_px,
            "token_width": config.token_width,
            "parameters": sum(p.numel() for p in self.parameters()),
            "vae": "none",
        }


class PixelShuffleRenderer(nn.Module):
    """The baseline: point-wise layers, pixel shuffle and a global attention pool (GazeGaussian, official renderer).

    One block per doubling, and one without enlargement where raster and image have the same size.
    """

    def __init__(self, config: RendererConfig, in_channels: int, code_width: int, factor: int) -> None:
        super().__init__()
        self.config, self.factor = config, factor
        factors = [2] * int(math.log2(factor)) or [1]
        self.enter = nn.Conv2d(in_channels, config.channels, 1)
        self.blocks = nn.ModuleList([ShuffleBlock(config.channels, code_width, step) for step in factors])
        self.to_rgb = nn.ModuleList([nn.Conv2d(config.channels, 3, 1) for _ in factors])
        start_at_zero(*self.to_rgb)

    def forward(self, features: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b 3 H W"]:
        rgb, x = features[:, :3], self.enter(features)
        for block, to_rgb in zip(self.blocks, self.to_rgb, strict=True):
            x = block(x, code)
            rgb = enlarge(rgb, x.shape[-1] // rgb.shape[-1]) + to_rgb(x)
        return rgb

    def summary(self) -> dict[str, object]:
        return {
            "class": "PixelShuffleRenderer",
            "blocks": len(self.blocks),
            "channels": self.config.channels,
            "parameters": sum(p.numel() for p in self.parameters()),
        }


class ShuffleBlock(nn.Module):
    """Enlarges by pixel shuffle and a [1, 2, 1] blur, then adds one vector pooled by attention with the code."""

    blur: Tensor

    def __init__(self, channels: int, code_width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.widen = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * channels, channels * factor**2, 1), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.mix = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.LeakyReLU(0.2))
        self.query, self.value = nn.Linear(code_width, channels), nn.Linear(channels, channels)
        blur = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("blur", (blur[:, None] * blur / 16).expand(channels, 1, 3, 3).contiguous())

    def forward(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b c H W"]:
        widened = self.widen(x) + x.repeat_interleave(self.factor**2, dim=1)
        x = functional.pixel_shuffle(widened, self.factor)
        x = functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), self.blur, groups=x.shape[1])
        x = self.mix(x)
        return x + self.pooled(x, code)[:, :, None, None]

    def pooled(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b c"]:
        """Softmax attention over all pixels with one query from the code.

        Keys and values are linear in x, so the key matrix folds into the query and the value matrix acts after the
        sum: no tensor of the size pixels x code is ever made.
        """
        pixels = x.flatten(2)  # (b, c, hw)
        scores = torch.einsum("bcp,bc->bp", pixels, self.query(code)) / math.sqrt(pixels.shape[1])
        return self.value(torch.einsum("bcp,bp->bc", pixels, scores.softmax(dim=-1)))
