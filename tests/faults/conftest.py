"""A log of the stages' starts, and the pipeline as its own process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tasks.store import s3
from tests.faults.bad_network import BadNetwork
from tests.faults.pipeline import DIARY_VARIABLE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """`diary()` are the starts of stages so far: `learn 20` began, or went on, at step 20."""
    path = tmp_path / "diary"
    path.touch()
    monkeypatch.setenv(DIARY_VARIABLE, str(path))
    return lambda: path.read_text().splitlines()


@pytest.fixture
def start_pipeline(diary: Callable[[], list[str]], tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the pipeline as its own process, with the API of the current settings."""
    from prefect.settings import get_current_settings

    def start(env: dict[str, str] | None = None, **parameters: Any) -> "subprocess.Popen[str]":
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.pipeline", json.dumps(parameters)],
            env={**os.environ, **settings, "PYTHONPATH": str(ROOT), **(env or {})},
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def finished(process: "subprocess.Popen[str]", timeout_s: float = 120) -> dict[str, str]:
    """Each stage's outcome (computed, cached, resumed) in a pipeline that `start_pipeline` started."""
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    return dict(json.loads(out.splitlines()[-1]))


def wait_for(condition: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = 120) -> None:
    """Returns as soon as the condition holds; fails, saying for `what` it waited, after `timeout_s` seconds."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline_s:
            pytest.fail(f"waited {timeout_s:g} s for {what if isinstance(what, str) else what()}")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def moto_port() -> Iterator[int]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield int(server.get_host_and_port()[1])
    server.stop()


@pytest.fixture
def bucket(moto_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BadNetwork]:
    """A bucket `gaze` that the environment's AWS variables lead to, through a network that can be spoilt."""
    proxy = BadNetwork(moto_port)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": proxy.url, "AWS_MAX_ATTEMPTS": "3", "GAZEWORKS_S3_TIMEOUT_S": "1",
        "GAZEWORKS_STORE": f"s3://gaze/{tmp_path.name}",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "FIRST_PAUSE_S", 0.01)
    boto3.client("s3").create_bucket(Bucket="gaze")
    yield proxy
    proxy.shutdown()
    proxy.server_close()
