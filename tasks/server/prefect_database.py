"""Prefect's SQLite file: created or migrated beside its place and then renamed, so a server never opens a partial one.

A program that does so before it becomes a server:  python -m tasks.server.prefect_database MODULE [ARGUMENT...]
"""

import asyncio
import logging
import os
import runpy
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from gaze_core.errors import BadInput, GazeworksError, NoSpace
from tasks.locks import work_lock

OUR_LINE = "gazeworks: "  # how a line for the user begins in a server's log
_SIDE_FILES = ("-wal", "-shm", "-journal")
_NO_SPACE = ("database or disk is full", "disk I/O error")
_NO_ACCESS = ("readonly database", "unable to open")

logger = logging.getLogger("gazeworks.prefect_database")


def prepare() -> None:
    """Creates Prefect's file, or migrates a copy of a file of an earlier version; one process at a time.

    A partial file that a killed process or a full disk left there, and a file that is no database, are moved aside.
    PostgreSQL is left to Prefect: there a killed migration undoes itself.

    Raises:
        NoSpace: the disk is full; the old file stays.
        BadInput: another program uses a file of an earlier version, or the file is of a later one.
    """
    path = _file()
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with work_lock(path):
        if _revision(path) == _newest_revision():
            return
        new = path.with_name(f"{path.name}.new")
        try:
            _make(path, new)
        finally:
            _remove(new)


def _file() -> Path | None:
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
    from sqlalchemy.engine import make_url

    url = make_url(str(PREFECT_API_DATABASE_CONNECTION_URL.value()))
    if url.get_backend_name() != "sqlite" or url.query or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def _newest_revision() -> str:
    from alembic.script import ScriptDirectory
    from prefect.server.database.alembic_commands import alembic_config
    from prefect.server.database.dependencies import provide_database_interface

    scripts = ScriptDirectory.from_config(alembic_config())
    scripts.version_locations = [str(provide_database_interface().orm.versions_dir)]
    return str(scripts.get_current_head())


def _revision(path: Path) -> str:
    """Schema revision of the tables in a file; empty if there is none."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path)) as database:
            return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except (sqlite3.Error, TypeError):  # TypeError: no row
        return ""


def _make(path: Path, new: Path) -> None:
    _remove(new)
    try:
        if path.exists():
            _copy(path, new)
        _migrate(new)
    except _Unusable as error:
        aside = path.with_name(f"{path.name}.unusable-{time.strftime('%Y%m%dT%H%M%S')}")
        message = "%s was not whole (%s) and is now %s; Prefect's history and schedules begin anew"
        logger.warning(message, path, error, aside.name)
        os.replace(path, aside)
        for suffix in _SIDE_FILES:  # they belong to the file that was moved
            if _beside(path, suffix).exists():
                os.replace(_beside(path, suffix), _beside(aside, suffix))
        _remove(new)
        _migrate(new)
    os.replace(new, path)


class _Unusable(Exception):
    """No database, or one with tables that no version of Prefect leaves."""


def _copy(path: Path, new: Path) -> None:
    try:
        with closing(sqlite3.connect(path, timeout=1)) as old, closing(sqlite3.connect(new)) as copy:
            old.execute("PRAGMA journal_mode=DELETE")  # refused while another program has the file open
            old.backup(copy)
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise BadInput(f"{path} is of another version of Prefect and in use; stop what uses it first") from error
        raise _meaning(error, path) from error


def _migrate(path: Path) -> None:
    from alembic.util import CommandError
    from prefect.server.database.configurations import AioSqliteConfiguration
    from prefect.server.database.dependencies import provide_database_interface, temporary_database_config
    from sqlalchemy.exc import DBAPIError

    async def migrate() -> None:
        await provide_database_interface().create_db()

    with temporary_database_config(AioSqliteConfiguration(f"sqlite+aiosqlite:///{path}")):
        try:
            asyncio.run(migrate())
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA journal_mode=DELETE")  # one file, which can be renamed
        except CommandError as error:
            raise BadInput(f"{path.with_suffix('')}: {error}; it was made by a later version of Prefect") from error
        except (DBAPIError, sqlite3.Error) as error:
            raise _meaning(error, path) from error


def _meaning(error: Exception, path: Path) -> Exception:
    text = str(getattr(error, "orig", error))
    if any(part in text for part in _NO_SPACE):
        return NoSpace(f"{path}: cannot be written ({text}); make room and run again: nothing is lost")
    if any(part in text for part in _NO_ACCESS):
        return BadInput(f"{path}: {text}; expected a file that this user may read and write")
    return _Unusable(text)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _remove(path: Path) -> None:
    for suffix in ("", *_SIDE_FILES):
        _beside(path, suffix).unlink(missing_ok=True)


def main() -> None:
    """Prepares the file and runs the module that the arguments name."""
    to_user = logging.StreamHandler()
    to_user.setFormatter(logging.Formatter(f"{OUR_LINE}%(message)s"))
    logger.addHandler(to_user)
    try:
        prepare()
    except GazeworksError as error:
        sys.stderr.write(f"{OUR_LINE}{error}\n")
        sys.exit(error.exit_code)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
