"""The log of a run: the lines of our loggers during a flow, as plain text beside its report."""

import logging
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

from gaze_core import __version__
from gaze_core.reports.page import LOG_FILE
from tasks.environment import LOGGER
from tasks.redaction import redacted


class RunLog:
    """Appends to `folder/log.txt`, so an interrupted run and its continuation share one file. Without a folder, no log.

    Folder and file are created with the first line, so a run that is refused before any work leaves neither. The last
    line of a failed run is its error.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        self._name, self._logger = name, logging.getLogger(LOGGER)
        self._handler = None if folder is None else _LogFile(folder / LOG_FILE, name)

    def __enter__(self) -> None:
        if self._handler:
            self._logger.addHandler(self._handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        if self._handler:
            if kind and self._handler.stream is not None:
                self._logger.error("%s: ended by %s: %s", self._name, kind.__name__, error)
            self._logger.removeHandler(self._handler)
            self._handler.close()


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
