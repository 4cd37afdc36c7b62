"""The store in a bucket behind a network that fails: refused, silent, busy, cut short, with wrong bytes."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from gaze_core.artifacts import ArtifactRef, Produced
from gaze_core.config import Config
from gaze_core.errors import BadInput, MissingArtifact
from tasks.store import s3
from tasks.store.artifacts import Store
from tests.faults.bad_network import BadNetwork
from tests.faults.pipeline import STAGES, counted

WEIGHTS = bytes(range(256)) * 64


class Settings(Config):
    num_steps: int = 3


@pytest.fixture
def store(bucket: BadNetwork, tmp_path: Path) -> Store:
    return Store.from_environment()


def publish(store: Store, folder: Path, content: bytes = WEIGHTS) -> ArtifactRef:
    (folder / "weights.bin").write_bytes(content)
    produced = Produced("checkpoint", {"weights.bin": folder / "weights.bin"})
    return store.publish(produced, stage="fit", version=1, config=Settings(), parents={})


def is_read_of_weights(method: str, path: str) -> bool:
    return method == "GET" and "weights.bin" in path


def test_the_store_works_over_a_real_socket(store: Store, tmp_path: Path, bucket: BadNetwork) -> None:
    ref = publish(store, tmp_path)
    assert (store.fetch(ref) / "weights.bin").read_bytes() == WEIGHTS
    puts = [path for method, path in bucket.seen if method == "PUT"]
    assert puts[-1].endswith("manifest.json")
    bucket.seen.clear()
    store.fetch(ref)
    assert not [path for method, path in bucket.seen if "weights.bin" in path]  # verified here, unchanged there


def test_a_large_file_travels_in_parts(
    store: Store, tmp_path: Path, bucket: BadNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = WEIGHTS * 2048  # 32 MiB: more than one part
    ref = publish(store, tmp_path, content)
    uploads = [path for method, path in bucket.seen if method == "PUT" and "partNumber" in path]
    assert len(uploads) == len(content) // s3.PART_BYTES == 2
    assert (store.fetch(ref) / "weights.bin").stat().st_size == len(content)
    assert store.exists(ref)


@pytest.mark.parametrize("fault", ["unavailable", "closed", "silent", "truncated", "flipped"])
def test_a_fault_that_passes_is_survived_in_reading(
    store: Store, tmp_path: Path, bucket: BadNetwork, fault: Any
) -> None:
    ref = publish(store, tmp_path)
    bucket.spoil(1, fault, is_read_of_weights)
    assert (store.fetch(ref) / "weights.bin").read_bytes() == WEIGHTS
    assert len([1 for method, path in bucket.seen if is_read_of_weights(method, path)]) == 2


@pytest.mark.parametrize("fault", ["unavailable", "closed", "silent"])
def test_a_fault_that_passes_is_survived_in_writing(
    store: Store, tmp_path: Path, bucket: BadNetwork, fault: Any
) -> None:
    bucket.spoil(1, fault, lambda method, path: method == "PUT")
    assert store.exists(publish(store, tmp_path))


@pytest.mark.parametrize("fault", ["unavailable", "closed", "silent"])
def test_a_fault_that_stays_is_one_clear_line_and_leaves_no_artifact(
    store: Store, tmp_path: Path, bucket: BadNetwork, fault: Any
) -> None:
    bucket.spoil(1000, fault, lambda method, path: method == "PUT")
    started_s = time.monotonic()
    with pytest.raises(BadInput, match="out of reach.*AWS_ENDPOINT_URL.*what was computed is kept") as raised:
        publish(store, tmp_path)
    assert "\n" not in str(raised.value)
    assert time.monotonic() - started_s < 30
    bucket.spoil(0, fault)
    assert store.backend.folders(f"{store.root_uri}/fit", "") == []


def test_bytes_that_stay_wrong_are_never_handed_out(
    store: Store, tmp_path: Path, bucket: BadNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    ref = publish(store, tmp_path)
    bucket.spoil(1000, "flipped", is_read_of_weights)
    with pytest.raises(MissingArtifact, match=r"weights\.bin has sha256"):
        store.fetch(ref)
    assert "attempt 3 of 3 brought other bytes" in caplog.text
    bucket.spoil(0, "flipped")
    assert (store.fetch(ref) / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_a_change_in_the_bucket_is_noticed_although_a_good_copy_is_here(
    store: Store, tmp_path: Path, bucket: BadNetwork, change: str
) -> None:
    ref = publish(store, tmp_path)
    store.fetch(ref)
    key = f"{store.uri(ref).removeprefix('s3://gaze/')}/weights.bin"
    client = boto3.client("s3")
    if change == "deleted":
        client.delete_object(Bucket="gaze", Key=key)
    else:
        client.put_object(Bucket="gaze", Key=key, Body=WEIGHTS[:-1] + b"x")
    with pytest.raises(MissingArtifact, match=r"weights\.bin"):
        store.fetch(ref)


def test_an_endpoint_that_refuses_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for name, value in {
        "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_MAX_ATTEMPTS": "2", "GAZEWORKS_STORE": "s3://gaze/x", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=f"out of reach.*127.0.0.1:{port}"):
        publish(Store.from_environment(), tmp_path)


@pytest.mark.usefixtures("prefect_api")
def test_a_run_that_could_not_publish_goes_on_when_the_bucket_is_back(
    bucket: BadNetwork, diary: Callable[[], list[str]], request: pytest.FixtureRequest
) -> None:
    bucket.spoil(1000, "unavailable", lambda method, path: method == "PUT" and "/learn/" in path)
    with pytest.raises(BadInput, match="out of reach"):
        counted(salt=request.node.name)
    bucket.spoil(0, "unavailable")
    assert counted(salt=request.node.name) == {"gather": "cached", "learn": "resumed", "judge": "computed"}
    assert diary() == ["gather 0", "learn 0", "learn 10", "judge 0"]
    assert counted(salt=request.node.name) == dict.fromkeys(STAGES, "cached")
