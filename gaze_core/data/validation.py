"""Checks a subject file against `data/schema.py` and lists every fault it has, not only the first."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy import ndarray

from gaze_core.data.content_checks import CHECKS
from gaze_core.data.cut_file import lost_frames, open_cut
from gaze_core.data.schema import ATTRIBUTES, FIELDS, JSON_ATTRIBUTES, LABEL_SOURCES, OPTIONAL_FIELDS, SCHEMA_VERSION
from gaze_core.data.self_contained import named_elsewhere

_SLAB_BYTES = 8 * 2**20  # of the largest field; the file itself may be larger than the memory
_FILE = "file"

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. An error makes samples or the file unusable; a warning asks for a look."""

    where: str  # a field, an attribute ("attribute subject") or "file"
    expected: str
    found: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: expected {self.expected}, found {self.found}"


def validate_file(path: Path) -> list[Fault]:
    """All faults of a subject file, read in slabs of frames; an empty list for a good file.

    Nothing in the file makes this raise: what cannot be read is a fault, and the rest is still checked.
    """
    expected = f"a subject file (HDF5, schema v{SCHEMA_VERSION})"
    if not path.is_file():
        return [Fault(_FILE, expected, "a folder" if path.is_dir() else "no such file")]
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        fault = Fault(_FILE, expected, f"no readable HDF5 file, truncated or of another format ({error})")
        cut = open_cut(path, error)
        if cut is None:
            return [fault]
        with cut:
            if all(_find(cut, name)[0] is None for name in FIELDS):
                return [fault]
            return [fault, *_all_faults(cut, path.stat().st_size)]
    with file:
        return _all_faults(file)


def _all_faults(file: h5py.File, file_bytes: int | None = None) -> list[Fault]:
    """Of an open file; of one that is cut, `file_bytes` are left."""
    if elsewhere := _elsewhere(file):
        return [Fault(_FILE, "all data in the file itself", f"{elsewhere} in another file")]
    fields, faults = _layout(file)
    lost = {} if file_bytes is None else {name: lost_frames(dataset, file_bytes) for name, dataset in fields.items()}
    return [*_attributes(file), *faults, *_frames(fields), *_contents(fields, lost)]


def _elsewhere(file: h5py.File) -> str:
    with suppress(OSError, RuntimeError):  # what is damaged is found field by field
        return next(named_elsewhere(file), "")
    return ""


def _attributes(file: h5py.File) -> list[Fault]:
    faults = []
    for name, meaning in ATTRIBUTES.items():
        where = f"attribute {name}"
        try:
            value = file.attrs[name]
        except (KeyError, OSError, RuntimeError, TypeError, UnicodeDecodeError) as error:
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
    except (TypeError, ValueError) as error:  # bytes that are not UTF-8 are a ValueError, too
        yield "valid JSON", f"{str(value)[:40]!r} ({error})"
        return
    if not isinstance(content, dict):
        yield "a JSON object", f"{value!r}"[:60]
    elif name == "dropped" and any(not isinstance(n, int) or n < 0 for n in content.values()):
        yield "a count for each reason", f"{value!r}"[:60]


def _layout(file: h5py.File) -> tuple[dict[str, h5py.Dataset], list[Fault]]:
    """The fields whose frames can be checked, and what is wrong with the form of the others."""
    fields, faults = {}, []
    size = _image_size(file)
    for name, field in (FIELDS | OPTIONAL_FIELDS).items():
        shape = tuple(size.get(s, s) if isinstance(s, str) else s for s in field.shape)
        expected = f"{field.dtype} of shape {_shape_text(('n', *shape))}"
        dataset, problem = _find(file, name)
        if dataset is None and not problem and name in OPTIONAL_FIELDS:
            continue
        found = problem or ("none" if dataset is None else _form_fault(dataset, shape, field.dtype))
        if found:
            faults.append(Fault(name, expected, found))
        else:
            fields[name] = dataset
    return fields, faults


