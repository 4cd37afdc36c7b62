"""Networks that only training needs: a reader of gaze in bands (the critic), and a patch discriminator."""

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config


class BandCriticConfig(Config):
    """Size of the critic."""

    width: PositiveInt = 16
    features: PositiveInt = 64


class BandCritic(nn.Module):
    """`[pitch, yaw]` in radians of a band of the eyes and its head direction. It learns from recorded bands only."""

    def __init__(self, config: BandCriticConfig) -> None:
        super().__init__()
        self.config = config
        widths = [3] + [config.width * k for k in (1, 2, 3, 4)]
        layers: list[nn.Module] = []
        for a, b in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(4, b), nn.SiLU()]
        self.maps = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 6)), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(12 * widths[-1] + 2, config.features), nn.SiLU(), nn.Linear(config.features, 2)
        )

    def forward(self, band: Float[Tensor, "b 3 h w"], head: Float[Tensor, "b 2"]) -> Float[Tensor, "b 2"]:
        deviation, mean = torch.std_mean(band, dim=(1, 2, 3), keepdim=True)
        read: Tensor = self.head(torch.cat([self.maps((band - mean) / (deviation + 0.02)), head], dim=1))
        return read


class PatchDiscriminator(nn.Module):
    """Real or made, for each patch of a band; spectral normalisation. `widths` are those of its blocks."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((3, *widths), widths, strict=False):
            layers += [
                nn.utils.parametrizations.spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
            ]
        last = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.layers = nn.Sequential(*layers, nn.utils.parametrizations.spectral_norm(last))

    def forward(self, band: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 y x"]:
        scores: Tensor = self.layers(2 * band - 1)
        return scores
