"""Checkpoints: weights in safetensors with what they need to be used, and one atomic file to resume from."""

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gaze_core.errors import ContractViolation, MissingArtifact, NoSpace

WEIGHTS_FILE, RESUME_FILE, BEST_FILE = "weights.safetensors", "last.train.pt", "best.safetensors"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def epoch_file(epoch: int) -> str:
    """The name under which the weights of an epoch are kept; the first epoch is number 1."""
    return f"epoch_{epoch:03d}.safetensors"


def write_atomically(path: Path, write: Any) -> None:
    """Calls `write(temporary_path)` and renames, so that a reader or a crash never meets half a file.

    Raises:
        NoSpace: the disk is full; what was at `path` is still there, and the half file is not.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)  # or it would keep the disk full
        if _is_full(error):
            raise NoSpace(f"{path}: no space to write it ({error}); free some and run again") from error
        raise


def _is_full(error: Exception) -> bool:
    """torch tells a failed write by the place in its own code, safetensors by the system's words."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(sign in str(error) for sign in ("inline_container", "iostream error", *map(os.strerror, _FULL)))


def save_weights(path: Path, model: nn.Module, card: Mapping[str, Any]) -> None:
    """Writes the weights and, in the header of the same file, the card: config, schema, normalisation, lineage."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"card": json.dumps(dict(card), sort_keys=True)}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=metadata))


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
    """Replaces the state from which an interrupted run goes on."""
    write_atomically(directory / RESUME_FILE, lambda temporary: torch.save(dict(state), temporary))


def load_resume_state(directory: Path) -> dict[str, Any] | None:
    """The last saved state, or None before the first save. Holds tensors and plain values only."""
    path = directory / RESUME_FILE
    return torch.load(path, weights_only=True, map_location="cpu") if path.is_file() else None
