"""A file lock that the kernel releases when the owning process ends, even by SIGKILL."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("gazeworks.locks")


@contextmanager
def work_lock(work_dir: Path) -> Iterator[bool]:
    """Holds the exclusive right to work in `work_dir`; yields whether it had to wait for another run.

    Works between threads and between processes of one host. The lock file lies beside the folder, so that the
    owner can remove the folder, and is itself removed on release.
    """
    path = work_dir.with_name(f"{work_dir.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, waited = _acquire(path)
    try:
        yield waited
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> tuple[int, bool]:
    waited = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("%s: another run is working on this; waiting for it", path.stem)
            waited = True
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_still_at(descriptor, path):
            return descriptor, waited
        os.close(descriptor)  # the previous owner removed the file that we waited for; take the current one


def _is_still_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
