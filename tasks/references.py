"""From what a user names, a report or a folder, to the reference of an artifact."""

import json
from pathlib import Path

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef, Manifest
from gaze_core.errors import BadInput
from tasks.store import Store

_KINDS = {"data": "dataset"}


def find_reference(place: str, role: str) -> ArtifactRef:
    """The artifact that `place` names: PATH or PATH:ROLE of a report, else the folder of an artifact.

    Raises:
        BadInput: there is nothing, or something of another kind.
        MissingArtifact: the report's artifact is no longer in the store.
    """
    path = Path(place)
    if not path.exists() and ":" in place:
        text, _, role = place.rpartition(":")
        path = Path(text)
    report = path / "report.json" if path.is_dir() else path
    if (path / MANIFEST_FILE).is_file():
        ref = Manifest.read(path).ref
    elif report.is_file() and report.suffix == ".json":
        ref = _of_report(report, role)
    else:
        raise BadInput(f"{place}: expected a report's folder or an artifact's folder with {MANIFEST_FILE}")
    kind = _KINDS.get(role, "checkpoint")
    if ref.kind != kind:
        raise BadInput(f"{place}: a {ref.kind} of stage {ref.stage}; expected a {kind}")
    Store.from_environment().fetch(ref)
    return ref


def data_of(checkpoint: ArtifactRef) -> ArtifactRef:
    """The data set that a checkpoint was trained on.

    Raises:
        BadInput: its manifest names none.
    """
    data = Store.from_environment().manifest(checkpoint).parents.get("data")
    if data is None:
        raise BadInput(f"{checkpoint.uri}: names no data that it was trained on; give some with --data")
    return data


def _of_report(path: Path, role: str) -> ArtifactRef:
    try:
        artifacts = json.loads(path.read_text()).get("artifacts", {})
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{path}: not a report ({error})") from error
    if role not in artifacts:
        raise BadInput(f"{path}: has no artifact {role!r}; it has {', '.join(artifacts) or 'none'}")
    return ArtifactRef.model_validate(artifacts[role])
