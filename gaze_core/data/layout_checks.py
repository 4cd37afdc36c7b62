"""The form of a subject file: its attributes, and type, shape and length of each field, without reading a frame."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np

from gaze_core.data.schema import (
    ATTRIBUTES,
    DEFAULT_PROFILE,
    JSON_ATTRIBUTES,
    LABEL_SOURCES,
    PROFILES,
    SCHEMA_VERSION,
    Profile,
    ProfileName,
)

FILE = "file"  # the `where` of a fault of the whole file
_UNREADABLE = (KeyError, OSError, RuntimeError, TypeError, UnicodeDecodeError)

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Fault:
    """One fault of a subject file. An error makes samples or the file unusable; a warning does not."""

    where: str  # a field, an attribute ("attribute subject") or "file"
    expected: str
    found: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"

    @property
    def text(self) -> str:
        """The fault without its severity, in one line."""
        return f"{self.where}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Form:
    """The readable fields of an open file, and the faults of the others."""

    fields: dict[str, h5py.Dataset]
    faults: list[Fault]


def read_form(file: h5py.File, wanted: ProfileName | None = None) -> Form:
    """Checks an open file against its profile; never raises because of the file's content.

    `wanted` is the required profile; None accepts any.
    """
    choices = [wanted] if wanted else list(PROFILES)
    try:
        name = file.attrs.get("profile", DEFAULT_PROFILE)
    except _UNREADABLE as error:
        name = f"unreadable ({error.args[0]})"
    if not isinstance(name, str) or name not in choices:
        expected = wanted or f"one of {', '.join(PROFILES)}, or none"
        return Form({}, [Fault("attribute profile", expected, f"{name}"[:60])])
    fields, faults = _layout(file, PROFILES[name])
    return Form(fields, [*_attributes(file, PROFILES[name]), *faults, *_frames(fields)])


def _attributes(file: h5py.File, profile: Profile) -> list[Fault]:
    faults = []
    for name, meaning in {**ATTRIBUTES, **profile.attributes}.items():
        where = f"attribute {name}"
        try:
            value = file.attrs[name]
        except _UNREADABLE as error:
            absent = isinstance(error, KeyError) and "can't locate attribute" in str(error)
            faults.append(Fault(where, meaning, "none" if absent else f"unreadable ({error.args[0]})"))
            continue
        faults += [Fault(where, *fault) for fault in _attribute_faults(name, value)]
    return faults


def _attribute_faults(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """(expected, found) of one attribute that is there."""
    if name == "schema_version" and (np.ndim(value) or value != SCHEMA_VERSION):
        yield f"{SCHEMA_VERSION}; run preprocess again", str(value)
    if name in ("subject", "source", "label_source") and not (isinstance(value, str) and value):
        yield "a text", repr(value)
    elif name == "label_source" and value not in LABEL_SOURCES:
        yield f"one of {', '.join(LABEL_SOURCES)}", repr(value)
    if name not in JSON_ATTRIBUTES:
        return
    try:
        content = json.loads(value)
    except (TypeError, ValueError) as error:  # bytes that are not UTF-8 also raise a ValueError
        yield "valid JSON", f"{str(value)[:40]!r} ({error})"
        return
    if not isinstance(content, dict):
        yield "a JSON object", f"{value!r}"[:60]
    elif name == "dropped" and any(not isinstance(n, int) or n < 0 for n in content.values()):
        yield "a count for each reason", f"{value!r}"[:60]


def _layout(file: h5py.File, profile: Profile) -> tuple[dict[str, h5py.Dataset], list[Fault]]:
    """The fields whose frames can be checked, and the faults in the form of the others."""
    fields, faults = {}, []
    sides = _sides(file, profile)
    for name, field in {**profile.fields, **profile.optional}.items():
        shape = tuple(sides.get(s, s) if isinstance(s, str) else s for s in field.shape)
        expected = f"{field.dtype} of shape {_shape_text(('n', *shape))}"
        dataset, problem = find(file, name)
        if dataset is None and not problem and name in profile.optional:
            continue
        found = problem or ("none" if dataset is None else _form_fault(dataset, shape, field.dtype))
        if found:
            faults.append(Fault(name, expected, found))
        else:
            fields[name] = dataset
    return fields, faults


def find(file: h5py.File, name: str) -> tuple[Any, str]:
    """The object of this name, or the reason why it cannot be opened; neither if it does not exist."""
    try:
        return file[name], ""
    except (KeyError, OSError, RuntimeError) as error:
        absent = any(text in str(error) for text in ("doesn't exist", "component not found"))
        return None, "" if absent else f"unreadable ({error.args[0]})"


def _sides(file: h5py.File, profile: Profile) -> dict[str, int]:
    """Sizes of "h", "w" and other named lengths in this file, by majority of the fields: a deviating field is faulty."""
    found: dict[str, Counter[int]] = {}
    for name, field in profile.fields.items():
        dataset = find(file, name)[0]
        if isinstance(dataset, h5py.Dataset) and dataset.ndim == 1 + len(field.shape):
            for side, length in zip(field.shape, dataset.shape[1:], strict=True):
                if isinstance(side, str):
                    found.setdefault(side, Counter())[length] += 1
    return {side: lengths.most_common(1)[0][0] for side, lengths in found.items()}


def _form_fault(dataset: Any, shape: tuple[int | str, ...], dtype: str) -> str:
    if not isinstance(dataset, h5py.Dataset):
        return "a group of that name"
    wrong_shape = dataset.ndim != 1 + len(shape) or any(
        isinstance(wanted, int) and wanted != got for wanted, got in zip(shape, dataset.shape[1:], strict=True)
    )
    if wrong_shape or dataset.dtype != np.dtype(dtype):
        return f"{dataset.dtype} of shape {_shape_text(dataset.shape)}"
    return ""


def _shape_text(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _frames(fields: Mapping[str, h5py.Dataset]) -> list[Fault]:
    """Faults of fields whose number of frames differs from the majority's."""
    counts = Counter(len(dataset) for dataset in fields.values())
    if not counts:
        return []
    usual = counts.most_common(1)[0][0]
    if usual == 0:
        return [Fault(FILE, "at least one frame", "none")]
    return [
        Fault(name, f"{usual} frames, as in the other fields", f"{len(dataset)}")
        for name, dataset in fields.items()
        if len(dataset) != usual
    ]
