"""Converts published files of many people to one subject file each, resuming where an earlier run stopped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gaze_core.data.adapters.published import VERSION, Published, convert_subject
from gaze_core.data.schema import SCHEMA_VERSION
from gaze_core.data.subject_folder import SubjectFolder
from gaze_core.errors import BadInput, reasons_text

MANIFEST = "convert.json"


def convert_subjects(published: Published, out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each person with `num_kept`, `dropped` by reason and `sha256` of `out/SUBJECT.h5`; or with `error`.

    A person whose file exists, unchanged and converted from the same published file, is skipped. A failed conversion
    does not stop the others.
    """
    made_by = {
        "version": VERSION,
        "schema": SCHEMA_VERSION,
        "adapter": published.spec.name,
        "flags": published.flags.model_dump(mode="json"),
    }
    folder = SubjectFolder(out, MANIFEST, made_by)
    for name in published.subjects():
        status = published.files[name].stat()
        source = [published.files[name].name, status.st_size, status.st_mtime_ns]
        if not folder.is_done(name, source):
            folder.record(name, _converted(published, name, folder.file(name)), source)
        yield name, folder.manifest["subjects"][name]


def _converted(published: Published, name: str, out: Path) -> dict[str, Any]:
    try:
        converted = convert_subject(published, name, out)
    except BadInput as error:
        return {"error": str(error)}
    if not converted.num_kept:
        out.unlink(missing_ok=True)  # the result of an earlier version of the published file
        return {"error": f"{published.files[name]}: no usable frame ({reasons_text(converted.dropped)})"}
    return {"num_kept": converted.num_kept, "dropped": converted.dropped}
