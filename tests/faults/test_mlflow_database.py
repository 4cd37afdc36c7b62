"""The first start of several runs at once, and one that is killed while it makes MLflow's database."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.faults.conftest import ROOT, wait_for

OPEN = "import sys; from tasks.tracking import runs\nwith runs.flow_run('flow', sys.argv[1], {}): pass"


def start(home: Path, name: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "GAZEWORKS_HOME": str(home), "PYTHONPATH": str(ROOT)}
    env.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, name], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def runs(home: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'gazeworks'")
    return [run.data.tags["prefect.flow_run_id"] for run in client.search_runs([experiment.experiment_id])]


@pytest.mark.faults
def test_a_killed_first_start_and_three_more_at_once_end_with_one_whole_database(home: Path) -> None:
    killed = start(home, "killed")
    wait_for(lambda: any(path.stat().st_size for path in home.glob(".mlflow.db.*.partial")), "a database in the making")
    killed.kill()
    killed.communicate()
    assert not (home / "mlflow.db").exists()
    at_once = [start(home, str(number)) for number in range(3)]
    output = "".join(process.communicate(timeout=120)[0] for process in at_once)
    assert [process.returncode for process in at_once] == [0, 0, 0], output
    assert sorted(runs(home)) == ["0", "1", "2"]
    assert "out of reach" not in output
    assert list(home.glob(".mlflow.db*")) == []
    assert not (home / "outbox").exists()
