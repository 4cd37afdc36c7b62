"""Prefect's server for the time of one command. Prefect's own way leaves it behind when the command is killed."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gaze_core.errors import GazeworksError
from tasks import environment

START_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 5.0


@contextmanager
def prefect_server() -> Iterator[Callable[[], None]]:
    """Prefect's API while the context lasts: that of `$PREFECT_API_URL`, or else one that ends with this process.

        with prefect_server() as ready:
            from flows.redirection import redirection  # seconds, in which the server starts
            ready()

    Raises:
        GazeworksError: by `ready()`, if the server does not come up; with the place of its log.
    """
    if os.environ.get("PREFECT_API_URL") or _is_set_in_prefect():
        yield lambda: None
        return
    port, log = free_port(), environment.home() / "own_server.log"
    server = _start(port, log)
    with ExitStack() as settings:

        def ready() -> None:
            wait_for_url(f"http://127.0.0.1:{port}/api/health", lambda: server.poll() is None, log)
            from prefect.settings import PREFECT_API_URL, temporary_settings

            settings.enter_context(temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}))

        try:
            yield ready
        finally:
            _stop(server)


def _is_set_in_prefect() -> bool:
    """Whether a program that has imported Prefect already has told it where its API is."""
    if "prefect" not in sys.modules:
        return False
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def _start(port: int, log: Path) -> "subprocess.Popen[bytes]":
    arguments = ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    marks = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks.processes", "uvicorn", *arguments, "--log-level", "error"],
            env={**os.environ, **environment.OWN_SERVER, **marks, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_url(url: str, is_alive: Callable[[], bool], log: Path, timeout_s: float = START_TIMEOUT_S) -> None:
    """Returns when the address answers.

    Raises:
        GazeworksError: its process ended, or the time is over.
    """
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s and is_alive():
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    how = "did not answer in time" if is_alive() else "ended"
    raise GazeworksError(f"the server that should answer at {url} {how}; see {log}")
