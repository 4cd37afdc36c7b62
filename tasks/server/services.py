"""The processes behind `make server`: MLflow, Prefect's server, a watcher and workers, on this machine."""

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from gaze_core.errors import BadInput
from tasks import environment
from tasks.server import prefect_database, processes
from tasks.server.own_server import wait_for_url

STOP_GRACE_S = 10.0
HEARTBEAT_S = 30
POOLS = ("cpu", "gpu")


@dataclass(frozen=True)
class Addresses:
    """Addresses of the servers. Loopback by default: neither server authenticates its users."""

    host: str = "127.0.0.1"
    prefect_port: int = 4200
    mlflow_port: int = 5000

    @property
    def prefect(self) -> str:
        """Prefect's pages."""
        return f"http://{self._reachable}:{self.prefect_port}"

    @property
    def prefect_api(self) -> str:
        """What `PREFECT_API_URL` must be."""
        return f"{self.prefect}/api"

    @property
    def mlflow(self) -> str:
        """MLflow's pages, and its tracking URI."""
        return f"http://{self._reachable}:{self.mlflow_port}"

    @property
    def _reachable(self) -> str:
        return "127.0.0.1" if self.host == "0.0.0.0" else self.host


def folder() -> Path:
    """Folder of the logs and the records of running processes."""
    return environment.home() / "services"


def running() -> list[processes.Process]:
    """The services that run now."""
    return [process for process in processes.remembered(folder()) if process.is_running]


def pools_of_this_machine() -> list[str]:
    """The pools that this machine can serve."""
    return [pool for pool in POOLS if pool == "cpu" or Path("/dev/nvidia0").exists()]


def start(addresses: Addresses, pools: Sequence[str], set_up: Callable[[], None]) -> list[processes.Process]:
    """Starts the servers, calls `set_up` when both answer, then starts watcher and workers; or, if that fails, none stays.

    Raises:
        BadInput: something runs already, or a port is taken.
        NoSpace: there is no room for Prefect's file.
        GazeworksError: a server does not come up.
    """
    if alive := running():
        raise BadInput(f"{', '.join(p.name for p in alive)} run already; stop them with: gazeworks server stop")
    for port, option in ((addresses.prefect_port, "--prefect-port"), (addresses.mlflow_port, "--mlflow-port")):
        _require_free(addresses.host, port, option)
    from tasks.tracking.database import (
        make_database,
    )  # here: MLflow takes seconds to import, and `status` needs none of it

    make_database(environment.tracking_uri())
    prefect_database.prepare()
    with ExitStack() as undo:
        undo.callback(stop)  # whatever goes wrong, CTRL-C too
        started = _start_servers(addresses)
        set_up()
        started = [*started, _start_watcher(addresses), *(start_worker(pool, addresses) for pool in pools)]
        undo.pop_all()
    return started


def _start_servers(addresses: Addresses) -> list[processes.Process]:
    env = _server_environment(addresses)
    rows = {
        "prefect": (_prefect(addresses), addresses.prefect, "/api/health"),
        "mlflow": (_mlflow(addresses), addresses.mlflow, "/health"),
    }
    started = [processes.spawn(name, command, env, folder(), url) for name, (command, url, _) in rows.items()]
    for process in started:
        log = folder() / f"{process.name}.log"
        wait_for_url(process.url + rows[process.name][2], partial(getattr, process, "is_running"), log)
    return started


def _start_watcher(addresses: Addresses) -> processes.Process:
    command = [sys.executable, "-m", "tasks.server.watcher"]
    return processes.spawn("watcher", command, worker_environment(addresses), folder())


def start_worker(pool: str, addresses: Addresses) -> processes.Process:
    """Starts a process worker for a pool, named after this host."""
    name = f"{socket.gethostname()}-{pool}"
    command = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", name]
    return processes.spawn(f"worker-{pool}", [sys.executable, *command], worker_environment(addresses), folder())


def stop() -> list[processes.Process]:
    """Stops what was started here and nothing else; workers first, so that they can still report."""
    stopped = []
    for process in reversed(processes.remembered(folder())):
        if process.is_running:
            process.stop(STOP_GRACE_S)
            stopped.append(process)
        processes.forget(process, folder())
    return stopped


def worker_environment(addresses: Addresses) -> dict[str, str]:
    """Environment variables with which a worker and its runs find the servers and the store."""
    return _server_environment(addresses) | {
        "PREFECT_API_URL": addresses.prefect_api,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "MLFLOW_TRACKING_URI": addresses.mlflow,
        environment.STORE_VARIABLE: environment.store_uri(),
        environment.HOME_VARIABLE: str(environment.home()),
    }


def _server_environment(addresses: Addresses) -> dict[str, str]:
    backend = environment.tracking_uri()
    if backend.startswith("http"):
        raise BadInput("MLFLOW_TRACKING_URI names a server already; unset it to start one here")
    for_one_run = set(environment.OWN_SERVER)  # settings that switch off pages and schedules
    kept = {name: value for name, value in os.environ.items() if name not in for_one_run}
    return kept | {
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_UI_API_URL": os.environ.get("PREFECT_UI_API_URL") or addresses.prefect_api,
        "MLFLOW_BACKEND_STORE_URI": backend,  # as an option, everybody could read its password in the list of processes
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its job queue is eight more processes, which we do not use
        **_allowed_hosts(addresses),
    }


def _allowed_hosts(addresses: Addresses) -> dict[str, str]:
    """Host names that MLflow accepts: ours are added to the user's, which replace MLflow's own list."""
    given = os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS")
    ours = f"localhost:{addresses.mlflow_port},{urlsplit(addresses.mlflow).netloc}"
    return {"MLFLOW_SERVER_ALLOWED_HOSTS": f"{given},{ours}"} if given else {}


def _prefect(addresses: Addresses) -> Sequence[str]:
    port = str(addresses.prefect_port)
    return [sys.executable, "-m", "prefect", "server", "start", "--host", addresses.host, "--port", port]


def _mlflow(addresses: Addresses) -> Sequence[str]:
    files = environment.figures_uri() or (environment.home() / "mlruns").as_uri()
    options = ["--host", addresses.host, "--port", str(addresses.mlflow_port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", "--artifacts-destination", files, *options]


def _require_free(host: str, port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInput(f"port {port} at {host}: {error.strerror}; choose another with {option}") from error
