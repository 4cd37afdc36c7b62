"""What could not be told to MLflow, in order, on disk: nothing is lost while its server is away.

    <home>/outbox/<time>-<random>/{operations.jsonl, files/...}

One folder for each run that met an outage. Whoever works on a folder holds its lock, which ends with the process.
"""

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks import environment

OPERATIONS_FILE, FILES_DIR, LOCK_FILE = "operations.jsonl", "files", ".lock"
Operation = Mapping[str, Any]


def root() -> Path:
    """Where all that waits lies."""
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
        """Whether nobody else works on this folder; if so, nobody will until `release` or the end of the process."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # all was sent and the folder removed
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Leaves the folder to whoever comes next."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def add(self, operation: Operation) -> None:
        """Appends; an operation on a file keeps a copy of it, because the original may be gone by then."""
        if "path" in operation:
            operation = dict(operation) | {"path": str(self._copy(Path(operation["path"])))}
        with (self.folder / OPERATIONS_FILE).open("a") as file:
            file.write(json.dumps(operation) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All operations; a last line that a killed process did not finish is left out."""
        path = self.folder / OPERATIONS_FILE
        lines = path.read_text().split("\n")[:-1] if path.is_file() else []
        return [json.loads(line) for line in lines]

    def keep_only(self, operations: list[dict[str, Any]]) -> None:
        """What is left to do; nothing left removes the folder."""
        if not operations:
            shutil.rmtree(self.folder)
            return
        partial = self.folder / f".{OPERATIONS_FILE}"
        partial.write_text("".join(f"{json.dumps(operation)}\n" for operation in operations))
        partial.replace(self.folder / OPERATIONS_FILE)

    def _copy(self, source: Path) -> Path:
        target = self.folder / FILES_DIR / uuid.uuid4().hex[:8] / source.name
        target.parent.mkdir()
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        return Path(copy(source, target))


def waiting() -> list[Outbox]:
    """All that waits, the oldest first, so that a flow's run is made before those of its stages."""
    return [Outbox(folder) for folder in sorted(root().glob("*-*")) if folder.is_dir()]
