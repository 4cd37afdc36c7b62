"""MLflow: one parent run for each flow run, one child for each computation. The only user of mlflow.

A child is found again by its computation's key while it is unfinished, so a stage that was killed and goes on
from its checkpoint appends to the curves it had, and a step that MLflow already has is not written twice.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from gaze_core.artifacts import ArtifactRef
from tasks import environment

EXPERIMENT = "gazeworks"
KEY_TAG, FLOW_RUN_TAG, PARENT_TAG = "gazeworks.key", "prefect.flow_run_id", "mlflow.parentRunId"
MAX_METRICS_PER_CALL = 500
MAX_PARAMS_PER_CALL = 100
MAX_PARAM_CHARS = 6000


class TrackedRun:
    """One MLflow run with buffered metrics. Uses no global active run, so stages may run in threads."""

    def __init__(self, client: MlflowClient, run: Run, resumed: bool = False) -> None:
        self.client, self.run_id, self._experiment_id = client, str(run.info.run_id), run.info.experiment_id
        self._pending: list[Metric] = []
        self._last_step: dict[str, int] = {}
        self._has_history = resumed

    @property
    def url(self) -> str:
        """Where MLflow's pages show this run."""
        base = self.client.tracking_uri
        return f"{base}/#/experiments/{self._experiment_id}/runs/{self.run_id}"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one row of numbers; a step that an earlier attempt has logged is left as it is."""
        now_ms = int(time.time() * 1000)
        rows = [(name, value) for name, value in values.items() if step > self._logged_until(name)]
        self._pending += [Metric(name, float(value), now_ms, step) for name, value in rows]
        self._last_step.update({name: step for name, _ in rows})
        if len(self._pending) >= MAX_METRICS_PER_CALL:
            self.flush()

    def flush(self) -> None:
        """Writes the buffered numbers."""
        for start in range(0, len(self._pending), MAX_METRICS_PER_CALL):
            self.client.log_batch(self.run_id, metrics=self._pending[start : start + MAX_METRICS_PER_CALL])
        self._pending.clear()

    def params(self, values: Mapping[str, Any]) -> None:
        """Records parameters; nested mappings become dotted names."""
        rows = [Param(name, str(value)[:MAX_PARAM_CHARS]) for name, value in _flatten(values)]
        for start in range(0, len(rows), MAX_PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=rows[start : start + MAX_PARAMS_PER_CALL])

    def tags(self, values: Mapping[str, str]) -> None:
        """Sets tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in values.items()])

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copies a file, or all files of a folder, to the run's artifacts."""
        copy = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
        copy(self.run_id, str(path), folder)

    def finished(self, ref: ArtifactRef, metrics: Mapping[str, float], manifest: Path) -> None:
        """Records what the stage published."""
        self.log_summary(metrics)
        self.tags({"gazeworks.artifact": ref.uri, "gazeworks.sha256": ref.sha256})
        self.artifact(manifest)

    def log_summary(self, metrics: Mapping[str, float]) -> None:
        """Adds numbers that belong to the run as a whole and not to a step."""
        now_ms = int(time.time() * 1000)
        self._pending += [Metric(name, float(value), now_ms, 0) for name, value in metrics.items()]
        self.flush()

    def _logged_until(self, name: str) -> int:
        if name not in self._last_step:
            history = self.client.get_metric_history(self.run_id, name) if self._has_history else []
            self._last_step[name] = max((metric.step for metric in history), default=-1)
        return self._last_step[name]


@contextmanager
def flow_run(name: str, flow_run_id: str, parameters: Mapping[str, Any]) -> Iterator[TrackedRun]:
    """The parent run of a flow run; a retry of the same flow run goes on with it."""
    with _run(name, {FLOW_RUN_TAG: flow_run_id}, FLOW_RUN_TAG, "") as run:
        run.params(parameters)
        yield run


@contextmanager
def stage_run(stage: str, key: str, flow_run_id: str, tags: Mapping[str, str]) -> Iterator[TrackedRun]:
    """The run of one computation, under the parent of the flow run that is working on it now."""
    all_tags = {KEY_TAG: key, "gazeworks.stage": stage, "gazeworks.flow_run_id": flow_run_id, **tags}
    with _run(stage, all_tags, KEY_TAG, flow_run_id) as run:
        yield run


@contextmanager
def _run(name: str, tags: dict[str, str], identity: str, flow_run_id: str) -> Iterator[TrackedRun]:
    client = MlflowClient(environment.tracking_uri())
    experiment_id = _experiment(client)
    parent = _unfinished(client, experiment_id, FLOW_RUN_TAG, flow_run_id) if flow_run_id else None
    if parent:
        tags = tags | {PARENT_TAG: parent.info.run_id}
    found = _unfinished(client, experiment_id, identity, tags[identity])
    run = TrackedRun(client, found or client.create_run(experiment_id, run_name=name), resumed=found is not None)
    client.update_run(run.run_id, status="RUNNING")
    run.tags(tags)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    finally:
        run.flush()
        client.set_terminated(run.run_id, status)


def _unfinished(client: MlflowClient, experiment_id: str, tag: str, value: str) -> Run | None:
    query = f"tags.`{tag}` = '{value}' and attributes.status != 'FINISHED'"
    found = client.search_runs([experiment_id], query, max_results=1)
    return found[0] if found else None


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        local = environment.tracking_uri().startswith("sqlite:")
        try:
            return str(
                client.create_experiment(EXPERIMENT, (environment.home() / "mlruns").as_uri() if local else None)
            )
        except MlflowException:  # another run was faster
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
    return str(found.experiment_id)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
