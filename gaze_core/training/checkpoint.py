"""Checkpoints: weights in safetensors with a card that describes them, and one atomic file to resume from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gaze_core.atomic import replacing
from gaze_core.errors import ContractViolation, MissingArtifact

WEIGHTS_FILE, RESUME_FILE, BEST_FILE = "weights.safetensors", "last.train.pt", "best.safetensors"


def epoch_file(epoch: int) -> str:
    """File name of the saved weights of an epoch; the first epoch is number 1."""
    return f"epoch_{epoch:03d}.safetensors"


def step_file(step: int) -> str:
    """File name of the weights of one of the best validations, after `step` steps."""
    return f"step_{step:07d}.safetensors"


def step_files(folder: Path) -> dict[str, Path]:
    """The files of the best validations in a folder, by name."""
    return {path.name: path for path in sorted(folder.glob("step_*.safetensors"))}


def save_weights(path: Path, model: nn.Module, card: Mapping[str, Any]) -> None:
    """Writes the weights and, in the header of the same file, the card: config, schema, normalisation, lineage."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"card": json.dumps(dict(card), sort_keys=True)}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata=metadata)


def read_card(path: Path, stage: str, version: int | None = None) -> dict[str, Any]:
    """The card of a weights file.

    Raises:
        MissingArtifact: there is no readable weights file at `path`.
        ContractViolation: the weights were written by another stage, or by another version of it than `version`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card: dict[str, Any] = json.loads(file.metadata()["card"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MissingArtifact(f"{path}: no readable {stage} checkpoint ({error}); run the {stage} stage") from error
    if card.get("stage") != stage:
        raise ContractViolation(f"{path}: written by stage {card.get('stage')!r}, expected {stage!r}")
    if version is not None and card["stage_version"] != version:
        raise ContractViolation(f"{path}: {stage} v{card['stage_version']}, expected v{version}; train it again")
    return card


def load_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file, on the CPU."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a handle, not a mapping)


def save_resume_state(directory: Path, state: Mapping[str, Any]) -> None:
    """Replaces the state from which an interrupted run resumes."""
    with replacing(directory / RESUME_FILE) as partial:
        torch.save(dict(state), partial)


def load_resume_state(directory: Path) -> dict[str, Any] | None:
    """The last saved state, or None before the first save. It contains tensors and plain values only."""
    path = directory / RESUME_FILE
    return torch.load(path, weights_only=True, map_location="cpu") if path.is_file() else None
