"""Checks of output paths before any work begins."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gaze_core.errors import BadInput

ADVICE = "choose another place for the results"


def output_folder(path: Path, advice: str = ADVICE) -> Path:
    """Returns `path` if it is, or can become, a writable folder. Leaves nothing behind.

    Raises:
        BadInput: it is a file or below a file, or not writable.
    """
    with (
        _os_errors_as_bad_input(path, "a folder that can be written to", advice),
        _existing(path),
        tempfile.TemporaryFile(dir=path),
    ):
        return path


def output_file(path: Path) -> Path:
    """Returns `path` if a file can be written there, new or replacing another. Changes nothing.

    Raises:
        BadInput: it is a folder or below a file, or not writable.
    """
    with _os_errors_as_bad_input(path, "a file that can be written", ADVICE), _existing(path.parent):
        is_new = not path.exists()
        path.open("ab").close()
        if is_new:
            path.unlink()
    return path


def require_outside(out: Path, *sources: Path) -> None:
    """Raises BadInput if results would be written inside an input, where the next run would read them as input."""
    for source in sources:
        folder = source.parent if source.is_file() else source
        inside = out.resolve().is_relative_to(folder.resolve())
        if inside and (source.is_dir() or out.resolve() == folder.resolve()):
            raise BadInput(f"{out}: lies inside the input {source}; {ADVICE}")


@contextmanager
def _os_errors_as_bad_input(path: Path, expected: str, advice: str) -> Iterator[None]:
    """Turns an operating system error into a one-line BadInput."""
    try:
        yield
    except OSError as error:
        found = "there is a file" if isinstance(error, FileExistsError) else os.strerror(error.errno or 0).lower()
        raise BadInput(f"{path}: expected {expected}, but: {found}; {advice}") from error


@contextmanager
def _existing(folder: Path) -> Iterator[None]:
    """Creates the folder for the duration of the context; removes the folders it created."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in missing:
            with suppress(OSError):  # never created, or in use by now
                place.rmdir()
