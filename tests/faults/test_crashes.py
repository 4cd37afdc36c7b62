"""Killed processes, a server that goes away, workers that die: nothing is lost and nothing is trained twice.

Minutes, on real processes: `make test-faults`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster
from tests.faults.conftest import ROOT, wait_for
from tests.tiny_subject import write_tiny_subject

pytestmark = pytest.mark.faults
CHECKPOINTS = {"num_steps": 60, "checkpoint_every_steps": 5}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server, one worker and the deployed pipeline."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    with cluster.settings():
        try:
            cluster.start_server()
            from tasks.server import setup

            setup.create_pool("cpu", "process", None)
            cluster.start_watcher(beat_s=25, num_beats=3)
            cluster.start_worker("first")
            cluster.deploy()
            yield cluster
        finally:
            cluster.close()


def last_start(cluster: Cluster) -> int:
    """The step at which `learn` started or resumed the last time."""
    return [int(row.split()[1]) for row in cluster.diary() if row.startswith("learn ")][-1]


def result_of(cluster: Cluster, salt: str) -> list[object]:
    found = [json.loads(path.read_text()) for path in (cluster.home / "store" / "learn").glob("*/result.json")]
    (mine,) = [row for row in found if row[1]["salt"] == salt]
    return mine


def kill_in_training(cluster: Cluster, run) -> None:
    """SIGKILL of the flow run's process once it has written a checkpoint."""
    cluster.wait_for_checkpoint()
    os.kill(cluster.pid(run), signal.SIGKILL)


def test_a_killed_run_is_marked_and_a_retry_goes_on_from_its_checkpoint(cluster: Cluster) -> None:
    run = cluster.submit(salt="retry", **CHECKPOINTS)
    kill_in_training(cluster, run)
    cluster.wait_for_state(run, "Crashed")
    time.sleep(45)  # the worker reports the death a second time, later on a busy machine, and that would end the retry
    cluster.retry(run)
    cluster.wait_for_state(run, "Completed")
    assert last_start(cluster) >= 5
    assert cluster.read(run).run_count == 2
    wait_for(lambda: any(line.startswith("learn: resumed in") for line in cluster.lines(run)), "our lines on the page")
    whole = cluster.submit(salt="whole", **CHECKPOINTS)
    cluster.wait_for_state(whole, "Completed")
    assert result_of(cluster, "retry")[0] == result_of(cluster, "whole")[0]
    assert cluster.starts("gather") == 2  # one each


def test_a_new_run_goes_on_where_a_killed_one_was(cluster: Cluster) -> None:
    run = cluster.submit(salt="again", **CHECKPOINTS)
    kill_in_training(cluster, run)
    cluster.wait_for_state(run, "Crashed")
    again = cluster.submit(salt="again", **CHECKPOINTS)
    cluster.wait_for_state(again, "Completed")
    assert last_start(cluster) >= 5


def test_a_run_outlives_a_restart_of_the_server(cluster: Cluster) -> None:
    before = cluster.starts("learn")
    run = cluster.submit(salt="restart", num_steps=100, checkpoint_every_steps=5)
    wait_for(lambda: cluster.starts("learn") > before, "training to begin")
    time.sleep(2)
    cluster.stop("server")
    time.sleep(5)
    cluster.start_server()
    cluster.wait_for_state(run, "Completed", timeout_s=180)
    assert cluster.starts("learn") == before + 1
    after = cluster.submit(salt="restart", num_steps=100, checkpoint_every_steps=5)
    cluster.wait_for_state(after, "Completed", timeout_s=180)  # the worker found the server again
    assert cluster.starts("learn") == before + 1


def test_a_run_whose_worker_is_killed_ends_or_is_marked_and_goes_on_at_another(cluster: Cluster) -> None:
    before = cluster.starts("learn")
    run = cluster.submit(salt="orphan", num_steps=150, checkpoint_every_steps=5)
    cluster.wait_for_checkpoint()
    cluster.kill("first")
    cluster.start_worker("second")
    # Nobody reads any more what the run prints, of which it may die or not.
    cluster.wait_for_state(run, "Crashed", "Zombie", "Completed")
    if cluster.state(run) != "Completed":
        cluster.retry(run)
        cluster.wait_for_state(run, "Completed")
    finished_its_training = cluster.starts("learn") == before + 1
    assert finished_its_training or last_start(cluster) >= 5


def test_a_run_that_died_with_its_worker_is_found_and_goes_on_at_another(cluster: Cluster) -> None:
    cluster.start_worker("third")
    run = cluster.submit(salt="zombie", **CHECKPOINTS)
    cluster.wait_for_checkpoint()
    pid = cluster.pid(run)
    doomed = _worker_of(cluster, pid)
    cluster.kill(doomed)
    os.kill(pid, signal.SIGKILL)
    other = cluster.submit(salt="meanwhile", num_steps=5)
    cluster.wait_for_state(other, "Completed")  # the other worker is not held up
    cluster.wait_for_state(run, "Zombie", timeout_s=150)
    cluster.retry(run)
    cluster.wait_for_state(run, "Completed", timeout_s=180)
    assert last_start(cluster) >= 5


def _worker_of(cluster: Cluster, pid: int) -> str:
    """Which of two workers started a process; it has no other child with that number above it."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    (name,) = [name for name, process in cluster.running.items() if process.pid == parent]
    return name


def test_the_command_line_killed_in_training_goes_on_when_it_is_called_again(tmp_path: Path) -> None:
    write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128)
    steps = ["mesh_head.model.cell_m=0.03", "mesh_head.fit.num_steps=200", "mesh_head.fit.patience=1000",
             "gaze_gaussian.fit.num_steps=2", "gaze_gaussian.model.cell_m=0.03",
             "gaze_gaussian.model.points_per_eye=20", "evaluate.num_shown=2"]  # fmt: skip
    options = [part for step in steps for part in ("--set", step)]
    command = [sys.executable, "-c", "from flows.cli.main import main; main()", "redirect", "--source", "synthetic",
               "--input", str(tmp_path / "subject.h5"), "--out", str(tmp_path / "out"), *options]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))}
    env = kept | {"GAZEWORKS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}

    def checkpoint() -> bool:
        return bool(list((tmp_path / "home" / "work").glob("mesh_head-*/last.train.pt")))

    first = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(checkpoint, "a checkpoint", 180)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
    assert second.returncode == 0, second.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "out" / "report.json").read_text())["stages"]}
    assert rows["preprocess"]["cached"]
    assert rows["mesh_head"]["how"] == "resumed"
