"""A Prefect server for one command. Prefect's own ephemeral server survives a command that is killed; this one does not."""

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gaze_core.errors import BadInput, GazeworksError
from tasks import environment
from tasks.redaction import redacted
from tasks.server.prefect_database import OUR_LINE

START_TIMEOUT_S, ANSWER_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 10.0, 1.0

logger = logging.getLogger("gazeworks.own_server")


@contextmanager
def prefect_server() -> Iterator[Callable[[], None]]:
    """Prefect's API while the context lasts: that of `$PREFECT_API_URL`, or else one that ends with this process.

        with prefect_server() as ready:
            from flows.redirection import redirection  # seconds, in which the server starts
            ready()

    Raises:
        BadInput: the home cannot be written to; by `ready()`, if no server answers at the address that is set, or it
            asks for a login.
        GazeworksError: by `ready()`, if the own server does not come up; with the place of its log.
    """
    environment.require_home()
    if os.environ.get("PREFECT_API_URL") or _is_set_in_prefect():
        yield _require_answer
        return
    port, log = free_port(), environment.home() / "own_server.log"
    server = _start(port, log)
    with ExitStack() as settings:

        def ready() -> None:
            _wait(server, port, log)
            from prefect.settings import PREFECT_API_URL, temporary_settings

            settings.enter_context(temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}))

        try:
            yield ready
        finally:
            _drain_events()
            _stop(server)


def _is_set_in_prefect() -> bool:
    """Whether Prefect is imported already and its API address is set."""
    if "prefect" not in sys.modules:
        return False
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def _require_answer() -> None:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL

    where = f"PREFECT_API_URL={redacted(str(PREFECT_API_URL.value()))}"
    try:
        with get_client(sync_client=True) as client:
            client.request("GET", "/admin/version", timeout=ANSWER_TIMEOUT_S)
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        remedy = (
            "set PREFECT_API_AUTH_STRING=user:password" if status in (401, 403) else "expected the address of its API"
        )
        raise BadInput(f"{where}: a server answers {status}, not Prefect's API; {remedy}") from error
    except (httpx.RequestError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: a server of another version
        remedy = "start it, correct the address, or unset the variable to run without a server"
        raise BadInput(f"{where}: no Prefect server answers ({error}); {remedy}") from error


def _start(port: int, log: Path) -> "subprocess.Popen[bytes]":
    app = ["--factory", "prefect.server.api.server:create_app", "--log-level", "error"]
    arguments = [*app, "--host", "127.0.0.1", "--port", str(port)]
    marks = {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tasks.server.processes", "tasks.server.prefect_database", "uvicorn", *arguments],
            env={**os.environ, **environment.OWN_SERVER, **marks, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,  # or CTRL-C at the terminal would end it before the run has reported to it
        )  # fmt: skip


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    try:
        wait_for_url(f"http://127.0.0.1:{port}/api/health", lambda: server.poll() is None, log)
    except GazeworksError as error:
        raise GazeworksError("; ".join([*_user_lines(log), str(error)])) from error
    for line in _user_lines(log):
        logger.warning(line)


def _user_lines(log: Path) -> list[str]:
    """The log's lines that are meant for the user."""
    lines = log.read_text(errors="replace").splitlines()
    return [line.removeprefix(OUR_LINE) for line in lines if line.startswith(OUR_LINE)]


def _drain_events() -> None:
    """Sends Prefect's queued events; otherwise it would look for the stopped server for seconds at exit."""
    if "prefect.events.worker" in sys.modules:
        from prefect.events.worker import EventsWorker

        EventsWorker.drain_all(timeout=STOP_TIMEOUT_S)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def free_port() -> int:
    """A free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_url(url: str, is_alive: Callable[[], bool], log: Path, timeout_s: float = START_TIMEOUT_S) -> None:
    """Returns when the address answers.

    Raises:
        GazeworksError: its process ended, or the time is over.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is ours, and no proxy lies between
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s and is_alive():
        try:
            with direct.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    fault = f"did not answer within {timeout_s:g} s" if is_alive() else "ended"
    raise GazeworksError(f"the server that should answer at {url} {fault}; see {log}")
