"""A pretrained image autoencoder, frozen: `diffusers`' AutoencoderKL by hub id or from a folder."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from gaze_core.config import Config
from gaze_core.errors import BadInput, MissingArtifact

_NAMES = r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*$"  # names that cannot leave their folder


class AutoencoderConfig(Config):
    """The source of the autoencoder: a folder with `config.json` and safetensors, or an id on the Hugging Face hub."""

    source: str = "stabilityai/sd-vae-ft-mse"
    revision: str | None = Field(None, pattern=_NAMES)
    subfolder: str | None = Field(None, pattern=_NAMES)

    def named_paths(self) -> Iterator[Path]:
        """The source, unless it can only be a hub id."""
        if not re.fullmatch(_NAMES, self.source) or Path(self.source).exists():
            yield Path(self.source)


class FrozenAutoencoder:
    """Images in [0, 1] to latents of about unit variance and back; gradients pass through, weights are frozen.

    Raises:
        BadInput: `diffusers` is not installed, or the source contains no such autoencoder.
        MissingArtifact: the weights are not available and cannot be downloaded.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        self.config = config
        self._model = _load(config)
        widths = self._model.config.block_out_channels
        self.factor = 2 ** (len(widths) - 1)  # image pixels per latent pixel, along each side
        self.channels = int(self._model.config.latent_channels)
        self._scale = float(self._model.config.scaling_factor)
        self._shift = float(self._model.config.shift_factor or 0.0)

    def to(self, device: torch.device) -> Self:
        """The same autoencoder, with its weights on `device`."""
        self._model.to(device)
        return self

    def encode(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b l h w"]:
        """The mode of the latent distribution: equal images have equal latents."""
        latent = self._model.encode(2 * image - 1).latent_dist.mode()
        return (latent - self._shift) * self._scale

    def decode(self, latent: Float[Tensor, "b l h w"]) -> Float[Tensor, "b 3 H W"]:
        """The image of a latent; not clamped."""
        return (self._model.decode(latent / self._scale + self._shift).sample + 1) / 2

    @property
    def digest(self) -> str:
        """First 12 hex digits of the sha256 of all weights: what a checkpoint was trained with."""
        total = hashlib.sha256()
        for name, value in sorted(self._model.state_dict().items()):
            total.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:12]

    def summary(self) -> str:
        """The source, parameter count and digest in one line, for the table of enhancements."""
        number = sum(parameter.numel() for parameter in self._model.parameters())
        return f"{self.config.source}, frozen, {number} parameters, {self.digest}"


def _load(config: AutoencoderConfig) -> Any:
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise BadInput("an autoencoder needs diffusers; install gazeworks[vae], or set no autoencoder") from error
    where = {"subfolder": config.subfolder, "revision": config.revision}
    given = {name: value for name, value in where.items() if value is not None}
    try:
        model = AutoencoderKL.from_pretrained(config.source, use_safetensors=True, **given)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise MissingArtifact(
            f"autoencoder {config.source!r}: not found and cannot be downloaded ({reason}); expected a folder with "
            "config.json and diffusion_pytorch_model.safetensors, or a hub id that this machine can reach"
        ) from error
    return model.eval().requires_grad_(False)
