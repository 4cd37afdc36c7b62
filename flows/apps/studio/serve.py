"""Runs the studio's server until CTRL-C or SIGTERM; nothing of it stays behind."""

import contextlib
import secrets
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from flows.apps.studio.app import make_app
from flows.apps.studio.catalog import Opening
from flows.apps.studio.machine import Machine
from flows.apps.studio.tabs import Studio
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from tasks.console import print_line
from tasks.environment import LOOPBACK

_MAX_MESSAGE_BYTES, _MAX_CONNECTIONS = 65_536, 64


@dataclass(frozen=True)
class Address:
    """Where the page is served; port 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = 0
    browser: bool = False


def serve(openings: list[Opening], address: Address, reports: Path, photo: bytes | None, runtime: Runtime) -> None:
    """Serves the page until it is interrupted.

    Raises:
        BadInput: the address is in use or not one of this machine.
    """
    listening = _listening(address)
    token = secrets.token_urlsafe(24)
    shown = f"[{address.host}]" if ":" in address.host else address.host
    if address.host in ("0.0.0.0", "::"):
        shown = socket.gethostname()
    url = f"http://{shown}:{listening.getsockname()[1]}/?token={token}"
    with contextlib.closing(listening), _own_temporary_folder():
        app = make_app(Studio(Machine(), runtime, openings), token, address.host, reports, photo)
        print_line(f"studio: {url}")
        if address.host not in LOOPBACK:
            print_line("everybody who can reach this machine and knows this address can use the studio")
        print_line("end it with CTRL-C")
        if address.browser:
            threading.Timer(0.5, webbrowser.open, (url,)).start()
        server_of(app).run([listening])


def server_of(app: Starlette) -> uvicorn.Server:
    """The server of an application, not running yet. Messages of a page are short, and there are few of them."""
    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="on", ws="websockets-sansio", ws_max_size=_MAX_MESSAGE_BYTES,
        limit_concurrency=_MAX_CONNECTIONS, timeout_graceful_shutdown=3, server_header=False,
    )  # fmt: skip
    return _Server(config)


def _listening(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
    except OSError as error:
        listening.close()
        raise BadInput(
            f"{address.host}, port {address.port}: cannot listen there ({error.strerror or error}); give another --port"
        ) from error
    return listening


@contextlib.contextmanager
def _own_temporary_folder() -> Iterator[None]:
    """Photos and fits of this process lie in one folder, which is removed at the end."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="gazeworks-studio-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


class _Server(uvicorn.Server):
    """Ends in order at SIGINT and SIGTERM; uvicorn's own would raise the signal again afterwards."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles both signals while the server runs."""

        def end(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
