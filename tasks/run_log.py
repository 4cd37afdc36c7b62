"""The log of a run: what our loggers say while a flow works, as plain text beside its report."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from gaze_core import __version__
from gaze_core.reports.page import LOG_FILE
from tasks.environment import LOGGER
from tasks.redaction import redacted


@contextmanager
def run_log(name: str, folder: Path | None) -> Iterator[None]:
    """Appends to `folder/log.txt`: an interrupted run and the one that goes on stand in one file.

    Folder and file are made with the first line, so a run that is refused before any work leaves neither. A run that
    fails has its error as the last line.
    """
    if folder is None:
        yield
        return
    logger, handler = logging.getLogger(LOGGER), _LogFile(folder / LOG_FILE, name)
    logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        if handler.stream is not None:
            logger.error("%s: ended by %s: %s", name, type(error).__name__, error)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


class _LogFile(logging.FileHandler):
    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._head = f"{name}, Gazeworks {__version__}\n"
        self.setFormatter(_Redacting("%(asctime)s %(levelname)-7s %(message)s"))

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        stream = super()._open()
        stream.write(self._head)
        return stream


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))
