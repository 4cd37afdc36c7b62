"""A Prefect server with workers, as processes that can be killed and started again, and the pipeline deployed to them."""

import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from tasks import environment
from tasks.server import processes
from tasks.server.own_server import free_port, wait_for_url
from tests.faults.conftest import ROOT, wait_for
from tests.faults.pipeline import DIARY_VARIABLE, STEP_S_VARIABLE

POOL, DEPLOYMENT = "cpu", "counted/trial"
_OF_A_RUN = {"PREFECT_LOGGING_EXTRA_LOGGERS": environment.LOGGER}  # as in prefect.yaml


class Cluster:
    """`home` holds everything; each process can be stopped and started again."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.diary_path = home / "diary"
        self.running: dict[str, processes.Process] = {}
        home.mkdir(parents=True, exist_ok=True)
        self.diary_path.touch()

    @property
    def env(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("PREFECT", "MLFLOW", "GAZEWORKS")) and name not in environment.OWN_SERVER
        }  # fmt: skip
        return inherited | {
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "GAZEWORKS_HOME": str(self.home),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.home}/mlflow.db",
            "PYTHONPATH": str(ROOT),
            DIARY_VARIABLE: str(self.diary_path),
            STEP_S_VARIABLE: "0.2",
        }

    def start_server(self) -> None:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self._start("server", command)
        wait_for_url(f"{self.url}/api/health", lambda: self.running["server"].is_running, self.home / "server.log")

    def start_worker(self, name: str) -> None:
        command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", name]
        self._start(name, [sys.executable, *command])

    def start_watcher(self, beat_s: float, num_beats: int) -> None:
        code = f"from tasks.server.watcher import watch; watch({beat_s}, {num_beats})"
        self._start("watcher", [sys.executable, "-c", code])

    def _start(self, name: str, command: list[str]) -> None:
        self.running[name] = processes.spawn(name, command, self.env, self.home)

    def stop(self, name: str) -> None:
        self.running.pop(name).stop(grace_s=10)

    def kill(self, name: str) -> None:
        """As the kernel does when memory runs out: the one process, without warning."""
        os.kill(self.running.pop(name).pid, signal.SIGKILL)

    def close(self) -> None:
        for name in [name for name in self.running if name != "server"] + ["server"]:
            if name in self.running:
                self.stop(name)

    def client(self) -> SyncPrefectClient:
        return get_client(sync_client=True)

    def settings(self) -> Any:
        return temporary_settings({PREFECT_API_URL: f"{self.url}/api"})

    def deploy(self) -> None:
        from prefect.flows import load_flow_from_entrypoint

        flow = load_flow_from_entrypoint(str(ROOT / "tests/faults/pipeline.py:counted"))
        flow.from_source(str(ROOT), "tests/faults/pipeline.py:counted").deploy(
            DEPLOYMENT.partition("/")[2], work_pool_name=POOL, print_next_steps=False, job_variables={"env": _OF_A_RUN}
        )

    def submit(self, **parameters: Any) -> UUID:
        with self.client() as client:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
            return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

    def retry(self, run: UUID) -> None:
        """What the button of the interface does."""
        with self.client() as client:
            client.set_flow_run_state(run, Scheduled(name="AwaitingRetry"), force=True)

    def read(self, run: UUID) -> FlowRun:
        with self.client() as client:
            return client.read_flow_run(run)

    def lines(self, run: UUID) -> list[str]:
        """What the page of a run shows."""
        with self.client() as client:
            return [line.message for line in client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))]

    def state(self, run: UUID) -> str:
        state = self.read(run).state
        return state.name if state else ""

    def wait_for_state(self, run: UUID, *names: str, timeout_s: float = 120) -> None:
        wait_for(lambda: self.state(run) in names, lambda: f"{names}, now {self.state(run)}", timeout_s)

    def wait_for_checkpoint(self) -> None:
        """Waits until the one run that trains now has something to go on from."""
        wait_for(lambda: any(self.home.glob("work/learn-*/last.train.pt")), "a checkpoint")

    def starts(self, stage: str) -> int:
        return sum(row.startswith(f"{stage} ") for row in self.diary())

    def diary(self) -> list[str]:
        return self.diary_path.read_text().splitlines()

    def pid(self, run: UUID) -> int:
        """The process that runs a flow run: the one whose environment names it."""
        wanted = f"PREFECT__FLOW_RUN_ID={run}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        return int(entry.name)
                except OSError:
                    continue
        raise AssertionError(f"no process runs {run}")
