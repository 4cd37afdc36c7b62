"""Copies an extracted drive into a folder of the user."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from gaze_core.artifacts import MANIFEST_FILE, ArtifactRef, Manifest
from gaze_core.data.splits import SPLITS_FILE
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.driver.record import DRIVE_FILE, IMAGES
from gaze_core.errors import BadInput
from tasks.store.artifacts import Store

_OWN_ENTRIES = {DRIVE_FILE, IMAGES, SPLITS_FILE, SUBJECT_FILE, MANIFEST_FILE}


def require_drive_folder(out: Path, inputs: Iterable[Path | None] = ()) -> Path:
    """`out` as an absolute path, if an extracted drive may replace everything in it.

    Raises:
        BadInput: it is a file, the current folder or one above it, holds an input, or holds anything but an earlier drive.
    """
    place = out.resolve()
    if place == Path.cwd() or place in Path.cwd().parents:
        raise BadInput(f"{out}: the current folder, or one above it; choose a new folder with --out")
    for path in filter(None, inputs):
        if place in path.resolve().parents:
            raise BadInput(
                f"{out}: holds the input {path.name}, and its content would be replaced; choose another --out"
            )
    if place.is_file():
        raise BadInput(f"{out}: there is a file; choose a new folder with --out")
    entries = {path.name for path in place.iterdir()} if place.is_dir() else set()
    if entries and (DRIVE_FILE not in entries or not entries <= _OWN_ENTRIES):
        unexpected = ", ".join(sorted(entries - _OWN_ENTRIES)[:3]) or f"no {DRIVE_FILE}"
        raise BadInput(f"{out}: not empty, and not only an extracted drive ({unexpected}); choose another --out")
    return place


def write_drive_folder(ref: ArtifactRef, out: Path) -> Path:
    """Copies an extracted drive from the store to `out`. An earlier drive there is replaced once the copy is complete."""
    place = require_drive_folder(out)
    source = Store.from_environment().fetch(ref)
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as beside:
        new, old = Path(beside, "new"), Path(beside, "old")
        for name in (*Manifest.read(source).files, MANIFEST_FILE):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, new / name)
        if place.exists():
            os.replace(place, old)
        os.replace(new, place)
    return out
