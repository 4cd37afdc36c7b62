"""Single operations on MLflow's runs, each of which can be put off and done again. Knows when MLflow is away."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from tasks import environment
from tasks.outbox import Operation
from tasks.redaction import redacted, require_no_credentials
from tasks.storage import bucket_errors

FLOW_RUN_TAG, PARENT_TAG = "prefect.flow_run_id", "mlflow.parentRunId"
MAX_METRICS_PER_CALL, MAX_PARAMS_PER_CALL, MAX_TAGS_PER_CALL = 500, 100, 100
MAX_PARAM_CHARS = 6000
_PASSING_STATUS = {408, 429}


class Outage(Exception):
    """MLflow cannot be reached now; the same operation may work later."""


@contextmanager
def noticing_outages() -> Iterator[None]:
    """Raises `Outage` where MLflow or its file store is out of reach, and lets every other error pass."""
    try:
        yield
    except MlflowException as error:
        status = error.get_http_status_code()
        if status < 500 and status not in _PASSING_STATUS:
            raise  # we asked for something wrong, or may not ask: that will not pass
        raise Outage(redacted(str(error))) from error
    except (OSError, *bucket_errors()) as error:
        raise Outage(redacted(str(error))) from error


class RunWriter:
    """Does operations on one MLflow run. Metrics of steps that the run had from an earlier attempt are left out."""

    def __init__(self, client: MlflowClient, run: Run, has_history: bool) -> None:
        self.client, self.run_id, self.experiment_id = client, str(run.info.run_id), str(run.info.experiment_id)
        self._has_history = has_history
        self._history_until: dict[str, int] = {}

    @classmethod
    def open(cls, operation: Operation) -> "RunWriter":
        """Finds the unfinished run with the same identity, or makes one, below the run of its flow run.

        Raises:
            Outage: MLflow cannot be reached.
            BadInput: the server's address holds a password.
        """
        tags = dict(operation["tags"])
        if environment.tracking_uri().startswith("http"):
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            require_no_credentials(environment.tracking_uri(), "MLFLOW_TRACKING_URI", remedy)
        with noticing_outages():
            client = MlflowClient(environment.tracking_uri())
            experiment_id = _experiment(client)
            if operation["flow_run_id"]:
                parent = _found(client, experiment_id, FLOW_RUN_TAG, operation["flow_run_id"])
                tags |= {PARENT_TAG: parent.info.run_id} if parent else {}
            identity = operation["identity"]
            run = _found(client, experiment_id, identity, tags[identity], "and attributes.status != 'FINISHED'")
            found = run is not None
            if run is None:
                run = client.create_run(experiment_id, run_name=operation["name"], tags=tags)
            else:
                client.update_run(run.info.run_id, status="RUNNING")
                client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        return cls(client, run, has_history=found)

    def apply(self, operation: Operation) -> None:
        """Does one operation of the kinds metrics, params, tags, artifact, status.

        Raises:
            Outage: MLflow cannot be reached; the operation can be done again.
        """
        with noticing_outages():
            getattr(self, f"_{operation['kind']}")(operation)

    def _metrics(self, operation: Operation) -> None:
        rows = [row for row in operation["rows"] if row[3] > self._until(row[0])]
        for part in _parts(rows, MAX_METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=[Metric(*row) for row in part])

    def _summary(self, operation: Operation) -> None:
        self.client.log_batch(self.run_id, metrics=[Metric(*row) for row in operation["rows"]])

    def _params(self, operation: Operation) -> None:
        rows = [Param(name, value[:MAX_PARAM_CHARS]) for name, value in operation["rows"]]
        for part in _parts(rows, MAX_PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=part)

    def _tags(self, operation: Operation) -> None:
        for part in _parts([RunTag(name, value) for name, value in operation["rows"]], MAX_TAGS_PER_CALL):
            self.client.log_batch(self.run_id, tags=part)

    def _artifact(self, operation: Operation) -> None:
        path = Path(operation["path"])
        copy = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        copy(self.run_id, str(path), operation["folder"])

    def _status(self, operation: Operation) -> None:
        self.client.set_terminated(self.run_id, operation["status"], end_time=operation["end_ms"])

    def _until(self, name: str) -> int:
        if not self._has_history:
            return -1
        if name not in self._history_until:
            history = self.client.get_metric_history(self.run_id, name)
            self._history_until[name] = max((metric.step for metric in history), default=-1)
        return self._history_until[name]


def now_ms() -> int:
    """The time as MLflow counts it."""
    return int(time.time() * 1000)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _parts(rows: list[Any], size: int) -> Iterator[list[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _found(client: MlflowClient, experiment_id: str, tag: str, value: str, condition: str = "") -> Run | None:
    found = client.search_runs([experiment_id], f"tags.`{tag}` = '{value}' {condition}", max_results=1)
    return found[0] if found else None


def _experiment(client: MlflowClient) -> str:
    name = environment.experiment()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, environment.figures_uri()))
        except MlflowException:  # another run was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)
