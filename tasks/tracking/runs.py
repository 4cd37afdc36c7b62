"""MLflow: one parent run for each flow run, one child for each computation.

An unfinished child is found again by its computation's key, so a killed stage that goes on from its checkpoint appends to
its curves, and no step is logged twice. While MLflow is away, a run goes on and its operations wait in the outbox. Only an
address that can never work is an error, raised before a flow begins.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gaze_core.artifacts import ArtifactRef
from gaze_core.errors import BadInput
from tasks import environment
from tasks.redaction import redacted
from tasks.tracking import outbox
from tasks.tracking.client import Outage, Refusal
from tasks.tracking.sending import send, send_all
from tasks.tracking.writer import FLOW_RUN_TAG, MAX_METRICS_PER_CALL, MAX_PARAM_CHARS, RunWriter, flatten, now_ms

KEY_TAG, ARTIFACT_TAG, SHA256_TAG = "gazeworks.key", "gazeworks.artifact", "gazeworks.sha256"
USED_TAG, USED_PER_TAG = "gazeworks.used", 80  # of a flow's run; MLflow cuts a tag after 5,000 characters
RETRY_S = 60.0  # between two tries to reach MLflow while a run goes on

logger = logging.getLogger("gazeworks.tracking")


class TrackedRun:
    """One MLflow run with buffered metrics. Uses no global active run, so stages may run in threads.

    Raises:
        BadInput: `is_first`, and MLflow refuses the operation for good; later, a refusal is treated as an outage.
    """

    def __init__(self, opening: outbox.Operation, is_first: bool = False) -> None:
        self._opening = opening
        self._writer: RunWriter | None = None
        self._waiting: outbox.Outbox | None = None
        self._next_try_s = 0.0
        self._pending: list[tuple[str, float, int, int]] = []
        self._logged_until: dict[str, int] = {}
        self._do(opening, is_first)

    @property
    def run_id(self) -> str:
        """MLflow's id of this run; empty if MLflow has been away since its start."""
        return self._writer.run_id if self._writer else ""

    @property
    def url(self) -> str:
        """Address of this run's page in MLflow; empty if MLflow has been away since its start."""
        if self._writer is None:
            return ""
        base = redacted(environment.tracking_uri())
        return f"{base}/#/experiments/{self._writer.experiment_id}/runs/{self.run_id}"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Adds one row of numbers; a step that an earlier attempt has logged is left as it is."""
        time_ms = now_ms()
        for name, value in values.items():
            if step > self._logged_until.get(name, -1):
                self._pending.append((name, float(value), time_ms, step))
                self._logged_until[name] = step
        if len(self._pending) >= MAX_METRICS_PER_CALL:
            self.flush()

    def flush(self) -> None:
        """Writes the buffered numbers."""
        if self._pending:
            self._do({"kind": "metrics", "rows": self._pending})
            self._pending = []

    def tags(self, values: Mapping[str, str]) -> None:
        """Sets tags."""
        self._do({"kind": "tags", "rows": list(values.items())})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copies a file to the run's artifacts. Never a folder: a user's folder holds more than what a run wrote."""
        if path.is_dir():
            raise ValueError(f"{path}: a folder; name the files that this run wrote")
        self._do({"kind": "artifact", "path": str(path), "folder": folder})

    def finished(self, ref: ArtifactRef, metrics: Mapping[str, float], manifest: Path) -> None:
        """Records what the stage published."""
        self.flush()
        self.log_summary(metrics)
        self.tags({ARTIFACT_TAG: ref.name, SHA256_TAG: ref.sha256})
        self.artifact(manifest)

    def log_summary(self, metrics: Mapping[str, float]) -> None:
        """Adds numbers that belong to the run as a whole and not to a step."""
        time_ms = now_ms()
        self._do({"kind": "summary", "rows": [(name, float(value), time_ms, 0) for name, value in metrics.items()]})

    def used(self, refs: Sequence[ArtifactRef]) -> None:
        """Records all artifacts that a flow run has used so far: its record keeps them (`tasks.tracking.kept`)."""
        names = [ref.name for ref in refs]
        starts = range(0, len(names), USED_PER_TAG)
        self.tags(
            {f"{USED_TAG}.{start // USED_PER_TAG}": " ".join(names[start : start + USED_PER_TAG]) for start in starts}
        )

    def close(self, status: str) -> None:
        """Writes what is buffered and ends the run."""
        self.flush()
        self._next_try_s = 0.0
        self._do({"kind": "status", "status": status, "end_ms": now_ms()})
        if self._waiting:
            logger.warning("MLflow is away; the numbers wait in %s and are sent by a later run", self._waiting.folder)
            self._waiting.release()

    def _do(self, operation: outbox.Operation, is_first: bool = False) -> None:
        """Sends the operation now, or queues it after those that wait already."""
        if self._waiting:
            self._keep(operation)
            if time.monotonic() >= self._next_try_s:
                self._send_waiting()
            return
        try:
            if self._writer is None:
                self._writer = RunWriter.open(self._opening)
            if operation is not self._opening:
                self._writer.apply(operation)
        except Outage as outage:
            if is_first and isinstance(outage, Refusal):
                raise BadInput(
                    f"MLflow at {redacted(environment.tracking_uri())} cannot be used: {outage}; expected in "
                    "MLFLOW_TRACKING_URI http://host:port of its server, or sqlite:////folder/mlflow.db"
                ) from outage
            problem = "refuses" if isinstance(outage, Refusal) else "is out of reach"
            logger.warning("MLflow %s; the run goes on and its numbers are kept: %s", problem, outage)
            self._next_try_s = time.monotonic() + RETRY_S
            self._keep(operation)

    def _keep(self, operation: outbox.Operation) -> None:
        try:
            if self._waiting is None:
                self._waiting = outbox.Outbox.create()
                if operation is not self._opening:  # sending starts by opening the run
                    self._waiting.add(self._opening)
            self._waiting.add(operation)
        except OSError as error:
            logger.warning("MLflow will never know of some %s, which cannot be kept: %s", operation["kind"], error)

    def _send_waiting(self) -> None:
        assert self._waiting is not None
        self._next_try_s = time.monotonic() + RETRY_S
        try:
            self._writer, self._waiting = send(self._waiting), None
        except (Outage, OSError) as error:
            logger.debug("MLflow is still away: %s", error)


