"""Redirectors as weights files: the card, saving and loading, with the autoencoder that they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.models.one_shot.critics import BandCritic, BandCriticConfig
from gaze_core.models.one_shot.redirector import GazeRedirector, RedirectorConfig
from gaze_core.one_shot.autoencoders import Autoencoder, AutoencoderSource, load_autoencoder
from gaze_core.reproducibility import choose_device
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card, save_weights

KIND = "one_shot_redirector"
CRITIC_FILE, CRITIC_KIND = "critic.safetensors", "one_shot_critic"


@dataclass(frozen=True, eq=False)
class Redirector:
    """A loaded checkpoint."""

    model: GazeRedirector
    autoencoder: Autoencoder
    card: Mapping[str, Any]

    @property
    def source(self) -> AutoencoderSource:
        """Where its autoencoder came from."""
        return AutoencoderSource.model_validate(self.card["autoencoder"])


def redirector_card(
    model: GazeRedirector, source: AutoencoderSource, autoencoder: Autoencoder, made_by: str, version: int,
    config: Config, trained_on: Mapping[str, Sequence[str]], **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """The card of a weights file; `trained_on` is file digest or data set -> people."""
    return {
        "stage": KIND,
        "made_by": made_by,
        "stage_version": version,
        "config": config.model_dump(mode="json"),
        "network": model.config.model_dump(mode="json"),
        "latent_channels": model.latent_channels,
        "autoencoder": source.model_dump(mode="json"),
        "autoencoder_digest": autoencoder.digest,
        "trained_on": {name: list(people) for name, people in trained_on.items()},
        **more,
    }


def load_redirector(
    path: Path, runtime: Runtime = Runtime(), autoencoder: Path | None = None  # noqa: B008 (frozen)
) -> Redirector:  # fmt: skip
    """The redirector of a weights file, or of a folder that holds one, with its frozen autoencoder.

    Args:
        path: the checkpoint.
        runtime: gives the device.
        autoencoder: weights of the `small` autoencoder, if they have moved.

    Raises:
        BadInput: no such file, or not a redirector.
        ContractViolation: the autoencoder is not the one it was trained with.
    """
    path = path / WEIGHTS_FILE if path.is_dir() else path
    if not path.is_file():
        raise BadInput(f"{path}: no such file; expected a checkpoint of gazeworks one-shot pretrain or run")
    try:
        card = read_card(path, KIND)
        model = GazeRedirector(RedirectorConfig.model_validate(card["network"]), int(card["latent_channels"]))
        model.load_state_dict({name: value.float() for name, value in load_weights(path).items()})
        source = AutoencoderSource.model_validate(card["autoencoder"])
    except (MissingArtifact, ContractViolation, KeyError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0].removeprefix(f"{path}: ")
        raise BadInput(
            f"{path}: not a one-shot redirector ({reason}); make one with: gazeworks one-shot pretrain"
        ) from error
    if not_finite := [name for name, tensor in model.state_dict().items() if not bool(torch.isfinite(tensor).all())]:
        raise BadInput(f"{path}: not finite: {', '.join(not_finite[:4])}; its training diverged, use other weights")
    if autoencoder is not None:
        source = source.model_copy(update={"path": autoencoder})
    device = choose_device(runtime)
    frozen = load_autoencoder(source, card["autoencoder_digest"]).to(device)
    return Redirector(model.to(device).eval(), frozen, card)


def save_critic(path: Path, critic: BandCritic) -> None:
    """Writes a critic's weights."""
    save_weights(path, critic, {"stage": CRITIC_KIND, "stage_version": 1, "config": critic.config.model_dump()})


def load_critic(folder: Path) -> BandCritic | None:
    """The critic beside a checkpoint, frozen; None if there is none."""
    path = (folder if folder.is_dir() else folder.parent) / CRITIC_FILE
    if not path.is_file():
        return None
    critic = BandCritic(BandCriticConfig.model_validate(read_card(path, CRITIC_KIND)["config"]))
    critic.load_state_dict({name: value.float() for name, value in load_weights(path).items()})
    return critic.eval().requires_grad_(False)
