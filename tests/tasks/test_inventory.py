"""What a store holds and what of it may go, on a disk and in a bucket."""

import json
import os
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows import cli
from gaze_core.artifacts import ArtifactRef, Produced
from gaze_core.errors import BadInput
from tasks import environment, tracking
from tasks.inventory import faults, stored, unneeded
from tasks.kept import KEEP_TAG, kept_names
from tasks.store import Store
from tests.tasks.test_store import Settings, overwrite

NOW = timedelta(0)


def publish(store: Store, folder: Path, stage: str, content: str, **parents: ArtifactRef) -> ArtifactRef:
    (folder / content).write_text(content)
    return store.publish(
        Produced("checkpoint", {"w.bin": folder / content}), stage=stage, version=1, config=Settings(), parents=parents
    )


@pytest.fixture
def family(store: Store, tmp_path: Path) -> dict[str, ArtifactRef]:
    """data -> head -> model, and a second model of the same head."""
    data = publish(store, tmp_path, "gather", "data")
    head = publish(store, tmp_path, "head", "head", data=data)
    models = {name: publish(store, tmp_path, "model", name, head=head) for name in ("one", "two")}
    return {"data": data, "head": head, **models}


def uris(rows) -> set[str]:
    return {row.uri for row in rows}


def test_everything_is_listed_with_size_and_parents(store: Store, family: dict[str, ArtifactRef]) -> None:
    rows = stored(store)
    assert uris(rows) == {store.uri(ref) for ref in family.values()}
    assert all(row.num_bytes > 300 and row.ref is not None for row in rows)
    assert {row.uri: row.parents for row in rows}[store.uri(family["one"])] == (family["head"].name,)
    assert uris(stored(store, "model")) == {store.uri(family["one"]), store.uri(family["two"])}
    assert stored(store, "mod") == []


def test_what_is_not_whole_is_found(store: Store, family: dict[str, ArtifactRef]) -> None:
    overwrite(store, family["head"], "w.bin", b"rotten")
    overwrite(store, family["two"], "manifest.json", None)
    found = {row.uri: fault for row, fault in faults(store, stored(store))}
    assert "w.bin has sha256" in found[store.uri(family["head"])]
    assert "unfinished" in found[store.uri(family["two"])]
    assert (found[store.uri(family["data"])], found[store.uri(family["one"])]) == ("", "")


def test_what_is_kept_keeps_all_that_it_was_made_from(store: Store, family: dict[str, ArtifactRef]) -> None:
    rows = stored(store)
    assert uris(unneeded(rows, [family["one"].model_dump_json()], NOW)) == {store.uri(family["two"])}
    assert uris(unneeded(rows, [family["head"].name], NOW)) == {store.uri(family["one"]), store.uri(family["two"])}
    assert len(unneeded(rows, [], NOW)) == 4
    assert unneeded(rows, [], timedelta(hours=1)) == []


def test_deleting_removes_the_folder(store: Store, family: dict[str, ArtifactRef]) -> None:
    store.backend.delete(store.uri(family["one"]))
    assert store.uri(family["one"]) not in uris(stored(store))
    assert not store.exists(family["one"])
    assert store.exists(family["two"])


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> str:
    """An experiment of this test's own; the file is the session's."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"gc-{uuid.uuid4()}")
    return environment.experiment()


def run_that_used(*refs: ArtifactRef) -> str:
    with tracking.flow_run("train", str(uuid.uuid4()), {}) as run:
        run.used(refs)
    return run.run_id


def test_runs_that_are_tagged_recent_or_registered_are_kept(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store((tmp_path / "s").as_uri(), tmp_path / "cache")
    refs = {name: publish(store, tmp_path, "model", name) for name in ("old", "tagged", "registered", "newest", "own")}
    client = MlflowClient(environment.tracking_uri())
    for name in ("old", "tagged", "registered", "newest"):
        run_id = run_that_used(refs[name])
        if name == "tagged":
            client.set_tag(run_id, KEEP_TAG, "paper")
        if name == "registered":
            model = f"gaze-{uuid.uuid4()}"
            client.create_registered_model(model)
            client.create_model_version(model, source=f"file:///{tmp_path}", run_id=run_id)
            client.set_registered_model_alias(model, "champion", "1")
        time.sleep(0.01)
    named = "\n".join(kept_names(keep_last=1))
    assert {name for name, ref in refs.items() if ref.name in named} == {"tagged", "registered", "newest"}
    client.delete_registered_model_alias(model, "champion")
    assert refs["registered"].name not in "\n".join(kept_names(keep_last=1))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"another-{uuid.uuid4()}")  # of the same store
    assert refs["newest"].name in "\n".join(kept_names(keep_last=1))


def gazeworks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["gazeworks", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out, printed.err


def test_the_command_deletes_only_when_told_to(experiment, monkeypatch, capsys, home, tmp_path):
    store = Store.from_environment()
    kept, gone = publish(store, tmp_path, "model", "kept"), publish(store, tmp_path, "model", "gone")
    run_that_used(kept)
    code, out, _ = gazeworks(monkeypatch, capsys, "store", "gc", "--older-than-days", "0")
    assert (code, "1 of 2 artifacts" in out, "--delete" in out) == (0, True, True)
    assert store.exists(gone)
    assert (
        gazeworks(monkeypatch, capsys, "store", "gc", "--delete")[1].startswith("stage") is False
    )  # a month old: none
    assert store.exists(gone)
    code, out, _ = gazeworks(monkeypatch, capsys, "store", "gc", "--older-than-days", "0", "--delete", "--json")
    assert [row["uri"] for row in json.loads(out)] == [store.uri(gone)]
    assert (store.exists(gone), store.exists(kept)) == (False, True)
    rows = json.loads(gazeworks(monkeypatch, capsys, "store", "ls", "--json")[1])
    assert [(row["uri"], row["whole"]) for row in rows] == [(store.uri(kept), True)]


def test_verify_ends_with_an_error_where_something_is_not_whole(monkeypatch, capsys, home, tmp_path):
    store = Store.from_environment()
    ref = publish(store, tmp_path, "model", "kept")
    assert gazeworks(monkeypatch, capsys, "store", "verify")[0] == 0
    overwrite(store, ref, "w.bin", b"rotten")
    code, out, err = gazeworks(monkeypatch, capsys, "store", "verify")
    assert (code, "1 of 1 artifacts are not whole" in err, "w.bin has sha256" in out) == (1, True, True)


def test_nothing_is_deleted_while_mlflow_is_away(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(BadInput, match="nothing is deleted"):
        kept_names(keep_last=1)


def test_what_a_killed_deletion_left_is_unfinished_and_may_go(tmp_path):
    store = Store((tmp_path / "s").as_uri(), tmp_path / "cache")
    ref = publish(store, tmp_path, "model", "kept")
    folder = store.fetch(ref)
    os.rename(folder, folder.with_name(f".{folder.name}.deleted"))
    (row,) = stored(store)
    assert row.ref is None
    assert unneeded([row], [], NOW) == [row]
    store.backend.delete(row.uri)
    assert stored(store) == []
