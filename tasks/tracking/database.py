"""MLflow's SQLite file: it is created completely or not at all, and a partial one is created again.

MLflow itself creates its tables in place by dozens of migrations: two processes that do so at once, or a killed one,
leave a file that MLflow cannot open.
"""

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from alembic.util.exc import CommandError
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from gaze_core.atomic import replacing
from gaze_core.errors import BadInput
from tasks import environment
from tasks.locks import work_lock

_CONTENT = ("runs", "registered_models", "experiments WHERE experiment_id <> 0")  # 0 is in each new database

logger = logging.getLogger("gazeworks.tracking")


def make_database(uri: str) -> None:
    """Creates the SQLite file that `uri` names, unless it exists; does nothing for other addresses.

    Raises:
        BadInput: something else is there, or no file can be created there.
    """
    url = make_url(uri) if uri.startswith("sqlite") else None
    if url is None or not url.database or url.database.startswith((":", "file:")):
        return
    path = Path(url.database)
    try:
        if not _has_content(path):
            with work_lock(path):
                if not _has_content(path):  # nobody else has made it meanwhile
                    _make(url, path)
    except OSError as error:
        raise BadInput(f"{path}: no database for MLflow can be made here ({error.strerror or error})") from error


def _make(url: URL, path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*.partial*"):  # by a process that was killed
        left.unlink()
    if path.is_file() and path.stat().st_size > 0:
        # By another spelling: SQLAlchemy keeps connections by address, and those of a file moved away must not be used.
        if _opens(url.set(database=f"{path.parent}/./{path.name}")):
            return
        aside = path.with_name(f"{path.name}.half-made-{time.time_ns()}")
        path.rename(aside)
        logger.warning("%s was half-made and held no run; it is made anew and the old file is now %s", path, aside.name)
    with replacing(path) as partial:
        _open(url.set(database=str(partial)))


def _open(url: URL) -> None:
    text = url.render_as_string(hide_password=False)
    SqlAlchemyStore(text, environment.figures_uri() or "mlruns").engine.dispose()


def _opens(url: URL) -> bool:
    try:
        _open(url)
    except (CommandError, SQLAlchemyError, MlflowException) as error:
        logger.debug("%s", error)
        return False
    return True


def _has_content(path: Path) -> bool:
    """Whether the file holds runs, models or experiments. In doubt yes, since a file without content may be replaced."""
    if path.is_dir():
        raise BadInput(f"{path}: a folder; expected a SQLite file, for example sqlite:///{path}/mlflow.db")
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return any(_has_row(connection, path, table) for table in _CONTENT)


def _has_row(connection: sqlite3.Connection, path: Path, table: str) -> bool:
    try:
        return connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError as error:
        return "no such table" not in str(error)  # locked, for example: somebody is using it
    except sqlite3.DatabaseError as error:
        raise BadInput(f"{path}: not a database ({error}); expected MLflow's SQLite file") from error
