"""MLflow: one parent run for each flow run, one child for each computation.

A child is found again by its computation's key while it is unfinished, so a stage that was killed and goes on
from its checkpoint appends to the curves it had, and a step that MLflow already has is not written twice.
While MLflow is away, a run goes on and what it has to say waits in the outbox.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gaze_core.artifacts import ArtifactRef
from tasks import environment, outbox
from tasks.mlflow_runs import FLOW_RUN_TAG, MAX_METRICS_PER_CALL, Outage, RunWriter, flatten, now_ms
from tasks.redaction import redacted

KEY_TAG, ARTIFACT_TAG, SHA256_TAG = "gazeworks.key", "gazeworks.artifact", "gazeworks.sha256"
USED_TAG, USED_PER_TAG = "gazeworks.used", 80  # of a flow's run; MLflow cuts a tag after 5,000 characters
RETRY_S = 60.0  # between two tries to reach MLflow while a run goes on

logger = logging.getLogger("gazeworks.tracking")


class TrackedRun:
    """One MLflow run with buffered metrics. Uses no global active run, so stages may run in threads."""

    def __init__(self, opening: outbox.Operation) -> None:
        self._opening = opening
        self._writer: RunWriter | None = None
        self._waiting: outbox.Outbox | None = None
        self._next_try_s = 0.0
        self._pending: list[tuple[str, float, int, int]] = []
        self._logged_until: dict[str, int] = {}
        self._do(opening)

    @property
    def run_id(self) -> str:
        """MLflow's name of this run; empty as long as MLflow has been away."""
        return self._writer.run_id if self._writer else ""

    @property
    def url(self) -> str:
        """Where MLflow's pages show this run; empty as long as MLflow has been away."""
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

    def params(self, values: Mapping[str, Any]) -> None:
        """Records parameters; nested mappings become dotted names."""
        self._do({"kind": "params", "rows": [(name, redacted(str(value))) for name, value in flatten(values)]})

    def tags(self, values: Mapping[str, str]) -> None:
        """Sets tags."""
        self._do({"kind": "tags", "rows": list(values.items())})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copies a file, or all files of a folder, to the run's artifacts."""
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
        """Records all artifacts that a flow run has used so far: its record keeps them (`tasks.kept`)."""
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

    def _do(self, operation: outbox.Operation) -> None:
        """Does the operation now, or after all that waits already."""
        if self._waiting:
            self._waiting.add(operation)
            if time.monotonic() >= self._next_try_s:
                self._send_what_waits()
            return
        try:
            self._perform(operation)
        except Outage as outage:
            logger.warning("MLflow is out of reach; the run goes on and its numbers are kept: %s", outage)
            self._next_try_s = time.monotonic() + RETRY_S
            self._waiting = outbox.Outbox.create()
            if operation is not self._opening:  # whoever sends the rest must find the run
                self._waiting.add(self._opening)
            self._waiting.add(operation)

    def _send_what_waits(self) -> None:
        assert self._waiting is not None
        self._next_try_s = time.monotonic() + RETRY_S
        writer = send(self._waiting)
        if writer:
            self._writer, self._waiting = writer, None

    def _perform(self, operation: outbox.Operation) -> None:
        if operation["kind"] == "open":
            self._writer = RunWriter.open(operation)
        else:
            assert self._writer is not None
            self._writer.apply(operation)


def send(box: outbox.Outbox) -> RunWriter | None:
    """Tells MLflow all that waits in an outbox that the caller holds, and removes it; None if MLflow is still away."""
    opening, *rest = box.read()
    done = 0
    try:
        writer = RunWriter.open(opening)
        for operation in rest:
            writer.apply(operation)
            done += 1
    except Outage:
        box.keep_only([opening, *rest[done:]])
        return None
    box.keep_only([])
    box.release()
    return writer


def send_all() -> int:
    """Tells MLflow what runs that have ended could not; returns how many still wait."""
    boxes = [box for box in outbox.waiting() if box.hold()]
    try:
        for index, box in enumerate(boxes):
            if box.read() and send(box) is None:
                return len(boxes) - index
        return 0
    finally:
        for box in boxes:
            box.release()


@contextmanager
def flow_run(name: str, flow_run_id: str, parameters: Mapping[str, Any]) -> Iterator[TrackedRun]:
    """The parent run of a flow run; a retry of the same flow run goes on with it."""
    if waiting := send_all():
        logger.warning("the numbers of %d earlier runs still wait in %s", waiting, outbox.root())
    tags = {FLOW_RUN_TAG: flow_run_id, USED_TAG: "recorded"}  # though it may be nothing
    opening = {"kind": "open", "name": name, "tags": tags, "identity": FLOW_RUN_TAG}
    with _run(opening | {"flow_run_id": ""}) as run:
        run.params(parameters)
        yield run


@contextmanager
def stage_run(stage: str, key: str, flow_run_id: str, tags: Mapping[str, str]) -> Iterator[TrackedRun]:
    """The run of one computation, under the parent of the flow run that is working on it now."""
    all_tags = {KEY_TAG: key, "gazeworks.stage": stage, "gazeworks.flow_run_id": flow_run_id, **tags}
    with _run(
        {"kind": "open", "name": stage, "tags": all_tags, "identity": KEY_TAG, "flow_run_id": flow_run_id}
    ) as run:
        yield run


@contextmanager
def _run(opening: outbox.Operation) -> Iterator[TrackedRun]:
    run, status = TrackedRun(opening), "FAILED"
    try:
        yield run
        status = "FINISHED"
    finally:
        run.close(status)
