"""Opening published data sets, and converting them to subject files. Nothing is downloaded."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import ValidationError

from gaze_core.data.adapters.faults import FAULTS
from gaze_core.data.adapters.fields import completed, shape_of
from gaze_core.data.adapters.hdf5 import opened
from gaze_core.data.adapters.spec import DatasetSpec, Flags, Outcome, Rejected, Subject
from gaze_core.data.adapters.table import ADAPTERS
from gaze_core.data.schema import FIELDS, OPTIONAL_FIELDS
from gaze_core.data.subject_writer import SubjectWriter
from gaze_core.errors import BadInput

VERSION = 2  # increase it when the same published file converts to another subject file

_SUBJECT = re.compile(r"(.*)\{(.*)\}(.*)")
_NAME = re.compile(r"[\w-]+")  # of a person; file managers name a copy "subject0000 (1).h5"


@dataclass(frozen=True)
class Converted:
    """Counts of a subject's frames: `dropped` counts those left out, by reason."""

    num_kept: int
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A published data set on disk; samples are read one by one."""

    spec: DatasetSpec
    flags: Flags
    files: Mapping[str, Path]  # by subject

    def subjects(self) -> tuple[str, ...]:
        """Names of the people, sorted."""
        return tuple(sorted(self.files))

    def subject(self, name: str) -> Subject:
        """The person of this name, ready to be read.

        Raises:
            BadInput: there is no such person.
        """
        if name not in self.files:
            raise BadInput(f"{self.spec.name}: no subject {name!r}; found {_listed(self.subjects())}")
        return Subject(self.spec, self.files[name], name, self.flags)

    def samples(self, name: str) -> Iterator[dict[str, Any]]:
        """Each usable frame with a value for every field of the schema; missing labels are marked invalid.

        Raises:
            BadInput: the file is not as published.
        """
        subject = self.subject(name)
        for outcome in subject.spec.layout.read(subject):
            if not isinstance(outcome, Rejected):
                yield completed(outcome)


def open_published(
    path_or_root: Path | str, adapter_name: str, subject: str | None = None, **flags: Any
) -> Published:  # fmt: skip
    """Finds the people of a published data set; opens no image.

    Args:
        path_or_root: one file, or a folder that holds the files or their folders.
        adapter_name: a row of `table.ADAPTERS`.
        subject: only this person.
        flags: fields of `spec.Flags`.

    Raises:
        BadInput: no such adapter, flag, path, file or person.
    """
    if adapter_name not in ADAPTERS:
        raise BadInput(f"no adapter {adapter_name!r}; expected one of {', '.join(ADAPTERS)}")
    spec = ADAPTERS[adapter_name]
    try:
        known = Flags(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"{adapter_name}: flag {name}: {first['msg']}; flags are {', '.join(Flags.model_fields)}"
        ) from error
    found = Published(spec, known, _subject_files(Path(path_or_root), spec))
    if subject is None:
        return found
    return Published(spec, known, {subject: found.subject(subject).path})


def convert_subject(published: Published, subject: str, out_path: Path) -> Converted:
    """Writes the subject file of one person, frame by frame, atomically.

    Unusable frames are left out and counted. If none is usable, no file is written.

    Raises:
        BadInput: the file is not as published.
    """
    person = published.subject(subject)
    dropped: Counter[str] = Counter()
    found: set[str] = set()
    kept = 0
    with ExitStack() as stack:
        writer: SubjectWriter | None = None
        width_px = 0
        for outcome in _outcomes(person):
            if isinstance(outcome, Rejected):
                dropped[outcome.reason] += 1
                continue
            if writer is None:
                height_px, width_px = outcome["image"].shape[:2]
                optional = [name for name in OPTIONAL_FIELDS if name in outcome]
                writer = stack.enter_context(SubjectWriter(out_path, (width_px, height_px), "lzf", optional=optional))
            writer.append(completed(outcome))
            found |= set(outcome)
            kept += 1
        if writer is not None:
            writer.describe(_attributes(person, width_px, found, dropped))
    return Converted(kept, dict(dropped))


def _outcomes(person: Subject) -> Iterator[Outcome]:
    """The reader's outcomes; images whose size differs from the first one's are rejected."""
    size: tuple[int, ...] | None = None
    for outcome in person.spec.layout.read(person):
        if isinstance(outcome, Rejected):
            yield outcome
            continue
        size = size or outcome["image"].shape[:2]
        sides = dict(zip("hw", size, strict=True))
        odd = [name for name in FIELDS if name in outcome and np.shape(outcome[name]) != shape_of(name, sides)]
        yield Rejected(f"{odd[0]}_shape") if odd else outcome


def _attributes(person: Subject, width_px: int, found: set[str], dropped: Counter[str]) -> dict[str, Any]:
    spec, flags = person.spec, person.flags
    faults = [name for name in spec.faults if name != "gaze_origin" or flags.legacy_gaze_origin]
    return {
        "subject": person.name,
        "source": spec.source,
        "label_source": "target",
        "normalization": spec.view.resized(width_px).model_dump(mode="json"),
        "provenance": {
            "generator": "gaze_core.data.adapters.published.convert_subject",
            "generator_version": VERSION,
            "adapter": spec.name,
            "file": person.path.name,
            "flags": flags.model_dump(mode="json"),
            "angles": spec.layout.angles,
            "gaze": spec.layout.gaze,
            "label_faults": {name: FAULTS[name] for name in faults},
            "neutral": sorted(set(FIELDS) - found),
            "notes": person.notes,
        },
        "dropped": dict(dropped),
    }


def _subject_files(root: Path, spec: DatasetSpec) -> dict[str, Path]:
    if not root.exists():
        raise BadInput(f"{root}: no such file or folder; expected {spec.pattern} ({spec.name})")
    match = _SUBJECT.fullmatch(spec.pattern)
    glob = f"{match[1]}{match[2] or '*'}{match[3]}" if match else spec.pattern
    files = [root] if root.is_file() else sorted(root.glob(glob)) or sorted(root.glob(f"*/{glob}"))
    if not files:
        raise BadInput(f"{root}: no file named {glob}, also not one folder deeper; expected by {spec.name}")
    if match is None:
        if len(files) > 1:
            raise BadInput(f"{root}: {len(files)} files named {glob}; name the one to open")
        return dict.fromkeys(_groups(files[0]), files[0])
    out: dict[str, Path] = {}
    for path in files:
        name = require_name(path.stem.removeprefix(match[1]), path)
        if name in out:
            raise BadInput(f"{root}: subject {name} is in {out[name]} and in {path}; name the folder to open")
        out[name] = path
    return out


def require_name(name: str, path: Path) -> str:
    """Returns the name of a person after a check.

    Raises:
        BadInput: it is not a valid name, for example that of a copy.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{path}: {name!r} is not a subject of the data set, probably a copy; remove or rename it")
    return name


def _groups(path: Path) -> list[str]:
    with opened(path) as file:
        people = [name for name in file if isinstance(file[name], h5py.Group)]
    if not people:
        raise BadInput(f"{path}: expected one group per person, found none")
    return people


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:8])}{' ...' if len(names) > 8 else ''} ({len(names)})"
