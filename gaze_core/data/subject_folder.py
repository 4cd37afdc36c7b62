"""A folder of subject files, written person by person, with a manifest from which the next run resumes."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaze_core.artifacts import file_sha256


class SubjectFolder:
    """Subject files `SUBJECT.h5` and, a manifest, `manifest_name`, of how they were made and what failed.

    A file made with other settings or from another source counts as missing.
    """

    def __init__(self, folder: Path, manifest_name: str, made_by: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._path = folder, folder / manifest_name
        try:
            found: dict[str, Any] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            found = {}
        self.manifest = found if found.get("made_by") == made_by else {"made_by": dict(made_by), "subjects": {}}

    def file(self, subject: str) -> Path:
        """Path of the person's subject file."""
        return self._folder / f"{subject}.h5"

    def is_done(self, subject: str, source: Any = None) -> bool:
        """Whether the person's file exists, is unchanged, and was made from this `source`."""
        path, entry = self.file(subject), self.manifest["subjects"].get(subject, {})
        same = entry.get("source") == source and "sha256" in entry
        return same and path.is_file() and file_sha256(path) == entry["sha256"]

    def record(self, subject: str, result: Mapping[str, Any], source: Any = None) -> dict[str, Any]:
        """Records the result for a person: the counts of the written file, or an `error`."""
        entry = dict(result) | ({} if source is None else {"source": source})
        if "error" not in entry:
            entry["sha256"] = file_sha256(self.file(subject))
        self.manifest["subjects"][subject] = entry
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_text(json.dumps(self.manifest, indent=1, sort_keys=True))
        os.replace(partial, self._path)
        return entry
