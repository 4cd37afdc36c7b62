import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock

import pytest
from mlflow import MlflowClient
from sqlalchemy.exc import OperationalError

from gaze_core.errors import BadInput
from tasks import environment
from tasks.tracking import outbox, runs
from tasks.tracking.sending import send_all
from tasks.tracking.writer import PARENT_TAG


def fail_after_two_steps(key: str) -> runs.TrackedRun:
    """An attempt that logs steps 0 and 1 and then fails."""
    with suppress(ValueError), runs.stage_run("fit", key, "", {}) as run:
        run.log(0, {"loss": 1.0})
        run.log(1, {"loss": 0.5})
        raise ValueError("bad")
    return run


@pytest.fixture
def client() -> MlflowClient:
    return MlflowClient(environment.tracking_uri())


def test_numbers_arrive_in_order_and_beyond_one_batch(client: MlflowClient) -> None:
    with runs.stage_run("fit", f"fit-{uuid.uuid4()}", "", {}) as run:
        for step in range(300):
            run.log(step, {"loss": float(step), "gaze": -float(step)})
    history = client.get_metric_history(run.run_id, "loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [(i, float(i)) for i in range(300)]
    assert len(client.get_metric_history(run.run_id, "gaze")) == 300


def test_a_failed_run_keeps_its_numbers_is_marked_and_is_gone_on_with(client: MlflowClient) -> None:
    key = f"fit-{uuid.uuid4()}"
    failed = fail_after_two_steps(key)
    assert client.get_run(failed.run_id).info.status == "FAILED"
    with runs.stage_run("fit", key, "", {}) as again:
        again.log(1, {"loss": 0.5, "new": 1.0})
        again.log(2, {"loss": 0.25})
    assert again.run_id == failed.run_id
    assert sorted(m.step for m in client.get_metric_history(again.run_id, "loss")) == [0, 1, 2]
    assert [m.step for m in client.get_metric_history(again.run_id, "new")] == [1]
    assert client.get_run(again.run_id).info.status == "FINISHED"


def test_a_finished_run_is_not_written_to_again(client: MlflowClient) -> None:
    key = f"fit-{uuid.uuid4()}"
    with runs.stage_run("fit", key, "", {}) as first:
        pass
    with runs.stage_run("fit", key, "", {}) as second:
        pass
    assert first.run_id != second.run_id


def test_nested_parameters_become_dotted_and_many_fit(client: MlflowClient) -> None:
    with runs.flow_run(
        "flow", str(uuid.uuid4()), {"fit": {"steps": 3}, "many": {str(i): i for i in range(250)}}
    ) as run:
        pass
    params = client.get_run(run.run_id).data.params
    assert (params["fit.steps"], params["many.249"], len(params)) == ("3", "249", 251)


def test_files_become_artifacts_and_folders_never(client: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PASSWORD=secret")
    (tmp_path / "index.html").write_text("page")
    with runs.flow_run("flow", str(uuid.uuid4()), {}) as run:
        run.artifact(tmp_path / "index.html", "report")
        with pytest.raises(ValueError, match="a folder; name the files"):
            run.artifact(tmp_path, "report")
    assert [file.path for file in client.list_artifacts(run.run_id, "report")] == ["report/index.html"]


def test_a_retry_with_other_parameters_is_another_run(client: MlflowClient) -> None:
    flow_run_id = str(uuid.uuid4())

    def attempt(parameters: dict[str, int]) -> runs.TrackedRun:
        with suppress(ValueError), runs.flow_run("flow", flow_run_id, parameters) as run:
            raise ValueError("killed")
        return run

    first, same, changed = attempt({"steps": 3}), attempt({"steps": 3}), attempt({"steps": 4})
    assert same.run_id == first.run_id
    assert changed.run_id != first.run_id
    assert client.get_run(first.run_id).info.status == "KILLED"
    assert client.get_run(changed.run_id).data.params == {"steps": "4"}
    with runs.stage_run("fit", f"fit-{uuid.uuid4()}", flow_run_id, {}) as child:
        pass
    assert client.get_run(child.run_id).data.tags[PARENT_TAG] == changed.run_id


def test_training_outlives_the_deletion_of_its_run(client: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
    key = f"fit-{uuid.uuid4()}"
    with runs.stage_run("fit", key, "", {}) as run:
        client.delete_run(run.run_id)
        run.log(1, {"loss": 1.0})
        run.flush()
    assert "MLflow refuses; the run goes on" in caplog.text
    assert outbox.waiting() == []
    assert [m.step for m in client.get_metric_history(run.run_id, "loss")] == [1]  # of a new run in its place
    assert client.get_run(run.run_id).data.tags[runs.KEY_TAG] == key


def test_training_outlives_the_deletion_of_its_experiment(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name := f"deleted-{uuid.uuid4()}")
    with runs.stage_run("fit", f"fit-{uuid.uuid4()}", "", {}) as run:
        client.delete_experiment(found := client.get_experiment_by_name(name).experiment_id)
        run.log(1, {"loss": 1.0})
    assert len(outbox.waiting()) == 1
    with pytest.raises(BadInput, match=f"{name}' is deleted; restore it"), runs.flow_run("flow", "", {}):
        pass
    client.restore_experiment(found)
    assert send_all() == 0
    (sent,) = client.search_runs([found])
    assert sent.data.metrics == {"loss": 1.0}


def test_an_operation_that_can_neither_be_sent_nor_kept_ends_no_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    home.mkdir()
    (home / "outbox").write_text("a file where the outbox should be")
    with runs.stage_run("fit", f"fit-{uuid.uuid4()}", "", {}) as run:
        run.log(1, {"loss": 1.0})
    assert "MLflow will never know of some metrics" in caplog.text


def test_a_database_that_raises_what_no_one_expects_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    with runs.stage_run("fit", f"fit-{uuid.uuid4()}", "", {}) as run:
        lost = OperationalError("INSERT", {}, Exception("server closed the connection unexpectedly"))
        monkeypatch.setattr(MlflowClient, "log_batch", mock.Mock(side_effect=lost))
        run.tags({"a": "1"})
        monkeypatch.undo()
    assert outbox.waiting() == []


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/tmp/a/folder", "maintenance mode"),
        ("file:///tmp/a/folder", "maintenance mode"),
        ("nope://host", "unsupported URI 'nope://host'"),
        ("http://[bad", "Invalid IPv6 URL"),
        (
            "postgresql://someone:canary@127.0.0.1:1/db",
            r"postgresql://\*\*\*@127.0.0.1:1/db .*No module named 'psycopg2'",
        ),
        ("sqlite:///{folder}", "a folder; expected a SQLite file"),
        ("sqlite:///{folder}/text/mlflow.db", "no database for MLflow can be made here"),
        ("sqlite:///{folder}/text", "not a database"),
        ("http://127.0.0.1:{port}", "404"),
    ],
)
def test_an_address_that_can_never_work_is_reported_before_a_flow_begins(
    uri: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_text("not a database, and long enough that nobody takes it for an empty one" * 9)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(BaseHTTPRequestHandler, "do_GET", lambda self: self.send_error(404), raising=False)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(folder=tmp_path, port=server.server_port))
        with (
            pytest.raises(BadInput, match=f"cannot be used: .*{expected}|{expected}.*MLFLOW_TRACKING_URI") as raised,
            runs.flow_run("flow", "", {}),
        ):
            pass
        server.shutdown()
    assert "canary" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert outbox.waiting() == []
