"""HDF5 can name data in other files, by external links, external storage and virtual datasets. They are not followed:
otherwise the author of a file could read any file that this process can read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from h5py import h5l

from gaze_core.errors import BadInput


def require_self_contained(file: h5py.File, path: Path) -> None:
    """Closes the file and raises BadInput if it names data elsewhere, or cannot be searched for such names."""
    try:
        found = next(external_references(file), "")
    except (OSError, RuntimeError) as error:
        file.close()
        raise BadInput(f"{path}: the file is damaged or truncated ({error})") from error
    if found:
        file.close()
        raise BadInput(f"{path}: {found} in another file; expected all data in the file itself, copy it in (h5repack)")


def external_references(file: h5py.File) -> Iterator[str]:
    """References to other files, from the headers alone: no other file is opened.

    A soft link leaves its file only through an external link, which is found separately.

    Raises:
        OSError, RuntimeError: the file is damaged.
    """
    links: list[str] = []
    datasets: list[str] = []

    def note_link(name: bytes, info: Any) -> None:
        if info.type not in (h5l.TYPE_HARD, h5l.TYPE_SOFT):
            links.append(name.decode(errors="replace"))

    def note_dataset(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset) and (found.external or _is_gathered(found)):
            datasets.append(name)

    file.id.links.visit(note_link, info=True)
    yield from (f"the link {name} leads to an object" for name in links)
    file.visititems(note_dataset)
    yield from (f"the field {name} has its values" for name in datasets)


def _is_gathered(dataset: h5py.Dataset) -> bool:
    return dataset.is_virtual and any(source.file_name != "." for source in dataset.virtual_sources())
