"""Processes that outlive the command that started them, and those that must not outlive it.

Each background process has a file with its number and its start time: a number alone may by now belong to another
process, and nothing but what was started here is ever stopped.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaze_core.atomic import write_text

PARENT_POLL_S = 0.5

logger = logging.getLogger("gazeworks.processes")


@dataclass(frozen=True)
class Process:
    """A background process by number and start time."""

    name: str
    pid: int
    born: str
    url: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the process with this number is still the one that was started."""
        return self.born != "" and start_time(self.pid) == self.born

    def stop(self, grace_s: float) -> None:
        """Ends it and its process group: SIGTERM, then SIGKILL after `grace_s`."""
        for sign, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
            if not self.is_running:
                return
            os.killpg(self.pid, sign)
            deadline_s = time.monotonic() + wait_s
            while self.is_running and time.monotonic() < deadline_s:
                time.sleep(0.1)


def start_time(pid: int) -> str:
    """Start time of a process in the system's notation; empty if there is no such process, or it is a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] == "Z" else fields[19]
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def spawn(name: str, command: Sequence[str], env: Mapping[str, str], folder: Path, url: str = "") -> Process:
    """Starts a process in a session of its own, with its output in `<folder>/<name>.log`, and records it there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            list(command), env=dict(env), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    process = Process(name, child.pid, start_time(child.pid), url)
    try:
        _remember(process, folder)
    except OSError:
        process.stop(grace_s=0)  # nobody could stop it later
        raise
    # Reaps the child when it ends, or `is_running` could take a zombie for a running process.
    threading.Thread(target=child.wait, daemon=True).start()
    return process


def _remember(process: Process, folder: Path) -> None:
    write_text(folder / f"{process.name}.json", json.dumps(process.__dict__))


def remembered(folder: Path) -> list[Process]:
    """The processes recorded in `folder`, running or not, in the order of their start."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [process for path in files if (process := _read(path))]


def _read(path: Path) -> Process | None:
    try:
        row = json.loads(path.read_text())
        return Process(str(row["name"]), int(row["pid"]), str(row["born"]), str(row["url"]))
    except (ValueError, TypeError, KeyError) as error:
        logger.warning("%s: names no process (%s), and is passed over", path, error)
        return None


def forget(process: Process, folder: Path) -> None:
    """Removes the record that `spawn` wrote; the log stays."""
    (folder / f"{process.name}.json").unlink(missing_ok=True)


def end_with_parent() -> None:
    """Ends this process as soon as its parent has ended, even by SIGKILL."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":  # MODULE [ARGUMENT...]: runs the module, but ends with the process that started it
    import runpy

    end_with_parent()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
