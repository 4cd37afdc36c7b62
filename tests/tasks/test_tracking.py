import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks import environment, tracking


def fail_after_two_steps(key: str) -> tracking.TrackedRun:
    """An attempt that logs steps 0 and 1 and then fails."""
    with suppress(ValueError), tracking.stage_run("fit", key, "", {}) as run:
        run.log(0, {"loss": 1.0})
        run.log(1, {"loss": 0.5})
        raise ValueError("bad")
    return run


@pytest.fixture
def client() -> MlflowClient:
    return MlflowClient(environment.tracking_uri())


def test_numbers_arrive_in_order_and_beyond_one_batch(client: MlflowClient) -> None:
    with tracking.stage_run("fit", f"fit-{uuid.uuid4()}", "", {}) as run:
        for step in range(300):
            run.log(step, {"loss": float(step), "gaze": -float(step)})
    history = client.get_metric_history(run.run_id, "loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [(i, float(i)) for i in range(300)]
    assert len(client.get_metric_history(run.run_id, "gaze")) == 300


def test_a_failed_run_keeps_its_numbers_is_marked_and_is_gone_on_with(client: MlflowClient) -> None:
    key = f"fit-{uuid.uuid4()}"
    failed = fail_after_two_steps(key)
    assert client.get_run(failed.run_id).info.status == "FAILED"
    with tracking.stage_run("fit", key, "", {}) as again:
        again.log(1, {"loss": 0.5, "new": 1.0})
        again.log(2, {"loss": 0.25})
    assert again.run_id == failed.run_id
    assert sorted(m.step for m in client.get_metric_history(again.run_id, "loss")) == [0, 1, 2]
    assert [m.step for m in client.get_metric_history(again.run_id, "new")] == [1]
    assert client.get_run(again.run_id).info.status == "FINISHED"


def test_a_finished_run_is_not_written_to_again(client: MlflowClient) -> None:
    key = f"fit-{uuid.uuid4()}"
    with tracking.stage_run("fit", key, "", {}) as first:
        pass
    with tracking.stage_run("fit", key, "", {}) as second:
        pass
    assert first.run_id != second.run_id


def test_nested_parameters_become_dotted_and_many_fit(client: MlflowClient) -> None:
    with tracking.flow_run(
        "flow", str(uuid.uuid4()), {"fit": {"steps": 3}, "many": {str(i): i for i in range(250)}}
    ) as run:
        pass
    params = client.get_run(run.run_id).data.params
    assert (params["fit.steps"], params["many.249"], len(params)) == ("3", "249", 251)


def test_a_folder_becomes_artifacts(client: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("page")
    with tracking.flow_run("flow", str(uuid.uuid4()), {}) as run:
        run.artifact(tmp_path / "report", "report")
    assert [file.path for file in client.list_artifacts(run.run_id, "report")] == ["report/index.html"]
