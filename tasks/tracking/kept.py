"""What must not be deleted: artifacts that MLflow's registry, a kept run or an unsent message names.

In doubt an artifact counts as used: if MLflow, or the record of a run that must be kept, cannot be read, nothing may be
deleted.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy.exc import SQLAlchemyError

from gaze_core.errors import BadInput
from tasks import environment
from tasks.redaction import redacted
from tasks.store.inventory import names_in
from tasks.tracking import outbox
from tasks.tracking.runs import ARTIFACT_TAG, KEY_TAG, USED_TAG
from tasks.tracking.writer import FLOW_RUN_TAG, Outage, noticing_outages

KEEP_TAG = "gazeworks.keep"  # with any value on a flow's run in MLflow, its artifacts stay
USED_FILE = "artifacts.json"  # where earlier versions wrote what a flow's run used
_PAGE = 500


@dataclass
class Kept:
    """Texts that name artifacts, by `<stage>/<folder>` or by an address that ends so."""

    names: list[str] = field(default_factory=list)  # of what must stay
    in_use: list[str] = field(default_factory=list)  # of artifacts that unfinished runs use; they stay, too
    known: list[str] = field(default_factory=list)  # of everything that any run made or used


def kept(keep_last: int) -> Kept:
    """Collects the names of artifacts in MLflow and the outbox.

    Kept are those of each registered model version with an alias, of flow runs that are tagged `gazeworks.keep`, that
    have not ended, or that are among the `keep_last` newest of their flow and experiment, and of all that waits to be
    sent to MLflow.

    Raises:
        BadInput: MLflow is out of reach or has no database yet, or what a run used that must be kept cannot be read, so
            nobody knows what must be kept.
    """
    uri, found = environment.tracking_uri(), Kept()
    try:
        if not _has_database(uri):
            raise BadInput(
                f"there is no MLflow database at {redacted(uri)}, so what must be kept is not known and nothing is "
                "deleted; set MLFLOW_TRACKING_URI as the runs had it"
            )
        with noticing_outages():
            client = MlflowClient(uri)
            found.names += _of_registry(client)
            _add_flow_runs(client, keep_last, found)
        found.names += _of_outbox()
    except (Outage, MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise BadInput(
            f"MLflow or the outbox is out of reach, so what must be kept is not known and nothing is deleted: "
            f"{redacted(str(error))}"
        ) from error
    found.names += found.in_use
    found.known += found.names
    return found


def require_known(root_uri: str, names: Sequence[str], found: Kept) -> None:
    """Raises BadInput if no run knows any of a store's artifacts: then MLflow's records are those of another store."""
    if names and names_in(found.known).isdisjoint(names):
        raise BadInput(
            f"no run in MLflow at {redacted(environment.tracking_uri())} knows any of the {len(names)} artifacts in "
            f"{root_uri}, so what must be kept is not known and nothing is deleted; set MLFLOW_TRACKING_URI and "
            "GAZEWORKS_STORE as the runs had them"
        )


def _has_database(uri: str) -> bool:
    """Whether a client would find MLflow's records there, instead of creating an empty database."""
    path, scheme = environment.local_path(uri), uri.partition(":")[0].partition("+")[0]
    if scheme not in DATABASE_ENGINES:
        return path is None or path.is_dir()  # a server has what it has
    if scheme == "sqlite" and not (path and path.is_file()):
        return False
    engine = sqlalchemy.create_engine(uri)
    try:
        return sqlalchemy.inspect(engine).has_table("runs")
    finally:
        engine.dispose()


def _of_registry(client: MlflowClient) -> Iterator[str]:
    token = None
    while token != "":
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        for model in page:
            for number in {int(version) for version in model.aliases.values()}:
                yield from _of_version(client, client.get_model_version(model.name, str(number)))
        token = page.token or ""


def _of_version(client: MlflowClient, version: ModelVersion) -> Iterator[str]:
    yield from (str(version.source), *version.tags.values())
    if not version.run_id:
        return
    try:
        run = client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return  # removed for good; a version that we made names its artifact itself
        raise
    yield run.data.tags.get(ARTIFACT_TAG, "")
    if FLOW_RUN_TAG in run.data.tags:
        yield from _used(client, run)


def _add_flow_runs(client: MlflowClient, keep_last: int, found: Kept) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for run in _runs(client):
        tags, is_running = run.data.tags, run.info.status == "RUNNING"
        made, recorded = tags.get(ARTIFACT_TAG, ""), _recorded(run)
        found.known += [made, *recorded]
        if KEY_TAG in tags and is_running:
            found.in_use.append(made)
        if FLOW_RUN_TAG in tags:
            flow = run.info.experiment_id, run.info.run_name
            seen[flow] += 1
            if is_running:
                found.in_use += _used(client, run)
            elif seen[flow] <= keep_last or KEEP_TAG in tags:
                found.names += _used(client, run)


def _runs(client: MlflowClient) -> Iterator[Run]:
    """Of all experiments: one store may serve several."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while token != "":
        page = client.search_runs(experiments, order_by=["start_time DESC"], max_results=_PAGE, page_token=token)
        yield from page
        token = page.token or ""


def _recorded(run: Run) -> list[str]:
    return [value for name, value in run.data.tags.items() if name.startswith(USED_TAG)]


def _used(client: MlflowClient, run: Run) -> list[str]:
    """The artifacts that a flow's run used, from its tags or, for runs of earlier versions, from a file in MLflow."""
    recorded = _recorded(run) or [text for text in [_used_file(client, run)] if text is not None]
    if not recorded:
        raise BadInput(
            f"run {run.info.run_id} ({run.info.run_name}) must be kept, but what it used is not known, because neither "
            f"its tags nor {redacted(run.info.artifact_uri)}/{USED_FILE} say it, and nothing is deleted; put the file "
            "back, or delete the run in MLflow if nothing of it must stay"
        )
    return recorded


def _used_file(client: MlflowClient, run: Run) -> str | None:
    """The text of the file, also where the home was moved with it since; None if it is not there."""
    if USED_FILE in {file.path for file in client.list_artifacts(run.info.run_id)}:
        with tempfile.TemporaryDirectory() as folder:
            return Path(client.download_artifacts(run.info.run_id, USED_FILE, folder)).read_text()
    files = environment.local_path(environment.figures_uri() or "")
    moved = files / run.info.run_id / "artifacts" / USED_FILE if files else None
    return moved.read_text() if moved and moved.is_file() else None


def _of_outbox() -> list[str]:
    """All waiting operations, as text, also those that can no longer be sent."""
    return [path.read_text(errors="replace") for path in outbox.root().rglob("*.json*") if path.is_file()]
