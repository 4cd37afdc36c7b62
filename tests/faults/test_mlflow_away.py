"""Runs while MLflow's server is away: they continue, and their operations arrive later, once and in order."""

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from werkzeug.serving import make_server

from gaze_core.errors import BadInput
from tasks.tracking import outbox, runs
from tasks.tracking.sending import send_all
from tasks.tracking.writer import FLOW_RUN_TAG, PARENT_TAG
from tests.faults.bad_network import BadNetwork
from tests.faults.pipeline import STAGES, counted

ALWAYS = 10**6


@pytest.fixture(scope="module")
def mlflow_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """MLflow's own server application, in a thread."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(folder / "artifacts"))
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        from mlflow.server import app

        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # At its first request the application puts its own store into this process's MLFLOW_TRACKING_URI.
        patch.setenv("MLFLOW_TRACKING_URI", "")
        MlflowClient(f"http://127.0.0.1:{server.server_port}").search_experiments()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def network(mlflow_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadNetwork]:
    proxy = BadNetwork(mlflow_port)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(runs, "MAX_METRICS_PER_CALL", 4)
    yield proxy
    proxy.shutdown()
    proxy.server_close()


def steps(client: MlflowClient, run_id: str, name: str = "loss") -> list[int]:
    return sorted(metric.step for metric in client.get_metric_history(run_id, name))


def run_of(client: MlflowClient, tag: str, value: str):
    (experiment,) = client.search_experiments(filter_string="name = 'gazeworks'")
    (found,) = client.search_runs([experiment.experiment_id], f"tags.`{tag}` = '{value}'")
    return found


def test_an_outage_in_the_middle_loses_no_step(network: BadNetwork, tmp_path: Path) -> None:
    key = f"fit-{uuid.uuid4()}"
    figure = tmp_path / "figure.png"
    figure.write_bytes(b"picture")
    with runs.stage_run("fit", key, "", {}) as run:
        for step in range(20):
            if step == 6:
                network.spoil(ALWAYS, "closed")
            run.log(step, {"loss": float(step)})
        run.artifact(figure)
        figure.unlink()  # work folders are removed after success
    assert len(outbox.waiting()) == 1
    client = MlflowClient(network.url)
    network.spoil(0, "closed")
    assert client.get_run(run.run_id).info.status == "RUNNING"
    assert send_all() == 0
    assert steps(client, run.run_id) == list(range(20))
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(run.run_id)] == ["figure.png"]
    assert outbox.waiting() == []


def test_a_run_that_never_met_mlflow_arrives_as_a_whole(network: BadNetwork) -> None:
    flow_run_id, key = str(uuid.uuid4()), f"fit-{uuid.uuid4()}"
    network.spoil(ALWAYS, "unavailable")
    with (
        runs.flow_run("flow", flow_run_id, {"a": 1}) as parent,
        runs.stage_run("fit", key, flow_run_id, {}) as run,
    ):
        run.log(1, {"loss": 1.0})
        assert (parent.run_id, run.run_id, run.url) == ("", "", "")
    assert send_all() == 2
    network.spoil(0, "unavailable")
    assert send_all() == 0
    client = MlflowClient(network.url)
    parent_run, child = run_of(client, FLOW_RUN_TAG, flow_run_id), run_of(client, runs.KEY_TAG, key)
    assert child.data.tags[PARENT_TAG] == parent_run.info.run_id
    assert {parent_run.info.status, child.info.status} == {"FINISHED"}
    assert parent_run.data.params == {"a": "1"}


def test_mlflow_that_comes_back_gets_the_rest_in_the_same_run(
    network: BadNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RETRY_S", 0.0)
    with runs.stage_run("fit", f"fit-{uuid.uuid4()}", "", {}) as run:
        network.spoil(2, "closed")
        for step in range(40):
            run.log(step, {"loss": float(step)})
    assert steps(MlflowClient(network.url), run.run_id) == list(range(40))
    assert outbox.waiting() == []


def test_what_a_live_run_keeps_is_not_sent_by_another(network: BadNetwork) -> None:
    with runs.stage_run("fit", f"fit-{uuid.uuid4()}", "", {}) as run:
        network.spoil(ALWAYS, "closed")
        run.tags({"a": "1"})
        network.spoil(0, "closed")
        assert send_all() == 0
        assert len(outbox.waiting()) == 1
    assert outbox.waiting() == []


def test_a_line_that_a_killed_process_did_not_finish_is_left_out(home: Path) -> None:
    box = outbox.Outbox.create()
    box.add({"kind": "tags", "rows": []})
    with (box.folder / outbox.OPERATIONS_FILE).open("a") as file:
        file.write('{"kind": "met')
    assert [operation["kind"] for operation in box.read()] == ["tags"]
    box.release()


@pytest.mark.usefixtures("prefect_api")
def test_a_whole_flow_goes_on_without_mlflow_and_the_next_one_reports_it(
    network: BadNetwork, diary: Callable[[], list[str]], caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    network.spoil(ALWAYS, "closed")
    with caplog.at_level("WARNING", logger="gazeworks"):
        assert counted(salt=request.node.name) == dict.fromkeys(STAGES, "computed")
    assert "MLflow is out of reach; the run goes on" in caplog.text
    network.spoil(0, "closed")
    assert counted(salt=request.node.name) == dict.fromkeys(STAGES, "cached")
    client = MlflowClient(network.url)
    (experiment,) = client.search_experiments(filter_string="name = 'gazeworks'")
    learned = client.search_runs([experiment.experiment_id], "tags.`gazeworks.stage` = 'learn'")
    assert [steps(client, run.info.run_id) for run in learned] == [list(range(1, 11))]
    assert len(diary()) == 3
    assert outbox.waiting() == []


def test_a_password_in_the_address_of_a_server_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:canary@127.0.0.1:1")
    with (
        pytest.raises(BadInput, match="MLFLOW_TRACKING_URI.*MLFLOW_TRACKING_PASSWORD") as raised,
        runs.flow_run("flow", "", {}),
    ):
        pass
    assert "canary" not in str(raised.value)
