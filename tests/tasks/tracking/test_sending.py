"""Waiting operations are sent once and in order, and one that cannot be sent blocks no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.tracking import outbox, runs, sending
from tasks.tracking.client import Outage, Refusal
from tasks.tracking.outbox import Outbox
from tasks.tracking.sending import send, send_all

OPENING = runs._opening("fit", {}, "id", "", {})


class RecordingWriter:
    """Replaces the MLflow writer: records operations, and raises `fault` once, at `fault_at`."""

    def __init__(self) -> None:
        self.operations: list[Any] = []
        self.fault: Exception | None = None
        self.fault_at = ""
        self.run_id = "run"

    def open(self, opening: outbox.Operation) -> "RecordingWriter":
        self.apply(opening)
        return self

    def apply(self, operation: outbox.Operation) -> None:
        if self.fault and self.fault_at in (operation["kind"], operation.get("path", "")):
            fault, self.fault = self.fault, None
            raise fault
        self.operations.append(operation["kind"])


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[RecordingWriter]:
    writer = RecordingWriter()
    monkeypatch.setattr(sending, "RunWriter", writer)
    return writer


def filled(*kinds: str, **opening: Any) -> Outbox:
    """An outbox with the opening and empty operations of these kinds, held by nobody."""
    box = Outbox.create()
    for operation in ({**OPENING, **opening}, *({"kind": kind, "rows": []} for kind in kinds)):
        box.add(operation)
    box.release()
    return box


def test_operations_sent_before_an_outage_are_not_sent_again(writer: RecordingWriter) -> None:
    filled("summary", "tags", "status")
    writer.fault, writer.fault_at = Outage("away"), "tags"
    assert send_all() == 1
    assert writer.operations == ["open", "summary"]
    assert send_all() == 0
    assert writer.operations == ["open", "summary", "open", "tags", "status"]
    assert send_all() == 0
    assert len(writer.operations) == 5


def test_an_operation_that_mlflow_never_takes_is_set_aside_and_blocks_nothing(
    writer: RecordingWriter, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = filled("summary", "tags", "status")
    writer.fault, writer.fault_at = Refusal("no such tag"), "tags"
    assert send_all() == 0
    assert writer.operations == ["open", "summary", "status"]
    assert outbox.waiting() == []
    left = Outbox(home / "outbox" / "refused" / box.folder.name).read()
    assert [operation["kind"] for operation in left] == ["open", "tags"]
    assert "no such tag" in caplog.text


def test_a_lost_copy_blocks_nothing(home: Path, tmp_path: Path) -> None:
    """With MLflow itself."""
    (tmp_path / "a.txt").write_text("a")
    box = Outbox.create()
    for operation in (
        {**OPENING, "tags": {"id": str(tmp_path)}},
        {"kind": "artifact", "path": str(tmp_path / "a.txt"), "folder": None},
        {"kind": "tags", "rows": [["after", "1"]]},
        {"kind": "status", "status": "FINISHED", "end_ms": 1},
    ):
        box.add(operation)
    next(box.folder.rglob("a.txt")).unlink()
    writer = send(box)
    assert writer is not None
    run = writer.client.get_run(writer.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["after"] == "1"


def test_a_home_that_was_moved_still_finds_its_copies(writer: RecordingWriter, tmp_path: Path, home: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    box = Outbox.create()
    box.add({"kind": "artifact", "path": str(tmp_path / "a.txt")})
    box.release()
    moved = Outbox(box.folder.rename(box.folder.with_name("1-moved")))
    (operation,) = moved.read()
    assert Path(moved.located(operation)["path"]).read_text() == "a"


@pytest.mark.parametrize("fault", [Refusal("the experiment is deleted"), None])
def test_one_outbox_that_cannot_be_sent_blocks_no_other(writer: RecordingWriter, fault: Exception | None) -> None:
    first, _ = filled("tags"), filled("metrics")
    writer.fault, writer.fault_at = fault, "open"
    if fault is None:
        (first.folder / outbox.OPERATIONS_FILE).write_bytes(b"\xff\x00 not an operation\n")
    assert send_all() == (1 if fault else 0)
    assert writer.operations == ["open", "metrics"]
    assert first.folder.exists() == bool(fault)


def test_a_damaged_line_is_left_out_and_logged(writer: RecordingWriter, caplog: pytest.LogCaptureFixture) -> None:
    box = filled("summary", "status")
    path = box.folder / outbox.OPERATIONS_FILE
    opening, summary, status = path.read_text().splitlines()
    path.write_text("\n".join([opening, summary[:-5], "[1]", status, '{"kind": "unfinis']))
    assert send_all() == 0
    assert writer.operations == ["open", "status"]
    assert "line 2 is damaged" in caplog.text
    assert "line 3 is damaged" in caplog.text
    assert "line 5" not in caplog.text  # cut off by a kill, which is nothing unusual


def test_another_mlflow_gets_nothing(
    writer: RecordingWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://gaze:canary@a/db")
    box = filled("tags", **runs._opening("fit", {}, "id", "", {}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://gaze:canary@b/db")
    assert send_all() == 1
    assert writer.operations == []
    assert "waits for the MLflow at postgresql://***@a/db, not for the one at postgresql://***@b/db" in caplog.text
    assert "canary" not in (box.folder / outbox.OPERATIONS_FILE).read_text() + caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://gaze:changed@a/db")
    assert send_all() == 0
    assert writer.operations == ["open", "tags"]


def test_the_experiment_is_the_one_of_the_run_that_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "then")
    opening = runs._opening("fit", {"id": str(tmp_path)}, "id", "", {})
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "now")
    box = Outbox.create()
    box.add(opening)
    writer = send(box)
    assert writer is not None
    assert writer.client.get_experiment(writer.experiment_id).name == "then"
