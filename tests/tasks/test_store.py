import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto import mock_aws

from gaze_core.artifacts import ArtifactRef, Manifest, Produced, lineage_digest
from gaze_core.config import Config
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from tasks.disk import LocalDisk
from tasks.store import Store


class Settings(Config):
    num_steps: int = 3


@pytest.fixture
def produced(tmp_path: Path) -> Produced:
    files = {"weights.bin": tmp_path / "w", "sub/stats.json": tmp_path / "s"}
    files["weights.bin"].write_bytes(bytes(range(256)))
    files["sub/stats.json"].write_text("{}")
    return Produced("checkpoint", files, {"loss": 0.5}, {"blink": 2}, subjects={"train": ("s1",)})


def publish(store: Store, produced: Produced, **parents: ArtifactRef) -> ArtifactRef:
    return store.publish(produced, stage="fit", version=2, config=Settings(), parents=parents)


def overwrite(store: Store, ref: ArtifactRef, name: str, content: bytes | None) -> None:
    """Changes or removes a stored file behind the store's back, wherever it lies."""
    parts = urlsplit(store.uri(ref))
    if parts.scheme == "s3":
        client, key = boto3.client("s3"), f"{parts.path.strip('/')}/{name}"
        client.delete_object(Bucket=parts.netloc, Key=key)
        if content is not None:
            client.put_object(Bucket=parts.netloc, Key=key, Body=content)
        shutil.rmtree(store.cache_dir, ignore_errors=True)
        return
    path = store.fetch(ref) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def test_what_was_published_is_fetched(store: Store, produced: Produced) -> None:
    ref = publish(store, produced)
    folder = store.fetch(ref)
    assert (folder / "weights.bin").read_bytes() == bytes(range(256))
    assert (folder / "sub" / "stats.json").read_text() == "{}"
    manifest = Manifest.read(folder)
    assert manifest == store.manifest(ref)
    assert (manifest.ref, manifest.config, manifest.metrics) == (ref, {"num_steps": 3}, {"loss": 0.5})
    assert (manifest.dropped, manifest.trained_on) == ({"blink": 2}, ("s1",))
    assert ref.config_digest == Settings().digest()


def test_the_lineage_is_recorded(store: Store, produced: Produced, tmp_path: Path) -> None:
    parent = publish(store, produced)
    (tmp_path / "child").write_text("child")
    child = publish(store, Produced("report", {"report.json": tmp_path / "child"}), head=parent)
    assert store.manifest(child).parents == {"head": parent}
    assert store.manifest(child).trained_on == ("s1",)


def test_publishing_the_same_again_changes_nothing(store: Store, produced: Produced) -> None:
    first = publish(store, produced)
    created = store.manifest(first).created
    assert publish(store, produced) == first
    assert store.manifest(first).created == created


@pytest.mark.parametrize("content", [None, b"other"])
def test_a_lost_or_changed_file_is_said_and_repaired_by_publishing(
    store: Store, produced: Produced, content: bytes | None
) -> None:
    ref = publish(store, produced)
    overwrite(store, ref, "weights.bin", content)
    with pytest.raises(MissingArtifact, match=r"weights\.bin .*run the fit stage again"):
        store.fetch(ref)
    assert not store.exists(ref)
    assert store.find("fit", lineage_digest("fit", 2, Settings(), {})) is None
    assert store.exists(publish(store, produced))


@pytest.mark.parametrize("content", [None, b"{", b'{"ref": {}}'])
def test_without_its_manifest_an_artifact_does_not_exist(
    store: Store, produced: Produced, content: bytes | None
) -> None:
    ref = publish(store, produced)
    overwrite(store, ref, "manifest.json", content)
    with pytest.raises(MissingArtifact, match="manifest"):
        store.fetch(ref)
    assert store.find("fit", lineage_digest("fit", 2, Settings(), {})) is None


def test_find_returns_the_newest_result_of_one_computation(store: Store, produced: Produced) -> None:
    lineage = lineage_digest("fit", 2, Settings(), {})
    assert store.find("fit", lineage) is None
    publish(store, produced)
    produced.files["weights.bin"].write_bytes(b"a second result, for a GPU is not bit-exact")
    second = publish(store, produced)
    assert store.find("fit", lineage) == second
    assert store.find("fit", "0" * 16) is None


def test_a_crash_before_the_manifest_leaves_nothing_visible(
    store: Store, produced: Produced, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    backend: Any = store.backend
    with monkeypatch.context() as patch:
        # The last step before the artifact counts: the rename on a disk, the manifest's upload in a bucket.
        if isinstance(backend, LocalDisk):
            patch.setattr(Path, "rename", die)
        else:
            patch.setattr(backend.client, "put_object", die)
        with pytest.raises(Killed):
            publish(store, produced)
    assert store.find("fit", lineage_digest("fit", 2, Settings(), {})) is None
    ref = publish(store, produced)
    assert store.exists(ref)
    if isinstance(backend, LocalDisk):  # what the killed attempt left is gone, too
        assert len(os.listdir(store.fetch(ref).parent)) == 1


@pytest.mark.parametrize("name", ["/etc/x", "../x", "manifest.json", ""])
def test_names_that_leave_the_artifact_are_refused(produced: Produced, tmp_path: Path, name: str) -> None:
    bad = Produced("report", {name: produced.files["weights.bin"]})
    with pytest.raises(ContractViolation, match="relative name"):
        publish(Store(tmp_path.as_uri(), tmp_path), bad)


def test_an_empty_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractViolation, match="no file"):
        publish(Store(tmp_path.as_uri(), tmp_path), Produced("report", {}))


def test_a_bucket_that_is_not_there_is_the_users_mistake(produced: Produced, tmp_path: Path, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws(), pytest.raises(BadInput, match="nowhere.*AWS credentials"):
        publish(Store("s3://nowhere/x", tmp_path), produced)


def test_an_unknown_scheme_is_refused(produced: Produced, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="GAZEWORKS_STORE"):
        publish(Store("ftp://host/x", tmp_path), produced)
