"""The artifact that a user's path names: the path is that of a report or of an artifact's folder."""

import json
from pathlib import Path

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef, Produced
from gaze_core.data.subjects import is_subject_file
from gaze_core.errors import BadInput
from gaze_core.stages.redirection.gaze_gaussian import GazeGaussianStageConfig
from gaze_core.training.checkpoint import WEIGHTS_FILE, read_card
from tasks.store.artifacts import Store
from tasks.store.recordings import require_recording


def checkpoint_folder(path: Path) -> Path:
    """The folder of a trained GazeGaussian: `path` itself, or that of the candidate of the report at `path`.

    Raises:
        BadInput: `path` is neither.
        MissingArtifact: the candidate is no longer in the store.
    """
    if (path / WEIGHTS_FILE).is_file():
        return path
    return Store.from_environment().fetch(_candidate(path))


def checkpoint_ref(path: Path) -> ArtifactRef:
    """The reference of the checkpoint that `path` names. A folder outside the store is copied into it.

    Raises:
        BadInput: `path` is neither a report nor an artifact with its manifest.
        MissingArtifact: the folder's files are not what its manifest says.
    """
    if not (path / MANIFEST_FILE).is_file():
        return _candidate(path)
    return Store.from_environment().adopt(path)


def prior_ref(path: Path) -> ArtifactRef:
    """As `checkpoint_ref`; also of a folder with nothing but the weights, as a checkpoint ships with the package.

    Raises:
        BadInput, MissingArtifact, ContractViolation: it is no checkpoint of GazeGaussian.
    """
    weights = path / WEIGHTS_FILE
    if (path / MANIFEST_FILE).is_file() or not weights.is_file():
        return checkpoint_ref(path)
    card = read_card(weights, "gaze_gaussian")
    return Store.from_environment().publish(
        Produced(kind="checkpoint", files={WEIGHTS_FILE: weights}),
        stage="gaze_gaussian",
        version=card["stage_version"],
        config=GazeGaussianStageConfig.model_validate(card["config"]),
        parents={},
    )


def find_reference(place: str, role: str = "candidate") -> ArtifactRef:
    """The artifact that `place` names: PATH or PATH:ROLE of a report, else the folder of an artifact.

    Raises:
        BadInput: there is nothing, or something of another kind than the role's.
        MissingArtifact: the artifact is no longer whole.
    """
    path = Path(place)
    if not path.exists() and ":" in place:
        text, _, role = place.rpartition(":")
        path = Path(text)
    ref = checkpoint_ref(path) if (path / MANIFEST_FILE).is_file() else _of_report(path, role)
    if ref.kind != (kind := "dataset" if role == "data" else "checkpoint"):
        raise BadInput(f"{place}: a {ref.kind} of stage {ref.stage}; expected a {kind}")
    Store.from_environment().fetch(ref)
    return ref


def find_data(place: str) -> ArtifactRef | Path:
    """The data set that `place` names, or a path of subject files to evaluate: one file, or a folder of them.

    Raises:
        BadInput, MissingArtifact: as `find_reference`; or a file is no subject file.
    """
    path = Path(place)
    is_own = any((path / name).is_file() for name in (MANIFEST_FILE, "report.json"))
    if (path.is_dir() and not is_own and any(path.glob("*.h5"))) or (path.is_file() and is_subject_file(path)):
        require_recording(path, "synthetic")
        return path.resolve()
    return find_reference(place, "data")


def data_of(checkpoint: ArtifactRef) -> ArtifactRef:
    """The data set that a checkpoint was trained on.

    Raises:
        BadInput: its manifest names none.
    """
    data = Store.from_environment().manifest(checkpoint).parents.get("data")
    if data is None:
        raise BadInput(f"{checkpoint.name}: names no data that it was trained on; give some with --data")
    return data


def _candidate(path: Path) -> ArtifactRef:
    return _of_report(path, "candidate")


def _of_report(path: Path, role: str) -> ArtifactRef:
    report = path if path.name == "report.json" else path / "report.json"
    if not report.is_file():
        raise BadInput(f"{path}: expected the folder of a trained GazeGaussian (with {WEIGHTS_FILE}) or of a report")
    try:
        artifacts = json.loads(report.read_text()).get("artifacts", {})
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{report}: not a report ({error})") from error
    if role not in artifacts:
        raise BadInput(
            f"{report}: has no artifact {role!r}, only: {', '.join(artifacts) or 'none'}; expected the folder of a "
            f"trained GazeGaussian (with {WEIGHTS_FILE}) or of a report"
        )
    return ArtifactRef.model_validate(artifacts[role])
