"""Listing, verification and garbage collection of a store, on a disk and in a bucket."""

import json
import os
import shutil
import sqlite3
import sys
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.cli import main as cli
from gaze_core.artifacts import ArtifactRef, Produced
from gaze_core.errors import BadInput
from tasks import environment
from tasks.store.artifacts import Store
from tasks.store.disk import scratch_file
from tasks.store.inventory import copies, faults, remove, stored, unneeded, unneeded_copies
from tasks.tracking import outbox, runs
from tasks.tracking.kept import KEEP_TAG, USED_FILE, kept
from tests.tasks.store.test_artifacts import Settings, overwrite

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
    with pytest.raises(BadInput, match=r"no artifact of a stage 'mod' .*; it holds: gather, head, model"):
        stored(store, "mod")


def test_incomplete_artifacts_are_found(store: Store, family: dict[str, ArtifactRef]) -> None:
    overwrite(store, family["head"], "w.bin", b"rotten")
    overwrite(store, family["two"], "manifest.json", None)
    found = {row.uri: fault for row, fault in faults(store, stored(store))}
    assert "w.bin has sha256" in found[store.uri(family["head"])]
    assert "unfinished" in found[store.uri(family["two"])]
    assert (found[store.uri(family["data"])], found[store.uri(family["one"])]) == ("", "")


def test_a_kept_artifact_keeps_its_ancestors(store: Store, family: dict[str, ArtifactRef]) -> None:
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


def kept_text(keep_last: int = 1) -> str:
    return "\n".join(kept(keep_last).names)


def run_that_used(*refs: ArtifactRef) -> str:
    with runs.flow_run("train", str(uuid.uuid4()), {}) as run:
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
    named = kept_text()
    assert {name for name, ref in refs.items() if ref.name in named} == {"tagged", "registered", "newest"}
    client.delete_registered_model_alias(model, "champion")
    assert refs["registered"].name not in kept_text()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"another-{uuid.uuid4()}")  # of the same store
    assert refs["newest"].name in kept_text()


