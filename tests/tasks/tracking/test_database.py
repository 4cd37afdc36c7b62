"""MLflow's file is created completely, and only a partial one without content is created again."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from gaze_core.errors import BadInput
from tasks.server import services
from tasks.server.own_server import free_port
from tasks.tracking.database import make_database

HALF_MADE = """
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
INSERT INTO alembic_version VALUES ('451aebb31d03');
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256));
CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY);
"""  # tables of the first version, said to be a later one: the next migration stumbles, as after a race


def half_made(path: Path, more: str = "") -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(HALF_MADE + more)
    return f"sqlite:///{path}"


def test_a_new_file_is_whole_and_a_half_made_one_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a b#c" / "mlflow.db"
    path.parent.mkdir()
    uri = half_made(path)
    make_database(uri)
    assert "was half-made" in caplog.text
    assert [file.name for file in path.parent.glob("*.half-made-*")]
    caplog.clear()
    with caplog.at_level(logging.INFO, "mlflow.store.db.utils"):
        client = MlflowClient(uri)
        client.create_run(client.create_experiment("e"))
        make_database(uri)
    assert caplog.text == ""  # neither MLflow nor we had anything to make
    assert {file.name.partition(".half")[0] for file in path.parent.iterdir()} == {"mlflow.db"}


@pytest.mark.parametrize(
    "more", ["INSERT INTO runs VALUES ('r')", "INSERT INTO experiments VALUES (1, 'mine')"], ids=["run", "experiment"]
)
def test_a_file_with_anything_in_it_is_never_touched(more: str, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    make_database(half_made(path, f"{more};"))
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_file_that_is_in_use_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mlflow.db"
    uri = half_made(path)
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, connect=sqlite3.connect, **kw: connect(*args, timeout=0, **kw)
    )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        make_database(uri)
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_process_that_dies_while_it_makes_the_file_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As abrupt as a process can see it."""

    def killed(*_: object) -> None:
        raise Killed

    path = tmp_path / "mlflow.db"
    monkeypatch.setattr("mlflow.store.db.utils._upgrade_db", killed)
    with pytest.raises(Killed):
        make_database(f"sqlite:///{path}")
    assert not path.exists()


def test_the_servers_start_with_a_whole_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(services.prefect_database, "prepare", lambda: None)
    monkeypatch.setattr(services, "_start_servers", lambda _: [] if (home / "mlflow.db").exists() else 1 / 0)
    addresses = services.Addresses(prefect_port=free_port(), mlflow_port=free_port())

    def set_up() -> None:
        raise BadInput("started")

    with pytest.raises(BadInput, match="started"):
        services.start(addresses, [], set_up)


def test_other_addresses_make_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("sqlite://", "sqlite:///:memory:", "postgresql://h/db", "http://h:1"):
        make_database(uri)
    assert list(tmp_path.iterdir()) == []
