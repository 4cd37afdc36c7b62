"""The pipelines on a store in a bucket, from two homes, and on the same store after it was moved to a disk."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from flows.references import data_of, find_reference
from flows.sampling import render_samples
from gaze_core.plans.redirection import redirection_plan
from tasks.store.artifacts import Store
from tasks.store.inventory import faults, stored
from tests.faults.bad_network import BadNetwork
from tests.flows.test_driver import settings, weights  # noqa: F401 (fixtures)
from tests.flows.test_redirection import RUNTIME, STEPS
from tests.gaze_core.driver.conftest import *  # noqa: F403 (fixtures)
from tests.gaze_core.driver.tiny_drive import TinyDrive
from tests.tiny_subject import write_tiny_subject

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("prefect_api")]
WITHIN_S = 20.0


@pytest.fixture
def bucket_store(bucket: BadNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAZEWORKS_S3_TIMEOUT_S", "30")  # nothing is spoilt here


@contextmanager
def new_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home as on another machine: without cache, Prefect results and store."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    monkeypatch.setenv("GAZEWORKS_HOME", str(folder))
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: folder / "results"}):
        yield


def moved_to_disk(folder: Path, tmp_path: Path) -> Path:
    """The bucket's store as a folder, with files that a file browser left."""
    client = boto3.client("s3")
    for row in client.list_objects_v2(Bucket="gaze", Prefix=f"{tmp_path.name}/")["Contents"]:
        path = folder / row["Key"].removeprefix(f"{tmp_path.name}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket="gaze", Key=row["Key"])["Body"].read())
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            (path / ".DS_Store").write_text("where the icons are")
    return folder


def all_hits(report: dict[str, Any]) -> bool:
    return all(stage.get("cached", stage.get("how") == "cached") for stage in report["stages"])


def travels(run: Callable[[str], dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in a bucket, from another home, and after the bucket's move; nothing but the first run computes."""
    first = run("first")
    assert not any(stage.get("cached", stage.get("how") == "cached") for stage in first["stages"])
    assert "s3://" not in (tmp_path / "first" / "report.json").read_text()
    with new_home(tmp_path / "home 2", monkeypatch):
        started_s = time.monotonic()
        assert all_hits(run("second"))
        assert time.monotonic() - started_s <= WITHIN_S
        monkeypatch.setenv("GAZEWORKS_STORE", str(moved_to_disk(tmp_path / "moved #1", tmp_path)))
        assert all_hits(run("third"))
        store = Store.from_environment()
        assert [fault for _, fault in faults(store, stored(store)) if fault] == []
        names = {row.ref.name for row in stored(store) if row.ref}
        assert {ref["name"] for ref in first["artifacts"].values()} <= names


@pytest.mark.usefixtures("bucket_store")
def test_redirection_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.redirection import redirection

    subject = write_tiny_subject(tmp_path / "subject.h5", num_images=12, size_px=128)
    plan = redirection_plan("tiny", "synthetic", STEPS)

    def run(name: str) -> dict[str, Any]:
        redirection(subject, plan, tmp_path / name, RUNTIME, "tiny", return_state=True)
        return dict(json.loads((tmp_path / name / "report.json").read_text()))

    travels(run, tmp_path, monkeypatch)
    candidate = find_reference(str(tmp_path / "first"))
    assert data_of(candidate) == find_reference(str(tmp_path / "first"), "data")
    changes = {"gazes_deg": ((0.0, 10.0),), "poses_deg": ((0.0, 0.0),), "sweep_s": 0.08}
    assert render_samples(tmp_path / "first", None, changes, tmp_path / "samples", RUNTIME).is_file()


@pytest.mark.usefixtures("bucket_store")
def test_driver_gaze_is_computed_once(
    tiny_drive: TinyDrive,
    weights: Path,  # noqa: F811
    settings: Path,  # noqa: F811
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.apps.driver.serve import sources
    from flows.driver import DriveFiles, driver
    from gaze_core.plans.driver import driver_plan

    monkeypatch.setenv("GAZEWORKS_ASSETS", str(shared_data))
    plan = driver_plan("frozen", "whole", settings, 30, ["finetune.epochs=1"])
    files = DriveFiles(video=tiny_drive.video, sensors=tiny_drive.table)

    def run(name: str) -> dict[str, Any]:
        driver(files, weights, plan, tmp_path / name, RUNTIME, return_state=True)
        return dict(json.loads((tmp_path / name / "report.json").read_text()))

    travels(run, tmp_path, monkeypatch)
    assert sources(tmp_path / "first", None, ())["report"]  # the page finds the drive and both estimators
