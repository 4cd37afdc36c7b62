"""The processes behind `make server`: commands, environments, and that a failed start leaves no process."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaze_core.errors import BadInput, GazeworksError
from tasks.server import processes, services
from tasks.server.own_server import _require_answer, free_port

SLEEP = ("-c", "import time; time.sleep(60)")


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that requires a login."""

    def do_GET(self) -> None:  # noqa: N802
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def refusing() -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def require(url: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        _require_answer()


def test_a_prefect_server_that_is_away_or_asks_for_a_login_is_one_line(refusing: int) -> None:
    with pytest.raises(BadInput, match="no Prefect server answers .*start it, correct the address, or unset") as away:
        require(f"http://127.0.0.1:{free_port()}/api")
    with pytest.raises(BadInput, match="answers 401, not Prefect's API; set PREFECT_API_AUTH_STRING") as closed:
        require(f"http://127.0.0.1:{refusing}/api")
    assert all("\n" not in str(error.value) and error.value.exit_code == 2 for error in (away, closed))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "prefect"}', '{"name": "x", "pid": "y"}', "\0"])
def test_a_damaged_file_of_a_process_is_passed_over(content: str, tmp_path: Path) -> None:
    started = processes.spawn("good", [services.sys.executable, *SLEEP], {}, tmp_path)
    (tmp_path / "bad.json").write_text(content)
    try:
        assert [process.name for process in processes.remembered(tmp_path)] == ["good"]
    finally:
        started.stop(grace_s=1)


@pytest.mark.parametrize("error", [GazeworksError("no"), OSError("no"), RuntimeError("no"), KeyboardInterrupt()])
def test_nothing_stays_of_a_start_that_failed(error: BaseException, home: Path, monkeypatch) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(services.prefect_database, "prepare", lambda: None)
    monkeypatch.setattr(services, "_prefect", lambda _: [services.sys.executable, *SLEEP])
    monkeypatch.setattr(services, "_mlflow", lambda _: [services.sys.executable, *SLEEP])
    monkeypatch.setattr(services, "wait_for_url", lambda *_: None)
    addresses = services.Addresses("127.0.0.1", free_port(), free_port())
    spawned, spawn = [], processes.spawn
    monkeypatch.setattr(processes, "spawn", lambda *row: spawned.append(spawn(*row)) or spawned[-1])
    with pytest.raises(type(error)):
        services.start(addresses, ["cpu"], fail)
    assert len(spawned) == 2
    assert not any(process.is_running for process in spawned)
    assert processes.remembered(services.folder()) == []


def test_no_password_stands_among_the_options_of_a_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@127.0.0.1/mlflow")
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://me:secret@127.0.0.1/prefect")
    addresses = services.Addresses()
    assert "secret" not in " ".join([*services._mlflow(addresses), *services._prefect(addresses)])
    assert services._server_environment(addresses)["MLFLOW_BACKEND_STORE_URI"].startswith("postgresql://me:secret@")


def test_waiting_for_our_own_server_asks_no_proxy(refusing: int, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody there
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    log = tmp_path / "log"
    log.write_text("")
    started_s = time.monotonic()
    with pytest.raises(GazeworksError, match="did not answer within 1 s"):  # 401: asked, and not the proxy
        services.wait_for_url(f"http://127.0.0.1:{refusing}/", lambda: True, log, timeout_s=1)
    assert time.monotonic() - started_s < 10
    served = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    try:
        services.wait_for_url(f"http://127.0.0.1:{served.server_port}/", lambda: True, log, timeout_s=10)
    finally:
        served.shutdown()


def test_the_record_of_a_process_is_written_whole(tmp_path: Path) -> None:
    started = processes.spawn("good", [services.sys.executable, *SLEEP], {}, tmp_path)
    try:
        assert json.loads((tmp_path / "good.json").read_text())["pid"] == started.pid
        assert not list(tmp_path.glob("*.new"))
    finally:
        started.stop(grace_s=1)