def gazeworks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["gazeworks", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out, printed.err


def test_the_command_deletes_only_with_its_option(experiment, monkeypatch, capsys, home, tmp_path):
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
        kept(keep_last=1)


def aged(folder: Path, days: float = 2) -> None:
    """Sets the times of all files in the folder back by so much."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - days * 86400,) * 2)


def folder_of(store: Store, ref: ArtifactRef) -> Path:
    return Path(store.uri(ref).removeprefix("file://"))


@pytest.mark.parametrize("mark", ["deleted", "a-host"])
def test_remains_of_a_killed_deletion_or_publication_may_be_deleted_after_a_day(mark: str, tmp_path: Path):
    store = Store((tmp_path / "s").as_uri(), tmp_path / "cache")
    folder = folder_of(store, publish(store, tmp_path, "model", "kept"))
    half = folder.rename(folder.with_name(f".{folder.name}.{mark}"))
    assert [(row.ref, row.state) for row in stored(store)] == [(None, "unfinished")]
    assert unneeded(stored(store), [], NOW) == []  # it may be written this moment
    aged(half)
    (row,) = stored(store)
    assert unneeded([row], [], NOW) == [row]
    store.backend.delete(row.uri)
    assert stored(store) == []


def test_other_folders_are_neither_listed_nor_deleted(monkeypatch, capsys, home, tmp_path):
    store = Store.from_environment()
    ref, used = publish(store, tmp_path, "model", "gone"), publish(store, tmp_path, "model", "used")
    run_that_used(used)
    root, ours = home / "store", folder_of(store, ref)
    foreign = [
        root / "photos" / "2019",
        root / "model" / "notes",
        root / "model" / ".cache",
        root / "My Photos" / ours.name,
    ]
    for folder in foreign:
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_text("an image")
    copied = shutil.copytree(ours, root / "photos" / ours.name)  # a manifest of ours, but not at its own place
    assert {row.name for row in stored(store)} == {ref.name, used.name}
    assert gazeworks(monkeypatch, capsys, "store", "gc", "--older-than-days", "0", "--delete")[0] == 0
    assert not ours.exists()
    assert all((folder / "a.jpg").read_text() == "an image" for folder in foreign)
    assert (copied / "w.bin").is_file()


def test_an_unreadable_manifest_stays_with_all_that_it_names(store: Store, family: dict[str, ArtifactRef]) -> None:
    """It may be of a newer version."""
    newer = json.loads(store.manifest(family["one"]).model_dump_json()) | {"a_new_field": 1}
    overwrite(store, family["one"], "manifest.json", json.dumps(newer).encode())
    rows = [replace(row, created=row.created - timedelta(days=9)) for row in stored(store)]
    assert {row.state for row in rows} == {"", "unreadable manifest"}
    assert uris(unneeded(rows, [], NOW)) == {store.uri(family["two"])}


def test_a_long_list_of_what_a_run_used_is_kept_whole(experiment: str, tmp_path: Path) -> None:
    store = Store((tmp_path / "s").as_uri(), tmp_path / "cache")
    ref = publish(store, tmp_path, "model", "one")
    refs = [ref.model_copy(update={"uri": f"file:///s/a_stage_of_a_long_name/{n:016x}-{n:016x}"}) for n in range(200)]
    run = MlflowClient(environment.tracking_uri()).get_run(run_that_used(*refs))
    assert max(len(value) for value in run.data.tags.values()) < 5000
    assert all(ref.name in kept_text() for ref in refs)


def test_a_moved_home_keeps_what_it_kept(experiment, monkeypatch, capsys, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    monkeypatch.setenv("GAZEWORKS_HOME", str(old))
    use_a_database(monkeypatch, old / "mlflow.db")
    store = Store.from_environment()
    refs = {name: publish(store, tmp_path, "model", name) for name in ("tagged", "newest", "by_file", "gone")}
    client = MlflowClient(environment.tracking_uri())
    client.set_tag(run_that_used(refs["tagged"]), KEEP_TAG, "paper")
    client.set_tag(as_earlier_versions_did(client, run_that_used(), refs["by_file"]), KEEP_TAG, "paper")
    time.sleep(0.01)
    run_that_used(refs["newest"])
    old.rename(new)
    monkeypatch.setenv("GAZEWORKS_HOME", str(new))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{new / 'mlflow.db'}")
    command = ("store", "gc", "--older-than-days", "0", "--keep-last", "1", "--json")
    code, out, err = gazeworks(monkeypatch, capsys, *command)
    assert (code, [row["uri"].split("/")[-1] for row in json.loads(out)]) == (
        0,
        [refs["gone"].name.rpartition("/")[2]],
    ), err


def as_earlier_versions_did(client: MlflowClient, run_id: str, *refs: ArtifactRef) -> str:
    """The run with its list of used artifacts in a file, and not in tags."""
    for name in client.get_run(run_id).data.tags:
        if name.startswith(runs.USED_TAG):
            client.delete_tag(run_id, name)
    client.log_text(run_id, json.dumps([ref.model_dump(mode="json") for ref in refs]), USED_FILE)
    return run_id


_RECORDS = (
    "experiment_tags", "tags", "params", "metrics", "latest_metrics", "runs",
    "model_version_tags", "registered_model_aliases", "registered_model_tags", "model_versions", "registered_models",
)  # fmt: skip


def use_a_database(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A database of this test's own: a copy of the session's, which costs no migrations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    MlflowClient(environment.tracking_uri()).search_experiments()  # or there is none yet
    with (
        sqlite3.connect(environment.tracking_uri().removeprefix("sqlite:///")) as source,
        sqlite3.connect(path) as target,
    ):
        source.backup(target)
        for table in _RECORDS:
            target.execute(f"DELETE FROM {table}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")


def test_a_run_whose_record_is_lost_stops_the_collection(experiment, monkeypatch, tmp_path):
    use_a_database(monkeypatch, tmp_path / "mlflow.db")
    client = MlflowClient(environment.tracking_uri())
    run_id = as_earlier_versions_did(client, run_that_used())
    assert kept_text(keep_last=0) == ""
    folder = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))
    (folder / USED_FILE).unlink()
    assert kept_text(keep_last=0) == ""  # of a run that need not be kept
    with pytest.raises(BadInput, match=rf"{run_id} .* must be kept, but what it used is not known.*nothing is deleted"):
        kept(keep_last=1)
    client.delete_run(run_id)
    assert kept_text(keep_last=1) == ""


def test_what_a_run_used_is_recorded_while_it_runs(experiment, tmp_path, stages, config, prefect_api):
    from prefect import flow

    from gaze_core.config import Runtime
    from tasks.stage_task import tracked_flow

    seen = []

    @flow
    def pipeline() -> None:
        with tracked_flow({}):
            recording = publish(Store.from_environment(), tmp_path, "gather", "recording")
            first = stages.second(recording, config, Runtime())
            seen.append({ref.name for ref in (recording, first)} <= set(" ".join(kept(0).in_use).split()))

    pipeline()
    assert seen == [True]


def test_no_database_is_made_and_one_of_another_store_is_refused(experiment, monkeypatch, capsys, home, tmp_path):
    command = ("store", "gc", "--older-than-days", "0", "--delete")
    use_a_database(monkeypatch, tmp_path / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert gazeworks(monkeypatch, capsys, *command)[0] == 0  # an empty store needs no word of MLflow
    ref = publish(Store.from_environment(), tmp_path, "model", "precious")
    code, _, err = gazeworks(monkeypatch, capsys, *command)
    assert (code, err.count("\n"), "there is no MLflow database at sqlite:///" in err) == (2, 1, True), err
    assert not (home / "mlflow.db").exists()
    (home / "mlflow.db").touch()  # what a half start leaves
    assert "there is no MLflow database" in gazeworks(monkeypatch, capsys, *command)[2]
    assert (home / "mlflow.db").stat().st_size == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    elsewhere = Store((tmp_path / "elsewhere").as_uri(), tmp_path / "cache")
    run_that_used(publish(elsewhere, tmp_path, "model", "of another store"))
    code, _, err = gazeworks(monkeypatch, capsys, *command)
    assert (code, err.count("\n"), "knows any of the 1 artifacts" in err) == (2, 1, True), err
    assert Store.from_environment().exists(ref)


def test_artifacts_of_waiting_operations_are_kept_even_if_these_cannot_be_sent(experiment, home, tmp_path):
    refs = {name: publish(Store.from_environment(), tmp_path, "model", name) for name in ("told", "in_file", "broken")}
    box = outbox.Outbox.create()
    box.add({"kind": "tags", "rows": [[f"{runs.USED_TAG}.0", refs["told"].name]]})
    (tmp_path / USED_FILE).write_text(json.dumps([refs["in_file"].model_dump(mode="json")]))
    box.add({"kind": "artifact", "path": str(tmp_path / USED_FILE), "folder": None})
    with (box.folder / outbox.OPERATIONS_FILE).open("a") as file:
        file.write('{"kind": "tags", "rows": [["gazeworks.used.1", "' + refs["broken"].name)
    box.release()
    assert [name for name, ref in refs.items() if ref.name not in kept_text()] == []


@pytest.mark.parametrize("days", ["inf", "-inf", "nan", "-1", "1e300", "1e9"])
def test_an_impossible_age_is_one_line(days: str, monkeypatch, capsys, home):
    code, _, err = gazeworks(monkeypatch, capsys, "store", "gc", "--older-than-days", days)
    assert (code, err.count("\n"), "expected 0 to 36500 days" in err) == (2, 1, True), err


@pytest.mark.parametrize("command", ["ls", "verify"])
def test_a_stage_that_is_not_there_is_named(command: str, monkeypatch, capsys, home, tmp_path):
    publish(Store.from_environment(), tmp_path, "model", "one")
    code, _, err = gazeworks(monkeypatch, capsys, "store", command, "--stage", "TYPO")
    assert (code, err.count("\n"), "'TYPO'" in err, "it holds: model" in err) == (2, 1, True, True), err


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_copies_of_deleted_artifacts_and_unused_copies_are_deleted(
    store: Store, family: dict[str, ArtifactRef]
) -> None:
    folders = {name: store.fetch(ref) for name, ref in family.items()}
    (store.cache_dir / "my notes").mkdir()
    half = scratch_file(store.cache_dir)  # of a download that was killed
    half.write_text("half")
    rows, found = stored(store), copies(store.cache_dir)
    assert {(row.name, row.state) for row in found} == {
        (name, "copy") for name in (*(ref.name for ref in family.values()), f".scratch/{half.name}")
    }
    assert unneeded_copies(found, [], [], NOW) == []  # all fetched just now
    aged(store.cache_dir)
    store.fetch(family["head"])  # counts as use
    found = copies(store.cache_dir)
    remaining = [row for row in rows if row.name != family["two"].name]
    month, a_day = timedelta(days=30), timedelta(days=1)
    killed = f".scratch/{half.name}"
    assert {row.name for row in unneeded_copies(found, remaining, [], month)} == {family["two"].name, killed}
    doomed = unneeded_copies(found, remaining, [family["one"].name], a_day)
    assert {row.name for row in doomed} == {family["two"].name, family["data"].name, killed}
    for row in doomed:
        remove(store, row)
    assert {name for name, folder in folders.items() if folder.exists()} == {"head", "one"}
    assert not half.exists()
    assert len(stored(store)) == 4
    assert store.exists(family["data"])  # downloaded again


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_the_command_lists_the_copies_that_it_deleted(
    store: Store, family: dict[str, ArtifactRef], experiment, monkeypatch, capsys, home
) -> None:
    monkeypatch.setenv("GAZEWORKS_STORE", store.root_uri)
    copy = Store.from_environment().fetch(family["one"])
    run_that_used(*family.values())
    aged(copy, days=31)
    code, out, err = gazeworks(monkeypatch, capsys, "store", "gc", "--delete")
    assert (code, "0 of 4 artifacts" in out, "1 of 1 downloaded copies" in out) == (0, True, True), out + err
    assert not copy.exists()
