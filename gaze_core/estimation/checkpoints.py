"""Weights files of both models of the estimation: their cards, saving and loading."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from gaze_core.estimation.recording_schema import SCHEMA_VERSION
from gaze_core.models.estimation.gazetr import GazeTR, GazeTRConfig
from gaze_core.models.estimation.temporal import TemporalConfig, TemporalHead
from gaze_core.reproducibility import choose_device
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, read_card, save_weights
from gaze_core.training.processes import is_main_process

M = TypeVar("M", bound=nn.Module)
SINGLE, TEMPORAL = "estimation_single", "estimation_temporal"  # the card's "stage"


def card_of(
    stage: str, version: int, config: Config, network: Config, trained_on: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The card of a weights file. `trained_on`: participants by role, of this model and those it stands on."""
    return {
        "stage": stage,
        "stage_version": version,
        "config": config.model_dump(mode="json"),
        "network": network.model_dump(mode="json"),
        "schema_version": SCHEMA_VERSION,
        "trained_on": {role: list(names) for role, names in trained_on.items()},
    }


def save_estimation(folder: Path, model: nn.Module, card: Mapping[str, Any]) -> Path:
    """Writes weights with their card, of several training processes in the first one only; returns the file."""
    path = folder / WEIGHTS_FILE
    if is_main_process():
        save_weights(path, model, card)
    return path


def load_single(path: Path, runtime: Runtime) -> tuple[GazeTR, dict[str, Any]]:
    """The single-frame model of a checkpoint's folder, or of its weights file, ready for prediction; and its card.

    Raises:
        BadInput: it is no such model.
    """
    card, file = _card(path, SINGLE)
    model = _filled(GazeTR(GazeTRConfig.model_validate(card["network"])), file)
    return model.to(choose_device(runtime)).eval(), card


def load_temporal(path: Path, runtime: Runtime) -> tuple[TemporalHead, dict[str, Any]]:
    """The temporal head of a checkpoint's folder, or of its weights file, ready for prediction; and its card.

    Raises:
        BadInput: it is no such model.
    """
    card, file = _card(path, TEMPORAL)
    model = _filled(TemporalHead(TemporalConfig.model_validate(card["network"])), file)
    return model.to(choose_device(runtime)).eval(), card


def _card(path: Path, stage: str) -> tuple[dict[str, Any], Path]:
    file = path / WEIGHTS_FILE if path.is_dir() else path
    try:
        return read_card(file, stage), file
    except (MissingArtifact, ContractViolation) as error:
        reason = str(error).removeprefix(f"{file}: ")
        raise BadInput(
            f"{file}: not a checkpoint of {stage} ({reason}); train one with: gazeworks estimate train"
        ) from error


def _filled(model: M, file: Path) -> M:
    try:
        model.load_state_dict(load_weights(file))
    except RuntimeError as error:
        raise BadInput(f"{file}: weights do not fit its card ({str(error).partition(chr(10))[0]})") from error
    return model


def require_unseen_participants(trained_on: Mapping[str, Sequence[str]], test: Sequence[str]) -> None:
    """Raises ContractViolation if a participant who is to be measured has trained the model or chosen its weights."""
    if seen := sorted({name for names in trained_on.values() for name in names} & set(test)):
        raise ContractViolation(
            f"the model has seen {', '.join(seen[:4])} in training, who would be measured; measure it on others, or train "
            "it again without them"
        )
