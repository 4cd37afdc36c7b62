"""MLflow's model registry: every compared model is a version, and the alias `champion` names the current best.

A version only points to an artifact of our own store, by its reference in a tag; the registry holds no weights.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from gaze_core.artifacts import ArtifactRef
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.evaluation.paired import Verdict
from tasks.tracking.client import Outage, connect, noticing_outages

CHAMPION = "champion"
REF_TAG, DIGEST_TAG, VERDICT_TAG = "gazeworks.artifact_ref", "gazeworks.sha256", "gazeworks.verdict"
SOURCE_SCHEME = "gazeworks"  # of a version's source, which names an artifact; MLflow's server would refuse a path
_MAX_NAMED_SUBJECTS = 3
_NO_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # model, alias


@dataclass(frozen=True)
class RegisteredModel:
    """One version of a registered model, and the reference of its checkpoint."""

    name: str
    version: str
    ref: ArtifactRef


def model_name(system: str, subjects: Sequence[str]) -> str:
    """Name of a system's registered model for the people of a data set.

    Champions of different systems, or of different people, do not compete.
    """
    named = sorted(set(subjects))
    text = "-".join(named) if len(named) <= _MAX_NAMED_SUBJECTS else f"{named[0]}-and-{len(named) - 1}-others"
    return f"{system}-" + re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def champion(name: str) -> RegisteredModel | None:
    """The current champion; None if there is none yet.

    Raises:
        BadInput: the registry is out of reach.
    """
    with _registry() as client:
        try:
            return _model(client.get_model_version_by_alias(name, CHAMPION))
        except MlflowException as error:
            if error.error_code in _NO_SUCH:
                return None
            raise


def register(name: str, ref: ArtifactRef) -> RegisteredModel:
    """The version of this checkpoint, created if there is none yet.

    Raises:
        BadInput: the reference is not of a checkpoint, or the registry is out of reach.
    """
    if ref.kind != "checkpoint":
        raise BadInput(f"{ref.name}: a {ref.kind}; expected a checkpoint to register as {name}")
    with _registry() as client:
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for found in client.search_model_versions(f"name = '{name}'"):
            if found.tags.get(DIGEST_TAG) == ref.sha256:
                return _model(found)
        tags = {REF_TAG: ref.model_dump_json(), DIGEST_TAG: ref.sha256}
        source = f"{SOURCE_SCHEME}:/{ref.name}"
        return _model(client.create_model_version(name, source, run_id=ref.mlflow_run_id or None, tags=tags))


def promote(model: RegisteredModel, verdict: Verdict, beaten: RegisteredModel | None) -> bool:
    """Tags the version with the verdict and moves `champion` to it if it is `better`; returns whether it moved.

    Raises:
        ContractViolation: the champion is no longer the model that was beaten.
        BadInput: the registry is out of reach.
    """
    if model == beaten:  # it was compared with itself
        return False
    with _registry() as client:
        client.set_model_version_tag(model.name, model.version, VERDICT_TAG, verdict)
    if verdict != "better":
        return False
    current = champion(model.name)
    if current != beaten:
        raise ContractViolation(
            f"{model.name}: version {model.version} was compared with {_version(beaten)}, but the champion is now "
            f"{_version(current)}; compare again"
        )
    with _registry() as client:
        client.set_registered_model_alias(model.name, CHAMPION, model.version)
    return True


def _version(model: RegisteredModel | None) -> str:
    return f"version {model.version}" if model else "no champion"


@contextmanager
def _registry() -> Iterator[MlflowClient]:
    try:
        with noticing_outages():
            yield connect()
    except Outage as outage:
        raise BadInput(
            f"MLflow's model registry is out of reach ({outage}); run again when it is back: what was computed is kept"
        ) from outage


def _model(found: ModelVersion) -> RegisteredModel:
    ref = found.tags.get(REF_TAG)
    if ref is None:
        raise BadInput(
            f"{found.name} version {found.version} in the model registry was not registered by Gazeworks; move its "
            f"alias {CHAMPION!r} to another version"
        )
    return RegisteredModel(found.name, str(found.version), ArtifactRef.model_validate_json(ref))