@contextmanager
def flow_run(name: str, flow_run_id: str, parameters: Mapping[str, Any]) -> Iterator[TrackedRun]:
    """The parent run of a flow run; a retry of the flow run with the same parameters continues it.

    Raises:
        BadInput: MLflow can never be used at this address.
    """
    tags = {FLOW_RUN_TAG: flow_run_id, USED_TAG: "recorded"}  # though it may be nothing
    opening = _opening(name, tags, FLOW_RUN_TAG, "", parameters)
    with _run(opening, is_first=True) as run:
        if run.run_id and (num_waiting := send_all()):
            logger.warning("the numbers of %d earlier runs still wait in %s", num_waiting, outbox.root())
        yield run


@contextmanager
def stage_run(
    stage: str, key: str, flow_run_id: str, tags: Mapping[str, str], parameters: Mapping[str, Any] | None = None
) -> Iterator[TrackedRun]:
    """The run of one computation, as a child of the current flow run's run."""
    all_tags = {KEY_TAG: key, "gazeworks.stage": stage, "gazeworks.flow_run_id": flow_run_id, **tags}
    with _run(_opening(stage, all_tags, KEY_TAG, flow_run_id, parameters or {})) as run:
        yield run


def _opening(
    name: str, tags: Mapping[str, str], identity: str, flow_run_id: str, parameters: Mapping[str, Any]
) -> outbox.Operation:
    """The operation that opens a run, with everything needed to do so later, MLflow's address and experiment included."""
    params = [(name, redacted(str(value))[:MAX_PARAM_CHARS]) for name, value in flatten(parameters)]
    return {
        "kind": "open", "name": name, "tags": tags, "identity": identity, "flow_run_id": flow_run_id, "params": params,
        "experiment": environment.experiment(), "tracking_uri": redacted(environment.tracking_uri()),
    }  # fmt: skip


@contextmanager
def _run(opening: outbox.Operation, is_first: bool = False) -> Iterator[TrackedRun]:
    run, status = TrackedRun(opening, is_first), "FAILED"
    try:
        yield run
        status = "FINISHED"
    finally:
        run.close(status)
