"""Training in several processes: same result as in one, messages forwarded, errors raised, no process left behind."""

import os
import sys
import time
from pathlib import Path

import pytest

from gaze_core.artifacts import Produced
from gaze_core.config import Config, Runtime
from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.stages.context import StageContext
from gaze_core.stages.distributed import run_stage
from gaze_core.stages.redirection import gaze_gaussian
from gaze_core.training.checkpoint import WEIGHTS_FILE
from gaze_core.training.history import read_history
from tests.gaze_core.stages.redirection.tiny_run import CONFIGS, train, write_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    write_dataset(root)
    train("mesh_head", root, root / "mesh_head")
    return root


@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    from gaze_core.stages import distributed

    processes, start = [], distributed.subprocess.Popen
    monkeypatch.setattr(
        distributed.subprocess, "Popen", lambda *a, **k: processes.append(start(*a, **k)) or processes[-1]
    )
    return processes


class Told:
    def __init__(self):
        self.metrics, self.steps = {}, []

    def log(self, step, values):
        self.metrics.setdefault(step, {}).update(values)

    def __call__(self, step, num_steps, loss):
        self.steps.append(step)


def test_two_processes_train_like_one_with_the_whole_batch(root, tmp_path, started):
    train("gaze_gaussian", root, tmp_path / "one")
    told = Told()
    runtime = Runtime(device="cpu", num_processes=2, log_every_steps=1)
    inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
    context = StageContext(runtime, tmp_path / "two", told, told)
    produced = run_stage(gaze_gaussian, CONFIGS["gaze_gaussian"], inputs, context)
    alone, shared = (read_history(tmp_path / name) for name in ("one", "two"))
    assert [row["step"] for row in alone] == [row["step"] for row in shared]
    assert len(alone) > 7
    for row, other in zip(alone, shared, strict=True):
        for name, value in row.items():
            assert other[name] == pytest.approx(value, abs=1e-4), (row["step"], name)
    assert produced.files[WEIGHTS_FILE] == tmp_path / "two" / WEIGHTS_FILE
    assert told.steps == list(range(1, 8))
    assert {"loss", "validation/head_l1"} < set(told.metrics[6])
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


class Choice(Config):
    width_px: int = 1
    failing_rank: int | None = None


VERSION, TRAINS = 1, True  # this module is a stage, too: it writes down what it was given


def run(config, inputs, context):
    seen = context.work_dir / "seen.txt"
    if config.failing_rank == int(os.environ["RANK"]):
        raise BadInput(f"rank {config.failing_rank}: no such thing")
    if config.failing_rank is not None:
        time.sleep(60)
    if os.environ["RANK"] == "0":
        seen.write_text(repr((config, dict(inputs), context.runtime)))
    return Produced("report", {"seen.txt": seen})


def test_every_process_gets_the_same_inputs_as_a_single_process(tmp_path):
    inputs = {
        "absent": None,
        "one": tmp_path,
        "several": (tmp_path / "a", None),
        "none": (),
        "choice": Choice(width_px=2),
    }
    context = StageContext(Runtime(device="cpu", num_processes=2), tmp_path / "work")
    produced = run_stage(sys.modules[__name__], Choice(), inputs, context)
    assert produced.files["seen.txt"].read_text() == repr((Choice(), inputs, context.runtime))


def test_an_error_of_the_stage_is_the_error_of_the_run(root, tmp_path, started):
    context = StageContext(Runtime(device="cpu", num_processes=2), tmp_path)
    with pytest.raises(MissingArtifact, match="no readable mesh_head checkpoint"):
        run_stage(gaze_gaussian, CONFIGS["gaze_gaussian"], {"data": root / "data", "mesh_head": tmp_path}, context)
    assert all(process.returncode is not None for process in started)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_any_process_is_raised_and_ends_the_others(rank, tmp_path, started):
    context = StageContext(Runtime(device="cpu", num_processes=2), tmp_path / "work")
    with pytest.raises(BadInput, match=f"rank {rank}: no such thing"):
        run_stage(sys.modules[__name__], Choice(failing_rank=rank), {}, context)
    assert all(process.returncode is not None for process in started)


def test_cancelling_ends_all_processes(root, tmp_path, started):
    class Cancelled(Exception):
        pass

    def progress(step, num_steps, loss):
        raise Cancelled

    context = StageContext(Runtime(device="cpu", num_processes=2), tmp_path, progress=progress)
    with pytest.raises(Cancelled):
        run_stage(
            gaze_gaussian, CONFIGS["gaze_gaussian"], {"data": root / "data", "mesh_head": root / "mesh_head"}, context
        )
    assert len(started) == 2
    for process in started:
        assert process.returncode is not None
        assert not Path(f"/proc/{process.pid}").exists() or os.getpid() == process.pid
