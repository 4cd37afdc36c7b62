"""The server of one command ends with it, even when the command is killed."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from gaze_core.errors import GazeworksError
from tasks.server import processes
from tasks.server.own_server import free_port, prefect_server, wait_for_url
from tests.faults.conftest import ROOT, wait_for

COMMAND = """
import time
from tasks.server.own_server import prefect_server
with prefect_server() as ready:
    from prefect.settings import PREFECT_API_URL
    ready()
    print(PREFECT_API_URL.value(), flush=True)
    time.sleep(600)
"""


def start() -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND], env={**environment, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def test_the_server_ends_with_its_command_even_if_that_is_killed() -> None:
    command = start()
    assert command.stdout is not None
    url = command.stdout.readline().strip()
    assert answers(url)
    command.send_signal(signal.SIGKILL)
    command.wait()
    command.stdout.close()
    wait_for(lambda: not answers(url), "the server to end", 30)


def test_a_server_that_is_given_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with prefect_server() as ready:
        ready()


def test_a_server_that_ends_at_once_is_said(tmp_path: Path) -> None:
    with pytest.raises(GazeworksError, match=r"ended; see .*x\.log"):
        wait_for_url(f"http://127.0.0.1:{free_port()}", lambda: False, tmp_path / "x.log")


def test_only_the_process_that_was_started_is_stopped(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        recycled = processes.Process("x", bystander.pid, "another birth")
        assert not recycled.is_running
        recycled.stop(grace_s=0.1)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_process_that_will_not_go_is_killed_with_its_children(tmp_path: Path) -> None:
    script = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    process = processes.spawn("stubborn", [sys.executable, "-c", script], dict(os.environ), tmp_path / "services")
    wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "", "the child", 20)
    assert processes.remembered(tmp_path / "services") == [process]
    process.stop(grace_s=0.3)
    assert not process.is_running
    wait_for(lambda: not processes.start_time(int((tmp_path / "child").read_text())), "the child's end", 5)
    processes.forget(process, tmp_path / "services")
    assert processes.remembered(tmp_path / "services") == []
