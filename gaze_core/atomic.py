"""Files that are whole or not there: written beside their place, flushed to the disk, and renamed."""

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
    """A hidden file beside `path` that gets the name of `path` when the block ends well; `suffix` ends its name until then.

    If it does not, nothing is left of it, and what was at `path` is still there.

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
        partial.unlink(missing_ok=True)  # or it would keep the disk full


def write_text(path: Path, text: str) -> None:
    """Replaces the text of a file.

    Raises:
        NoSpace: the disk is full.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _is_full(error: Exception) -> bool:
    """Torch tells a failed write by the place in its own code, safetensors by the system's words."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return any(sign in str(error) for sign in ("inline_container", "iostream error", *map(os.strerror, FULL)))
