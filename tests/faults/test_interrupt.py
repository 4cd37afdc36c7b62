"""CTRL-C at a terminal, which sends SIGINT to every process of the foreground group."""

import os
import pty
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import ROOT
from tests.tiny_subject import write_tiny_subject

STEPS = ["mesh_head.model.cell_m=0.03", "mesh_head.fit.num_steps=2000", "mesh_head.fit.patience=1000"]


def in_a_terminal(command: list[str], env: dict[str, str], work: Path) -> tuple[str, int, float]:
    """Sends CTRL-C once a checkpoint lies below `work`; returns the output since, the exit code and the time in seconds."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # a test run in the background of a shell ignores it, and so would this
        os.execve(command[0], command, env)
    os.set_blocking(terminal, False)
    shown, typed_s, deadline_s = b"", 0.0, time.monotonic() + 240
    while time.monotonic() < deadline_s:
        try:
            shown += os.read(terminal, 65536) if typed_s else os.read(terminal, 65536)[:0]
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:  # the last process has closed the terminal
            return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), time.monotonic() - typed_s
        if not typed_s and any(work.glob("mesh_head-*/last.train.pt")):
            os.write(terminal, b"\x03")
            typed_s = time.monotonic()
    os.killpg(pid, 9)
    pytest.fail(f"the command did not end: {shown.decode()}")


@pytest.mark.faults
def test_ctrl_c_in_training_ends_at_once_with_one_line_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128)
    options = [part for step in STEPS for part in ("--set", step)]
    command = [sys.executable, "-c", "from flows.cli.main import main; main()", "redirect", "--source", "synthetic", "--json",
               "--input", str(tmp_path / "subject.h5"), "--out", str(tmp_path / "out"), *options]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))}
    env = kept | {"GAZEWORKS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "COLUMNS": "200", "TERM": "dumb"}
    work = tmp_path / "home" / "work"
    shown, code, took_s = in_a_terminal(command, env, work)
    assert code == 130
    ends = [line for line in shown.partition("^C")[2].splitlines() if "Traceback" in line or "gazeworks" in line]
    assert ends == ["gazeworks: interrupted; the same command goes on from the last checkpoint"]
    assert took_s <= 3
    assert any(work.glob("mesh_head-*/last.train.pt"))
