"""Neural renderers: feature raster and code to the final image. The DiT, and the pixel-shuffle baseline.

At initialisation both output the raster's first three channels, bilinearly upsampled; training learns a residual.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.models.blocks import zero_initialise
from gaze_core.models.dit import DiT
from gaze_core.models.kl_autoencoder import AutoencoderConfig, FrozenAutoencoder


class RendererConfig(Config):
    """The kind of renderer and its size; the token fields apply to the DiT only."""

    kind: Literal["dit", "pixel_shuffle"] = "dit"
    channels: PositiveInt = 32
    token_width: PositiveInt = 192
    depth: PositiveInt = 4
    num_heads: PositiveInt = 4
    patch_px: PositiveInt = 4  # in pixels of the feature raster, or of the latent if there is an autoencoder
    autoencoder: AutoencoderConfig | None = None


def make_renderer(
    config: RendererConfig, in_channels: int, code_width: int, raster_px: int, image_px: int
) -> "DiTRenderer | LatentDiTRenderer | PixelShuffleRenderer":
    """The configured renderer for a square raster and image.

    Raises:
        BadInput: the sizes are not compatible.
        MissingArtifact: the weights of the autoencoder are not available.
    """
    factor, rest = divmod(image_px, raster_px)
    if rest or factor & (factor - 1) or factor < 1:
        raise BadInput(f"image_px {image_px} must be raster_px {raster_px} times a power of two")
    if config.kind == "pixel_shuffle":
        return PixelShuffleRenderer(config, in_channels, code_width, factor)
    if config.autoencoder is not None:
        return LatentDiTRenderer(config, in_channels, code_width, image_px, factor)
    if raster_px % config.patch_px:
        raise BadInput(f"raster_px {raster_px} must be divisible by patch_px {config.patch_px}")
    return DiTRenderer(config, in_channels, code_width, raster_px, factor)


def count(module: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def upsample(image: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c H W"]:
    """Bilinear upsampling with pixel centres at +0.5."""
    return functional.interpolate(image, scale_factor=factor, mode="bilinear") if factor > 1 else image


class DiTRenderer(nn.Module):
    """Feed-forward diffusion-transformer renderer: one deterministic pass on the feature raster itself.

    The transformer's output is added to the raster, then a small convolutional decoder upsamples it. DiT-Gaze
    (arXiv 2511.11231) with the choices of `docs/decisions`.
    """

    def __init__(self, config: RendererConfig, in_channels: int, code_width: int, raster_px: int, factor: int) -> None:
        super().__init__()
        self.config, self.factor = config, factor
        shape = (config.token_width, config.depth, config.num_heads, config.patch_px)
        self.transformer = DiT(in_channels, code_width, raster_px, *shape)
        self.decode = nn.Sequential(
            nn.Conv2d(in_channels, config.channels, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(config.channels, config.channels, 3, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(config.channels, 3 * factor**2, 3, padding=1), nn.PixelShuffle(factor),
        )  # fmt: skip
        zero_initialise(self.decode[4])

    def forward(self, features: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b 3 H W"]:
        mixed = features + self.transformer(features, code)  # (b, c, h, w)
        return upsample(features[:, :3], self.factor) + self.decode(mixed)  # (b, 3, H, W)

    def summary(self) -> dict[str, object]:
        return {"class": "DiTRenderer", **self.transformer.summary(), "parameters": count(self), "autoencoder": "none"}


class LatentDiTRenderer(nn.Module):
    """The same transformer in the latent space of a frozen autoencoder, as in DiT-Gaze.

    An adapter maps the raster's 32 channels to three, the autoencoder encodes them at the image's size, the transformer
    adds to the latent, the autoencoder decodes. At initialisation it outputs the autoencoder's reconstruction of the raw
    image. Gradients pass through the autoencoder; checkpoints contain the digest of its weights, not the weights.
    """

    def __init__(self, config: RendererConfig, in_channels: int, code_width: int, image_px: int, factor: int) -> None:
        super().__init__()
        assert config.autoencoder is not None
        self.config, self.factor = config, factor
        autoencoder = FrozenAutoencoder(config.autoencoder)
        self._frozen = [autoencoder]  # in a list, so that it is not a submodule
        side, rest = divmod(image_px, autoencoder.factor)
        if rest or side % config.patch_px:
            raise BadInput(
                f"image_px {image_px} makes a latent of {image_px / autoencoder.factor:g} px with this autoencoder; "
                f"expected a multiple of patch_px {config.patch_px}, so that patches tile it"
            )
        self.adapt = nn.Conv2d(in_channels, 3, 1)
        shape = (config.token_width, config.depth, config.num_heads, config.patch_px)
        self.transformer = DiT(autoencoder.channels, code_width, side, *shape)
        with torch.no_grad():
            self.adapt.weight.zero_()[:, :3, 0, 0].fill_diagonal_(1)
            nn.init.zeros_(self.adapt.bias)  # type: ignore[arg-type]

    @property
    def autoencoder(self) -> FrozenAutoencoder:
        """The frozen autoencoder, on the device of the other weights."""
        return self._frozen[0].to(self.adapt.weight.device)

    def forward(self, features: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b 3 H W"]:
        latent = self.autoencoder.encode(upsample(self.adapt(features), self.factor))  # (b, l, H/f, W/f)
        return self.autoencoder.decode(latent + self.transformer(latent, code))  # (b, 3, H, W)

    def summary(self) -> dict[str, object]:
        own = {"class": "LatentDiTRenderer", **self.transformer.summary(), "parameters": count(self)}
        return own | {"autoencoder": self._frozen[0].summary()}


class PixelShuffleRenderer(nn.Module):
    """The baseline: point-wise layers, pixel shuffle and a global attention pool (GazeGaussian, official renderer).

    One block per upsampling by 2, or a single one without upsampling if raster and image have the same size.
    """

    def __init__(self, config: RendererConfig, in_channels: int, code_width: int, factor: int) -> None:
        super().__init__()
        self.config, self.factor = config, factor
        factors = [2] * int(math.log2(factor)) or [1]
        self.enter = nn.Conv2d(in_channels, config.channels, 1)
        self.blocks = nn.ModuleList([ShuffleBlock(config.channels, code_width, step) for step in factors])
        self.to_rgb = nn.ModuleList([nn.Conv2d(config.channels, 3, 1) for _ in factors])
        zero_initialise(*self.to_rgb)

    def forward(self, features: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b 3 H W"]:
        rgb, x = features[:, :3], self.enter(features)
        for block, to_rgb in zip(self.blocks, self.to_rgb, strict=True):
            x = block(x, code)
            rgb = upsample(rgb, x.shape[-1] // rgb.shape[-1]) + to_rgb(x)
        return rgb

    def summary(self) -> dict[str, object]:
        return {
            "class": "PixelShuffleRenderer",
            "blocks": len(self.blocks),
            "channels": self.config.channels,
            "parameters": count(self),
        }


class ShuffleBlock(nn.Module):
    """Upsamples by pixel shuffle and a [1, 2, 1] blur, then adds one vector pooled by attention with the code."""

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

        Keys and values are linear in x, so the key matrix is folded into the query and the value matrix is applied after
        the sum: no tensor of size pixels x code is allocated.
        """
        pixels = x.flatten(2)  # (b, c, hw)
        scores = torch.einsum("bcp,bc->bp", pixels, self.query(code)) / math.sqrt(pixels.shape[1])
        return self.value(torch.einsum("bcp,bp->bc", pixels, scores.softmax(dim=-1)))
