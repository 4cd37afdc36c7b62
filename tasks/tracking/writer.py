"""Single operations on MLflow's runs. Each can be postponed and repeated."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from tasks import environment
from tasks.tracking.client import Outage, Refusal, connect, noticing_outages
from tasks.tracking.outbox import Operation

__all__ = ["FLOW_RUN_TAG", "Outage", "RunWriter", "flatten", "noticing_outages", "now_ms"]

FLOW_RUN_TAG, PARENT_TAG = "prefect.flow_run_id", "mlflow.parentRunId"
MAX_METRICS_PER_CALL, MAX_PARAMS_PER_CALL, MAX_TAGS_PER_CALL = 500, 100, 100
MAX_PARAM_CHARS = 6000


class RunWriter:
    """Applies operations to one MLflow run. Metrics of steps that an earlier attempt has logged are skipped."""

    def __init__(self, client: MlflowClient, run: Run, has_history: bool) -> None:
        self.client, self.run_id, self.experiment_id = client, str(run.info.run_id), str(run.info.experiment_id)
        self._has_history = has_history
        self._history_until: dict[str, int] = {}

    @classmethod
    def open(cls, operation: Operation) -> "RunWriter":
        """Finds the unfinished run with the same identity and parameters, or creates one as a child of its flow run's.

        Raises:
            Outage: MLflow cannot be used now.
            Refusal: it can never be used like this.
        """
        tags = dict(operation["tags"])
        with noticing_outages():
            client = connect()
            experiment_id = _experiment(client, operation["experiment"])
            if operation["flow_run_id"]:
                parent = _found(client, experiment_id, FLOW_RUN_TAG, operation["flow_run_id"])
                tags |= {PARENT_TAG: parent.info.run_id} if parent else {}
            run = _unfinished(client, experiment_id, operation)
            found = run is not None
            if run is None:
                run = client.create_run(experiment_id, run_name=operation["name"], tags=tags)
            else:
                client.update_run(run.info.run_id, status="RUNNING")
                client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
            for part in _parts([Param(*row) for row in operation["params"]], MAX_PARAMS_PER_CALL):
                client.log_batch(run.info.run_id, params=part)
        return cls(client, run, has_history=found)

    def apply(self, operation: Operation) -> None:
        """Applies one operation of the kinds metrics, summary, tags, artifact, status.

        Raises:
            Outage: MLflow cannot be used now; the operation can be repeated.
            Refusal: MLflow does not take this operation.
        """
        with noticing_outages():
            getattr(self, f"_{operation['kind']}")(operation)

    def _metrics(self, operation: Operation) -> None:
        rows = [row for row in operation["rows"] if row[3] > self._until(row[0])]
        for part in _parts(rows, MAX_METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=[Metric(*row) for row in part])

    def _summary(self, operation: Operation) -> None:
        self.client.log_batch(self.run_id, metrics=[Metric(*row) for row in operation["rows"]])

    def _tags(self, operation: Operation) -> None:
        for part in _parts([RunTag(name, value) for name, value in operation["rows"]], MAX_TAGS_PER_CALL):
            self.client.log_batch(self.run_id, tags=part)

    def _artifact(self, operation: Operation) -> None:
        if not Path(operation["path"]).is_file():
            raise Refusal(f"{operation['path']}: the file is gone")
        self.client.log_artifact(self.run_id, operation["path"], operation["folder"])

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
    """The time in milliseconds since 1970, as MLflow expects it."""
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


def _unfinished(client: MlflowClient, experiment_id: str, operation: Operation) -> Run | None:
    """The run to continue. One with other parameters, from before an update of the code, ends: they cannot be changed."""
    identity = operation["identity"]
    condition = "and attributes.status != 'FINISHED'"
    run = _found(client, experiment_id, identity, operation["tags"][identity], condition)
    if run is None or run.data.params.items() <= {name: value for name, value in operation["params"]}.items():
        return run
    client.set_terminated(run.info.run_id, "KILLED")
    return None


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, environment.figures_uri()))
        except MlflowException:  # another run was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise Refusal(
            f"the experiment {name!r} is deleted; restore it (mlflow experiments restore --experiment-id "
            f"{found.experiment_id}) or set MLFLOW_EXPERIMENT_NAME to another name"
        )
    return str(found.experiment_id)
