"""Fixtures for every test. Plain tests start no server; those that need Prefect ask for `prefect_api`."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Prefect and MLflow read these when they are imported, which is before any fixture runs.
_SESSION = Path(tempfile.mkdtemp(prefix="gazeworks-tests-"))
os.environ["GAZEWORKS_HOME"] = str(_SESSION)
os.environ.pop("PREFECT_API_URL", None)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(min(2, os.cpu_count() or 1))


def pytest_sessionfinish() -> None:
    """Leaves nothing behind."""
    shutil.rmtree(_SESSION, ignore_errors=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test: store, work folders and downloads. MLflow's file is the session's."""
    monkeypatch.setenv("GAZEWORKS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GAZEWORKS_STORE", raising=False)
    # A fresh MLflow file takes seconds of migrations; the runs of different tests have different keys.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{_SESSION / 'mlflow.db'}")
    return tmp_path / "home"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """Prefect's own test server, started once for the tests that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def prefect_api(prefect_server: None, home: Path) -> Iterator[None]:
    """A Prefect API whose stored results are this test's own, so that no cache hit leaks between tests."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: home / "results"}):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recordings that lie beside the checkout; tests that need them are skipped where there are none."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder
