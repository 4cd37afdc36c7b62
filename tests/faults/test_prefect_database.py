"""Prefect's file is complete at any time, whatever happens while it is created."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

from gaze_core.errors import BadInput, NoSpace
from tasks.server import prefect_database
from tests.faults.conftest import ROOT, wait_for

pytestmark = pytest.mark.faults


def prepare(path: Path) -> None:
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{path}"}):
        prefect_database.prepare()


def is_whole(path: Path) -> bool:
    return prefect_database._revision(path) == prefect_database._newest_revision()


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "prefect.db"
    prepare(path)
    return path


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Below `tmp_path / "disk"`, a file system of so many KiB; skipped where mounting is not allowed."""
    (tmp_path / "disk").mkdir()

    def mount(size_kib: int, *more: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k{''.join(more)}", "tmpfs", str(tmp_path / "disk")]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("this user may not mount a file system")

    yield mount
    subprocess.run(["umount", str(tmp_path / "disk")], check=False, capture_output=True)


def test_a_new_file_is_whole_and_alone(made: Path) -> None:
    assert is_whole(made)
    assert [path.name for path in made.parent.iterdir()] == ["prefect.db"]


def test_of_three_processes_one_makes_it_and_another_does_when_that_is_killed(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    env = kept | {"PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tasks.server.prefect_database", "this"]
    three = [subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(3)]
    new = tmp_path / "prefect.db.new"

    def makers() -> list["subprocess.Popen[bytes]"]:
        return [one for one in three if any(_points_to(fd, new) for fd in Path(f"/proc/{one.pid}/fd").iterdir())]

    wait_for(lambda: bool(makers()), "the first to begin")
    (first,) = makers()
    first.send_signal(signal.SIGKILL)
    three.remove(first)
    first.wait()
    assert not (tmp_path / "prefect.db").exists()
    assert [one.wait(timeout=120) for one in three] == [0, 0]
    assert is_whole(tmp_path / "prefect.db")
    assert [path.name for path in tmp_path.glob("prefect.db*")] == ["prefect.db"]


def _points_to(descriptor: Path, path: Path) -> bool:
    try:
        return str(descriptor.readlink()) == str(path)
    except OSError:
        return False


def test_what_was_left_half_made_is_moved_aside_and_made_anew(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(database, "DELETE FROM alembic_version")  # as after a kill: tables without their version
    change(database, "CREATE TABLE mine (x)")
    prepare(database)
    assert is_whole(database)
    assert "was not whole (table flow already exists)" in caplog.text
    (aside,) = database.parent.glob("prefect.db.unusable-*")
    with closing(sqlite3.connect(aside)) as old:
        assert old.execute("SELECT name FROM sqlite_master WHERE name = 'mine'").fetchone()


def test_a_file_of_a_later_version_is_refused_and_stays(database: Path) -> None:
    change(database, "UPDATE alembic_version SET version_num = 'later'")
    before = database.read_bytes()
    with pytest.raises(BadInput, match=r"prefect\.db: Can't locate revision.*made by a later version"):
        prepare(database)
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.glob("prefect.db*")] == ["prefect.db"]


def test_a_file_of_an_earlier_version_is_brought_up_to_date_with_what_it_holds(database: Path) -> None:
    from prefect.server.database.configurations import AioSqliteConfiguration
    from prefect.server.database.dependencies import provide_database_interface, temporary_database_config

    async def downgrade() -> None:
        await provide_database_interface().run_migrations_downgrade("-1")

    with temporary_database_config(AioSqliteConfiguration(f"sqlite+aiosqlite:///{database}")):
        asyncio.run(downgrade())
    change(database, "INSERT INTO flow (id, name, tags) VALUES ('f1', 'mine', '[]')")
    assert not is_whole(database)
    prepare(database)
    assert is_whole(database)
    with closing(sqlite3.connect(database)) as now:
        assert now.execute("SELECT name FROM flow").fetchall() == [("mine",)]


def test_a_file_of_an_earlier_version_that_is_in_use_stays(database: Path) -> None:
    change(database, "PRAGMA journal_mode=WAL")
    change(database, "UPDATE alembic_version SET version_num = 'earlier'")
    with closing(sqlite3.connect(database)) as other:
        other.execute("SELECT * FROM flow").fetchall()
        with pytest.raises(BadInput, match="in use; stop what uses it first"):
            prepare(database)


def test_a_full_disk_leaves_nothing_and_is_said(tmp_path: Path, small_disk: Callable[..., None]) -> None:
    small_disk(600)
    database = tmp_path / "disk" / "prefect.db"
    with pytest.raises(NoSpace, match="make room and run again"):
        prepare(database)
    assert list(database.parent.iterdir()) == []
    small_disk(8000, ",remount")
    prepare(database)
    assert is_whole(database)