def _find(file: h5py.File, name: str) -> tuple[Any, str]:
    """What has this name, and why it cannot be opened; neither if there is no such name."""
    try:
        return file[name], ""
    except (KeyError, OSError, RuntimeError) as error:
        absent = any(text in str(error) for text in ("doesn't exist", "component not found"))
        return None, "" if absent else f"unreadable ({error.args[0]})"


def _image_size(file: h5py.File) -> dict[str, int]:
    """Height and width on which most of the pictures agree, so that one odd field is blamed and not all the others."""
    sizes: Counter[tuple[int, ...]] = Counter()
    for name, field in FIELDS.items():
        dataset = _find(file, name)[0] if "h" in field.shape else None
        if isinstance(dataset, h5py.Dataset) and dataset.ndim == 1 + len(field.shape):
            sizes[dataset.shape[1:3]] += 1
    return dict(zip("hw", sizes.most_common(1)[0][0], strict=True)) if sizes else {}


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
    """Fields with another number of frames than most have."""
    counts = Counter(len(dataset) for dataset in fields.values())
    if not counts:
        return []
    usual = counts.most_common(1)[0][0]
    if usual == 0:
        return [Fault(_FILE, "at least one frame", "none")]
    return [
        Fault(name, f"{usual} frames, as in the other fields", f"{len(dataset)}")
        for name, dataset in fields.items()
        if len(dataset) != usual
    ]


def _contents(fields: Mapping[str, h5py.Dataset], lost: Mapping[str, list[int]]) -> list[Fault]:
    """Reads every frame once and runs the checks whose fields are there; a field of which frames are lost is not."""
    unreadable = {name: list(frames) for name, frames in lost.items() if frames}
    bad: dict[int, list[int]] = {}
    for first, slab in _slabs({name: field for name, field in fields.items() if name not in unreadable}, unreadable):
        for number, check in enumerate(CHECKS):
            if all(name in slab for name in check.fields):
                rows = min(len(slab[name]) for name in check.fields)
                wrong = check.wrong(*(slab[name][:rows] for name in check.fields))
                bad.setdefault(number, []).extend((first + np.flatnonzero(wrong)).tolist())
    faults = [
        Fault(name, "frames that can be read", f"damaged or truncated data in {_frames_text(frames)}")
        for name, frames in unreadable.items()
    ]
    for number, frames in sorted(bad.items()):
        if frames:
            check = CHECKS[number]
            faults.append(Fault(check.where, check.expected, f"otherwise in {_frames_text(frames)}", check.severity))
    return faults


def _frames_text(frames: list[int]) -> str:
    return f"{len(frames)} frame{'s' * (len(frames) > 1)}, first {min(frames)}"


def _slabs(
    fields: Mapping[str, h5py.Dataset], unreadable: dict[str, list[int]]
) -> Iterator[tuple[int, dict[str, ndarray]]]:
    """(first frame, arrays of the fields): many frames at a time, one at a time where some cannot be read.

    What cannot be read is left out of its slab and noted in `unreadable`; a field that ends early is shorter.
    """
    count = max((len(dataset) for dataset in fields.values()), default=0)
    frame_bytes = max((dataset.dtype.itemsize * math.prod(dataset.shape[1:]) for dataset in fields.values()), default=1)
    step = max(1, _SLAB_BYTES // max(1, frame_bytes))
    for first in range(0, count, step):
        slab, failed = _read(fields, slice(first, first + step))
        if not failed:
            yield first, slab
            continue
        for frame in range(first, min(first + step, count)):
            slab, failed = _read(fields, slice(frame, frame + 1))
            for name in failed:
                unreadable.setdefault(name, []).append(frame)
            yield frame, slab


def _read(fields: Mapping[str, h5py.Dataset], frames: slice) -> tuple[dict[str, ndarray], list[str]]:
    slab, failed = {}, []
    for name, dataset in fields.items():
        if frames.start >= len(dataset):
            continue
        try:
            slab[name] = dataset[frames]
        except OSError:
            failed.append(name)
    return slab, failed
