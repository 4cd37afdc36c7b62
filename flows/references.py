"""What a user points at with a path: a report or an artifact's folder, as the artifact that is meant."""

import json
from pathlib import Path

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef, Manifest
from gaze_core.errors import BadInput
from gaze_core.training.checkpoint import WEIGHTS_FILE
from tasks.store import Store


def checkpoint_folder(path: Path) -> Path:
    """The folder of a trained GazeGaussian: `path` itself, or where the candidate of the report at `path` is.

    Raises:
        BadInput: `path` is neither.
        MissingArtifact: the candidate is no longer in the store.
    """
    if (path / WEIGHTS_FILE).is_file():
        return path
    return Store.from_environment().fetch(_candidate(path))


def checkpoint_ref(path: Path) -> ArtifactRef:
    """The reference of what `checkpoint_folder` finds.

    Raises:
        BadInput: `path` is neither a report nor an artifact with its manifest.
        MissingArtifact: the manifest cannot be read.
    """
    if not (path / MANIFEST_FILE).is_file():
        return _candidate(path)
    return Manifest.read(path).ref.model_copy(update={"uri": path.resolve().as_uri()})


def _candidate(path: Path) -> ArtifactRef:
    report = path if path.name == "report.json" else path / "report.json"
    if report.is_file():
        artifacts = json.loads(report.read_text()).get("artifacts", {})
        if "candidate" in artifacts:
            return ArtifactRef.model_validate(artifacts["candidate"])
    raise BadInput(f"{path}: expected the folder of a trained GazeGaussian (with {WEIGHTS_FILE}) or of a report")
