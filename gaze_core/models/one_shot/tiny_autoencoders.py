"""Two autoencoders that run on a CPU: the one that ships with the package, and TAEF2.

`SmallAutoencoder` reduces each 4 x 4 square of pixels to 24 numbers; it was learned from rendered people
(`stages/one_shot/autoencoder.py`). `Taef2` is madebyollin's tiny autoencoder (MIT), trained on photographs, 32 numbers for
each 8 x 8 square; its layout is that of its published state dicts.
"""

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config


class SmallAutoencoderConfig(Config):
    """Size of the autoencoder that ships."""

    channels: PositiveInt = 24
    width: PositiveInt = 64
    blocks: PositiveInt = 2  # residual blocks of the encoder, and of the decoder


class SmallAutoencoder(nn.Module):
    """Works at a quarter of the resolution throughout; pixels are folded into channels at both ends."""

    FACTOR = 4
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: SmallAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        folded, width = 3 * self.FACTOR**2, config.width
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(self.FACTOR), nn.Conv2d(folded, width, 3, padding=1),
            *(_Residual(width) for _ in range(config.blocks)), nn.Conv2d(width, config.channels, 3, padding=1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(config.channels, width, 3, padding=1), *(_Residual(width) for _ in range(config.blocks)),
            nn.Conv2d(width, folded, 3, padding=1), nn.PixelShuffle(self.FACTOR),
        )  # fmt: skip
        # Mean and deviation of each channel over training pictures; latents have zero mean and unit variance.
        self.register_buffer("mean", torch.zeros(1, config.channels, 1, 1))
        self.register_buffer("deviation", torch.ones(1, config.channels, 1, 1))

    def encode(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """The latent of pictures in [0, 1]."""
        latent: Tensor = self.encoder(2 * image - 1)
        return (latent - self.mean) / self.deviation

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]:
        """The picture of a latent; not clamped."""
        image: Tensor = self.decoder(latent * self.deviation + self.mean)
        return (image + 1) / 2


class _Residual(nn.Module):
    """Two convolutions with a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        out: Tensor = self.body(maps)
        return maps + out


class Taef2(nn.Module):
    """TAEF2: names and shapes of the parameters are those of `taef2_encoder.pth` and `taef2_decoder.pth`."""

    FACTOR, CHANNELS, _WIDTH = 8, 32, 64

    def __init__(self) -> None:
        super().__init__()
        width = self._WIDTH

        def convolution(bias: bool = True, stride: int = 1) -> nn.Conv2d:
            return nn.Conv2d(width, width, 3, padding=1, stride=stride, bias=bias)

        down = [
            layer
            for level in range(3)
            for layer in (convolution(bias=False, stride=2), *(_TinyBlock(width, level == 2) for _ in range(3)))
        ]
        up = [
            layer
            for level in range(3)
            for layer in (*(_TinyBlock(width, level == 0) for _ in range(3)), nn.Upsample(scale_factor=2), convolution(False))
        ]  # fmt: skip
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), _TinyBlock(width), *down, nn.Conv2d(width, self.CHANNELS, 3, padding=1)
        )
        self.decoder = nn.Sequential(
            _Clamp(), nn.Conv2d(self.CHANNELS, width, 3, padding=1), nn.ReLU(), *up, _TinyBlock(width),
            nn.Conv2d(width, 3, 3, padding=1),
        )  # fmt: skip

    def encode(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """The latent of pictures in [0, 1]."""
        latent: Tensor = self.encoder(image)
        return latent

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]:
        """The picture of a latent; not clamped."""
        image: Tensor = self.decoder(latent)
        return image


class _Clamp(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent / 3) * 3


class _TinyBlock(nn.Module):
    """Three convolutions with a skip connection; `pooled` ones have a branch that sees means over the whole picture."""

    def __init__(self, width: int, pooled: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.conv = nn.Sequential(*layers[:-1])
        self.pool = (
            nn.Sequential(
                nn.Conv2d(width, 4 * width, 1, bias=False), nn.GroupNorm(4, 4 * width), nn.ReLU(),
                nn.Conv2d(4 * width, width, 1, bias=False),
            )
            if pooled
            else None
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        if self.pool is not None:
            maps = maps + self.pool(maps)
        return torch.relu(self.conv(maps) + maps)
