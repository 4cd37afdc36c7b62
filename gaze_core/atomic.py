"""Atomic writes: files are written under a temporary name, flushed to disk, and renamed."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from gaze_core.errors import NoSpace

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(path: Path, suffix: str = ".partial") -> Iterator[Path]:
    """A hidden temporary file, with this suffix, that replaces `path` when the block succeeds.

    If the block fails, the temporary file is removed and `path` is unchanged.

    Raises:
        NoSpace: the disk is full.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{suffix}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        if _is_full(error):
            raise NoSpace(f"{path}: no space to write it ({error}); free some and run again") from error
        raise
    finally:
        partial.unlink(missing_ok=True)  # else the disk stays full


def write_text(path: Path, text: str) -> None:
    """Writes the text of a file atomically.

    Raises:
        NoSpace: the disk is full.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _is_full(error: Exception) -> bool:
    """Whether an error means a full disk: torch reports its own code location, safetensors the OS text."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return any(sign in str(error) for sign in ("inline_container", "iostream error", *map(os.strerror, FULL)))
