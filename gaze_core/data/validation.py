"""Checks a subject file against `data/schema.py` and lists every fault it has, not only the first."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
from numpy import ndarray

from gaze_core.artifacts import file_sha256
from gaze_core.data.content_checks import CHECKS
from gaze_core.data.layout_checks import FILE, Fault, find, read_form
from gaze_core.data.schema import DEFAULT_PROFILE, FIELDS, SCHEMA_VERSION, ProfileName, expression_basis
from gaze_core.data.self_contained import external_references
from gaze_core.data.truncated import lost_frames, open_truncated
from gaze_core.errors import BadInput

_SLAB_BYTES = 8 * 2**20  # of the largest field; the file itself may be larger than the memory
_good: set[str] = set()  # profile and sha256 of files that passed in this process


def require_valid(path: Path, called: str = "", profile: ProfileName = DEFAULT_PROFILE) -> None:
    """Refuses a subject file that has errors; warnings pass. A file that has passed is not read again.

    Args:
        path: the file.
        called: the user's name for the file, if `path` is our copy.
        profile: the required profile.

    Raises:
        BadInput: names the file, the field, the expectation, and the first frame that violates it.
    """
    digest = f"{profile} {file_sha256(path)}" if path.is_file() else ""
    if digest in _good:
        return
    errors = [fault for fault in validate_file(path, profile) if fault.severity == "error"]
    if errors:
        raise BadInput(f"{called or path}: {errors[0].text}{_and_more(len(errors) - 1)}")
    _good.add(digest)


def _and_more(count: int) -> str:
    return f"; and {count} more error{'s' * (count > 1)}, list them with: gazeworks data validate" if count else ""


def validate_file(path: Path, profile: ProfileName | None = None) -> list[Fault]:
    """All faults of a subject file, read in slabs of frames; an empty list for a good file.

    The file is checked against its own profile, which must be `profile` if one is given. The file's content never raises:
    unreadable data is a fault, and the rest is still checked.
    """
    expected = f"a subject file (HDF5, schema v{SCHEMA_VERSION})"
    if not path.is_file():
        return [Fault(FILE, expected, "a folder" if path.is_dir() else "no such file")]
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        fault = Fault(FILE, expected, f"no readable HDF5 file, truncated or of another format ({error})")
        cut = open_truncated(path, error)
        if cut is None:
            return [fault]
        with cut:
            if all(find(cut, name)[0] is None for name in FIELDS):
                return [fault]
            return [fault, *_all_faults(cut, profile, path.stat().st_size)]
    with file:
        return _all_faults(file, profile)


def _all_faults(file: h5py.File, profile: ProfileName | None, file_bytes: int | None = None) -> list[Fault]:
    """Faults of an open file; of a truncated one, `file_bytes` is its actual size."""
    if elsewhere := _elsewhere(file):
        return [Fault(FILE, "all data in the file itself", f"{elsewhere} in another file")]
    form = read_form(file, profile)
    fields = form.fields
    lost = {} if file_bytes is None else {name: lost_frames(dataset, file_bytes) for name, dataset in fields.items()}
    return [*form.faults, *_contents(fields, lost, expression_basis(file.attrs))]


def _elsewhere(file: h5py.File) -> str:
    with suppress(OSError, RuntimeError):  # damage is reported field by field
        return next(external_references(file), "")
    return ""


def _contents(fields: Mapping[str, h5py.Dataset], lost: Mapping[str, list[int]], basis: str) -> list[Fault]:
    """Reads every frame once and runs the checks whose fields are complete, without lost frames.

    `basis` is that of the file's expression codes.
    """
    checks = [check for check in CHECKS if check.basis in ("", basis)]
    unreadable = {name: list(frames) for name, frames in lost.items() if frames}
    bad: dict[int, list[int]] = {}
    for first, slab in _slabs({name: field for name, field in fields.items() if name not in unreadable}, unreadable):
        for number, check in enumerate(checks):
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
            check = checks[number]
            faults.append(Fault(check.where, check.expected, f"otherwise in {_frames_text(frames)}", check.severity))
    return faults


def _frames_text(frames: list[int]) -> str:
    return f"{len(frames)} frame{'s' * (len(frames) > 1)}, first {min(frames)}"


def _slabs(
    fields: Mapping[str, h5py.Dataset], unreadable: dict[str, list[int]]
) -> Iterator[tuple[int, dict[str, ndarray]]]:
    """(first frame, arrays of the fields): many frames at a time, or one at a time where some are unreadable.

    Unreadable frames are left out of their slab and noted in `unreadable`; a field that ends early is shorter.
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
