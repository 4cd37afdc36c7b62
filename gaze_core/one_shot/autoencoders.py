"""The frozen autoencoder of a latent redirector, whichever it is: one interface, one digest."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]  # what torch.load raises

from gaze_core.assets import find, resolve
from gaze_core.config import Config
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.models.kl_autoencoder import AutoencoderConfig, FrozenAutoencoder
from gaze_core.models.one_shot.tiny_autoencoders import SmallAutoencoder, SmallAutoencoderConfig, Taef2
from gaze_core.training.checkpoint import load_weights, read_card

AutoencoderKind = Literal["small", "taef2", "sd-vae"]
_SHIPPED = "one_shot_autoencoder.safetensors"
CARD_STAGE = "one_shot_autoencoder"


class Autoencoder(Protocol):
    """Pictures in [0, 1] to latents of about unit variance and back; frozen, gradients pass through."""

    kind: AutoencoderKind
    factor: int  # pixels to a latent pixel, along each side
    channels: int

    @property
    def digest(self) -> str:
        """12 hex digits of the sha256 of all weights."""
        ...

    def to(self, device: torch.device) -> Self: ...

    def encode(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]: ...

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]: ...


class AutoencoderSource(Config):
    """Which autoencoder, and where its weights are.

    `small` ships with the package, or is a file of the autoencoder stage (`path`). `taef2` is found by `gaze_core.assets`.
    `sd-vae` is `diffusers`' AutoencoderKL, by hub id or folder, as published.
    """

    kind: AutoencoderKind = "small"
    path: Path | None = Field(None, description="Weights of `small` instead of the shipped ones.")
    kl: AutoencoderConfig = AutoencoderConfig()

    def named_paths(self) -> Iterator[Path]:
        """The weights' files, where they are local."""
        if self.path is not None:
            yield self.path
        if self.kind == "sd-vae":
            yield from self.kl.named_paths()


def preferred_autoencoder() -> AutoencoderSource:
    """`taef2` where it is at hand, for it knows photographs; else the one that ships."""
    found = all(find(name) is not None for name in ("taef2_encoder", "taef2_decoder"))
    return AutoencoderSource(kind="taef2" if found else "small")


def load_autoencoder(source: AutoencoderSource, expected_digest: str | None = None) -> Autoencoder:
    """The frozen autoencoder.

    Raises:
        MissingArtifact: its weights are not at hand.
        BadInput: a file is not of this autoencoder.
        ContractViolation: it is another one than `expected_digest`, with which a checkpoint was trained.
    """
    made: Autoencoder = _KlLatents(source.kl) if source.kind == "sd-vae" else _Tiny(source)
    if expected_digest is not None and made.digest != expected_digest:
        raise ContractViolation(
            f"autoencoder {source.kind} has digest {made.digest}, the checkpoint was trained with {expected_digest}; "
            "give the same weights"
        )
    return made


class _KlLatents:
    """`sd-vae`: the mode of the latent distribution times its scaling factor."""

    kind: AutoencoderKind = "sd-vae"

    def __init__(self, config: AutoencoderConfig) -> None:
        self._model = FrozenAutoencoder(config)
        self.factor, self.channels = self._model.factor, self._model.channels
        self.encode, self.decode = self._model.encode, self._model.decode

    @property
    def digest(self) -> str:
        return self._model.digest

    def to(self, device: torch.device) -> Self:
        self._model.to(device)
        return self


class _Tiny:
    """`small` or `taef2`."""

    def __init__(self, source: AutoencoderSource) -> None:
        self.kind: AutoencoderKind = source.kind
        model = _taef2() if source.kind == "taef2" else _small(source.path)
        self._model = model.eval().requires_grad_(False)
        self.factor = model.FACTOR
        self.channels = Taef2.CHANNELS if isinstance(model, Taef2) else model.config.channels

    @property
    def digest(self) -> str:
        return weights_digest(self._model.state_dict())

    def to(self, device: torch.device) -> Self:
        self._model.to(device)
        return self

    def encode(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        return self._model.encode(image)

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]:
        return self._model.decode(latent)


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """12 hex digits of the sha256 of names and values."""
    total = hashlib.sha256()
    for name, value in sorted(state.items()):
        total.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:12]


def _small(path: Path | None) -> SmallAutoencoder:
    file = path or Path(str(resources.files("gaze_core.models") / "weights" / _SHIPPED))
    card = read_card(file, CARD_STAGE)
    try:
        model = SmallAutoencoder(SmallAutoencoderConfig.model_validate(card["network"]))
        model.load_state_dict({name: value.float() for name, value in load_weights(file).items()})
    except (KeyError, RuntimeError, ValueError) as error:
        raise BadInput(f"{file}: not an autoencoder of the one_shot_autoencoder stage ({error})") from error
    return model


def _taef2() -> Taef2:
    model = Taef2()
    for part in ("encoder", "decoder"):
        path = resolve(f"taef2_{part}")
        try:
            stored: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
            getattr(model, part).load_state_dict({name: value.float() for name, value in stored.items()})
        except (OSError, RuntimeError, ValueError, AttributeError, UnpicklingError) as error:
            raise MissingArtifact(f"{path}: not the weights of TAEF2 ({error}); get the published file") from error
    return model
