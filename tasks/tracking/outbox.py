"""Operations that MLflow has not received yet, in order, on disk: nothing is lost while its server is away.

    <home>/outbox/<time>-<random>/{operations.jsonl, files/...}
    <home>/outbox/refused/<time>-<random>/...

One folder for each run that had an outage. A process that works on a folder holds its lock, which ends with the process.
Operations that MLflow will never take are moved to `refused`, so that they do not block others.
"""

import fcntl
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gaze_core.atomic import write_text
from tasks import environment

OPERATIONS_FILE, FILES_DIR, LOCK_FILE, REFUSED_DIR = "operations.jsonl", "files", ".lock", "refused"
Operation = Mapping[str, Any]

logger = logging.getLogger("gazeworks.tracking")


def root() -> Path:
    """Folder of all waiting operations."""
    return environment.home() / "outbox"


class Outbox:
    """The waiting operations of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None

    @classmethod
    def create(cls) -> "Outbox":
        """A new folder, held by the caller until `release`; a later one sorts after it."""
        folder = root() / f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
        (folder / FILES_DIR).mkdir(parents=True)
        box = cls(folder)
        box.hold()
        return box

    def hold(self) -> bool:
        """Takes the folder's lock until `release` or the end of the process; False if another process holds it."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except (FileNotFoundError, PermissionError):  # all was sent and the folder removed; or it is another user's
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Releases the folder's lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def add(self, operation: Operation) -> None:
        """Appends an operation. Its file, if it has one, is copied, because the original may be deleted before sending."""
        if "path" in operation:
            operation = dict(operation) | {"path": self._copy(Path(operation["path"]))}
        with (self.folder / OPERATIONS_FILE).open("a") as file:
            file.write(json.dumps(operation) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All operations that can be read; a last line that a killed process did not finish is left out."""
        path = self.folder / OPERATIONS_FILE
        lines = path.read_text(errors="replace").split("\n")[:-1] if path.is_file() else []
        return [operation for number, line in enumerate(lines, start=1) if (operation := _parsed(line, path, number))]

    def remove(self) -> None:
        """Removes the folder, of which all operations have been sent."""
        shutil.rmtree(self.folder)
        self.release()

    def set_aside(self) -> None:
        """Moves the folder to `refused`, from where nothing is sent."""
        target = root() / REFUSED_DIR / self.folder.name
        target.parent.mkdir(exist_ok=True)
        self.folder.rename(target)
        logger.warning("MLflow never got what is now in %s", target)
        self.release()

    def keep_only(self, operations: Sequence[Operation]) -> None:
        """Replaces the waiting operations by these."""
        write_text(self.folder / OPERATIONS_FILE, "".join(f"{json.dumps(operation)}\n" for operation in operations))

    def located(self, operation: Operation) -> Operation:
        """The operation with the path of its copy as it is now: a home may have been moved."""
        return operation if "path" not in operation else {**operation, "path": str(self.folder / operation["path"])}

    def _copy(self, source: Path) -> str:
        name = f"{FILES_DIR}/{uuid.uuid4().hex[:8]}/{source.name}"
        (self.folder / name).parent.mkdir()
        shutil.copyfile(source, self.folder / name)
        return name


def _parsed(line: str, path: Path, number: int) -> dict[str, Any] | None:
    try:
        operation = json.loads(line)
    except ValueError:
        operation = None
    if isinstance(operation, dict) and "kind" in operation:
        return operation
    logger.warning("%s: line %d is damaged and left out", path, number)
    return None


def waiting() -> list[Outbox]:
    """All outboxes, the oldest first, so that a flow's run is created before those of its stages."""
    return [Outbox(path.parent) for path in sorted(root().glob(f"*-*/{OPERATIONS_FILE}"))]
