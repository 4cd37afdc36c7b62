"""The published GazeGaussian as an artifact: writing it, and loading it for the stages that render."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from gaze_core.artifacts import (
    MANIFEST_FILE,
    ArtifactRef,
    Manifest,
    artifact_name,
    content_sha256,
    file_sha256,
    lineage_digest,
)
from gaze_core.atomic import replacing, write_text
from gaze_core.data.adapters.table import ADAPTERS
from gaze_core.data.people import person_key
from gaze_core.data.published_splits import ETH_XGAZE_TRAIN
from gaze_core.data.schema import SCHEMA_VERSION
from gaze_core.data.seen import Seen
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.models.official.frames import OfficialConfig
from gaze_core.models.official.gaze_gaussian import OfficialGazeGaussian
from gaze_core.models.official.layout import TRAINING_TABLES
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights, save_weights

STAGE, COMPAT, VERSION = "gaze_gaussian", "official", 2
TABLES_FILE = "training_frames.safetensors"

_NOTES = (
    "the published repository states no licence: whether these weights may be used, and for what, is for whoever "
    "brought them to find out",
    f"{TABLES_FILE} holds the published corrections of the training frames; no use of the model reads them",
    "appearance networks, the eye cloud's pose and shape-attribute networks, eye_offset and the background map were "
    "left behind: the published code does not read them",
    "seen takes the published training split for granted: the file itself does not say whom it has seen",
)


def write_artifact(
    folder: Path, model: OfficialGazeGaussian, tables: dict[str, Tensor], source: dict[str, Any]
) -> Manifest:
    """Writes the weights with their card, the tables of the training frames, and last the manifest into an empty folder."""
    save_weights(folder / WEIGHTS_FILE, model, _card(model, source))
    with replacing(folder / TABLES_FILE) as partial:
        save_file(tables, partial)
    files = {name: file_sha256(folder / name) for name in (WEIGHTS_FILE, TABLES_FILE)}
    config, content = model.config, content_sha256(files)
    manifest = Manifest(
        ref=ArtifactRef(
            kind="checkpoint",
            name=artifact_name(STAGE, lineage_digest(STAGE, VERSION, config, {}), content),
            sha256=content,
            stage=STAGE,
            stage_version=VERSION,
            config_digest=config.digest(),
        ),
        files=files,
        parents={},
        config={"compat": COMPAT, "source": source} | config.model_dump(mode="json"),
        created=datetime.now(UTC),
        metrics={"num_face_points": len(model.face.means_dm), "num_eye_points": len(model.eyes.means_dm)},
        normalization=_normalization(),
        notes=_NOTES,
        subjects={"train": _subjects()},
        trained_on=_subjects(),
    )
    write_text(folder / MANIFEST_FILE, manifest.model_dump_json(indent=1))
    return manifest


def _card(model: OfficialGazeGaussian, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "stage": STAGE,
        "stage_version": VERSION,
        "compat": COMPAT,
        "config": model.config.model_dump(mode="json"),
        "schema_version": SCHEMA_VERSION,
        "normalization": _normalization(),
        "image_px": model.config.image_px,
        "num_face_points": len(model.face.means_dm),
        "num_eye_points": len(model.eyes.means_dm),
        "seen": Seen(people=tuple(person_key("eth_xgaze", name) for name in _subjects())).model_dump(mode="json"),
        "enhancements": model.enhancements(),
        "source": source,
    }


def _normalization() -> dict[str, Any]:
    return ADAPTERS["gazegaussian_eth_xgaze"].view.model_dump(mode="json")


def _subjects() -> tuple[str, ...]:
    """The subjects of the published training split, named as in converted files."""
    return tuple(f"subject{number}" for number in ETH_XGAZE_TRAIN)


def load(directory: Path, card: dict[str, Any]) -> OfficialGazeGaussian:
    """The imported model, in evaluation mode; `card` is that of its weights.

    Raises:
        ContractViolation: imported by another version.
    """
    if card["stage_version"] != VERSION:
        raise ContractViolation(
            f"{directory}: published checkpoint imported as v{card['stage_version']}, expected v{VERSION}; "
            "run gazeworks import gazegaussian again"
        )
    config = OfficialConfig.model_validate(card["config"])
    model = OfficialGazeGaussian(config, card["num_face_points"], card["num_eye_points"])
    model.load_state_dict(load_weights(directory / WEIGHTS_FILE))
    return model.eval()


def require_trained_here(card: Mapping[str, Any], what: str) -> None:
    """Refuses an imported model where a trainable one is needed.

    Raises:
        BadInput: `card` is that of an imported model.
    """
    if card.get("compat") == COMPAT:
        raise BadInput(
            f"{what} needs a model that was trained here; found the published GazeGaussian "
            f"({card['source']['file']}), which can be sampled and evaluated only"
        )


def require_tables(found: dict[str, Any]) -> list[str]:
    """The faults of the tables of the training frames."""
    faults = []
    for name, row in TRAINING_TABLES.items():
        table = found.get(name)
        if not isinstance(table, Tensor) or tuple(table.shape[1:]) != row or not len(table):
            shape = tuple(table.shape) if isinstance(table, Tensor) else type(table).__name__
            faults.append(f"{name} is {shape}, expected (frames, {', '.join(map(str, row))})")
    return faults
