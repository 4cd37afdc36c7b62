"""Where results are to go: looked at before the work that makes them, since afterwards is too late."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gaze_core.errors import BadInput

ADVICE = "choose another place for the results"


def output_folder(path: Path, advice: str = ADVICE) -> Path:
    """`path`, if files can be written into it, whether it is there yet or not. Leaves nothing behind.

    Raises:
        BadInput: it is a file or below one, or the system does not let us write there.
    """
    with (
        _refusal_as_bad_input(path, "a folder that can be written to", advice),
        _existing(path),
        tempfile.TemporaryFile(dir=path),
    ):
        return path


def output_file(path: Path) -> Path:
    """`path`, if a file can be written there, in place of another or as a new one. Leaves all as it is.

    Raises:
        BadInput: it is a folder or below a file, or the system does not let us write there.
    """
    with _refusal_as_bad_input(path, "a file that can be written", ADVICE), _existing(path.parent):
        is_new = not path.exists()
        path.open("ab").close()
        if is_new:
            path.unlink()
    return path


def require_outside(out: Path, *sources: Path) -> None:
    """Raises BadInput if results would lie among what they are made from, where the next run would take them for it."""
    for source in sources:
        folder = source.parent if source.is_file() else source
        inside = out.resolve().is_relative_to(folder.resolve())
        if inside and (source.is_dir() or out.resolve() == folder.resolve()):
            raise BadInput(f"{out}: lies inside the input {source}; {ADVICE}")


@contextmanager
def _refusal_as_bad_input(path: Path, expected: str, advice: str) -> Iterator[None]:
    """The system's refusal in one line."""
    try:
        yield
    except OSError as error:
        found = "there is a file" if isinstance(error, FileExistsError) else os.strerror(error.errno or 0).lower()
        raise BadInput(f"{path}: expected {expected}, but: {found}; {advice}") from error


@contextmanager
def _existing(folder: Path) -> Iterator[None]:
    """The folder, for as long as the context lasts; folders that had to be made for it go again."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in missing:
            with suppress(OSError):  # never made, or in use by now
                place.rmdir()
