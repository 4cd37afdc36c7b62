"""What drives a head, as tokens of one width: sound, lids and brows, gaze, camera, and a learned null token."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaze_core.models.blocks import encoded_width, positional_encoding
from gaze_core.models.talker.config import TalkerConfig

NUM_WINDOWS, AUDIO_CODE = 8, 32
_EYE_VALUES = 5  # blink of both eyes, then three values of the brows
_SINUSOID = 32


class AudioEncoder(nn.Module):
    """Eight windows of audio features around a frame to one code: a small network per window, then attention over the windows.

    The published sizes, for features of any width and windows of any length. The features are standardised first with
    `mean` and `std`, which are 0 and 1 until they are set; they travel with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, audio_width: int) -> None:
        super().__init__()
        widths = (audio_width, 32, 32, 64, 64)
        layers = [
            layer
            for before, after in zip(widths, widths[1:], strict=False)
            for layer in (nn.Conv1d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.02))
        ]
        self.windows = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.code = nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(0.02), nn.Linear(64, AUDIO_CODE))
        narrow = (AUDIO_CODE, 16, 8, 4, 2, 1)
        steps = [
            layer
            for before, after in zip(narrow, narrow[1:], strict=False)
            for layer in (nn.Conv1d(before, after, 3, padding=1), nn.LeakyReLU(0.02))
        ]
        self.attention = nn.Sequential(*steps, nn.Flatten(), nn.Linear(NUM_WINDOWS, NUM_WINDOWS), nn.Softmax(dim=1))
        self.register_buffer("mean", torch.zeros(audio_width))
        self.register_buffer("std", torch.ones(audio_width))

    def standardise(self, features: Float[Tensor, "n c"]) -> None:
        """Takes mean and standard deviation from the features of the training frames."""
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0).clamp_min(1e-4))

    def forward(self, audio: Float[Tensor, "b 8 w c"]) -> Float[Tensor, "b 32"]:
        """The code of each frame."""
        silent = (audio == 0).all(dim=3, keepdim=True)  # beyond the ends of the recording
        scaled = ((audio - self.mean) / self.std).masked_fill(silent, 0)
        codes: Tensor = self.code(self.windows(scaled.flatten(0, 1).transpose(1, 2))).unflatten(0, audio.shape[:2])
        weights = self.attention(codes.transpose(1, 2))
        return (codes * weights[..., None]).sum(dim=1)


class Tokens(nn.Module):
    """All tokens of a frame, in the order of `TalkerConfig.tokens`."""

    def __init__(self, config: TalkerConfig, audio_width: int) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.encoder = AudioEncoder(audio_width)
        eye = _SINUSOID if config.is_published else encoded_width(_EYE_VALUES)
        sizes = {"audio": AUDIO_CODE, "eye": eye, "gaze": encoded_width(2), "camera": 12}
        self.mlps = nn.ModuleDict({name: _mlp(sizes[name], width) for name in config.tokens if name != "null"})
        self.null = nn.Parameter(torch.randn(1, 1, width))

    def forward(
        self,
        audio: Float[Tensor, "b 8 w c"],
        eye: Float[Tensor, "b 2"],
        brows: Float[Tensor, "b 3"],
        gaze_rad: Float[Tensor, "b 2"],
        viewmat: Float[Tensor, "b 4 4"],
    ) -> Float[Tensor, "b t d"]:
        """The tokens of each frame."""
        values = {"audio": lambda: self.encoder(audio), "camera": lambda: _camera_code(viewmat)}
        if self.config.is_published:
            values["eye"] = lambda: _sinusoid(eye.mean(dim=1))
        else:
            values["eye"] = lambda: positional_encoding(torch.cat([eye, brows], dim=1))
            values["gaze"] = lambda: positional_encoding(gaze_rad)
        rows = [mlp(values[name]()) for name, mlp in self.mlps.items()]
        return torch.cat([torch.stack(rows, dim=1), self.null.expand(len(eye), 1, -1)], dim=1)


def _mlp(size: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, width, bias=False), nn.ReLU(), nn.Linear(width, width, bias=False))


def _camera_code(viewmat: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b 12"]:
    """Rotation, then translation in decimetres, the published unit."""
    return torch.cat([viewmat[:, :3, :3].flatten(1), 10 * viewmat[:, :3, 3]], dim=1)


def _sinusoid(value: Float[Tensor, " b"]) -> Float[Tensor, "b 32"]:
    """The published code of the lids: frequencies from 1 to 5623 rad per unit, so small noise changes all of it."""
    i = torch.arange(_SINUSOID, device=value.device)
    phase = value[:, None] * 10_000 ** (2 * (i // 2) / _SINUSOID)
    return torch.where(i % 2 == 0, phase.sin(), phase.cos())
