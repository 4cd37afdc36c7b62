"""EVE as crops in one HDF5 file of each person and camera: `{train,val,test}*/participant_*/frames_CAMERA.h5`.

`face` (N, 224, 224, 3), `leye` and `reye` (N, 112, 112, 3), all uint8 RGB, the subject's left and right; `gaze` (N, 2) float32
`[pitch, yaw]` rad. What we write adds, and what we read uses if it is there: `validity` (N,), `time_s` (N,), `head` (N, 2),
`R` (N, 3, 3). Without times frames count as consecutive.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy import ndarray

from gaze_core.data.adapters.hdf5 import Column, Rows, opened
from gaze_core.data.subject_writer import new_hdf5
from gaze_core.errors import BadInput
from gaze_core.estimation.eve_checks import in_order
from gaze_core.estimation.eve_layout import CAMERAS
from gaze_core.estimation.recording_schema import RecordingInfo
from gaze_core.estimation.recordings import Recording
from gaze_core.estimation.sources import BLOCK_FRAMES, Block, CropSizes, Opened, Source, resized

COLUMNS = (
    Column("face", (None, None, 3), is_image=True),
    Column("leye", (None, None, 3), is_image=True),
    Column("reye", (None, None, 3), is_image=True),
    Column("gaze", (2,)),
    Column("validity", (), optional=True),
    Column("time_s", (), optional=True),
    Column("head", (2,), optional=True),
    Column("R", (3, 3), optional=True),
)
_NAMES = {"face": "face", "left_eye": "leye", "right_eye": "reye"}
_LABELS = {"gaze_rad": "gaze", "head_rad": "head", "rotation": "R", "time_s": "time_s", "valid": "validity"}
_SPLIT = re.compile(r"(train|val|test)\d*")


def crop_sources(root: Path, cameras: tuple[str, ...], problems: list[str]) -> list[Source]:
    """The files of these cameras below `root`; people who lack one are noted in `problems`."""
    found = []
    for person in sorted(path for path in root.glob("*/participant_*") if path.is_dir()):
        match = _SPLIT.fullmatch(person.parent.name)
        if not match:
            problems.append(f"{person.parent.name}/{person.name}: expected a folder train*, val* or test*; left out")
            continue
        for camera in cameras:
            path = person / f"frames_{camera}.h5"
            name = f"{person.parent.name}/{person.name}/{camera}"
            if path.is_file():
                found.append(Source(name, (path,), partial(_opened, path, match[1], camera)))
            else:
                problems.append(f"{name}: no {path.name}; left out")
    return found


def _opened(path: Path, split: str, camera: str, source: Source, sizes: CropSizes) -> Opened:
    with opened(path) as file:
        rows = Rows(file, COLUMNS)
        count = len(rows)
        labels = {ours: np.asarray(file[theirs][()]) for ours, theirs in _LABELS.items() if theirs in file}
    if not count:
        raise BadInput("has no frame")
    gaze = labels["gaze_rad"]
    fine = np.isfinite(gaze).all(axis=1) & (np.abs(np.nan_to_num(gaze)) < [np.pi / 2, np.pi]).all(axis=1)
    if not fine.any():
        raise BadInput(f"none of {count} frames has a gaze in radians; expected [pitch, yaw]")
    labels["valid"] = fine & labels["valid"].astype(bool).ravel() if "valid" in labels else fine
    if not labels["valid"].any():
        raise BadInput(f"none of {count} frames has a valid label")
    rate_hz = CAMERAS[camera]
    if "time_s" not in labels:
        source.note("no times; its frames are taken as consecutive")
        labels["time_s"] = np.arange(count) / rate_hz
    kept = in_order(labels["time_s"])
    if not kept.all():
        source.note(f"times go back after frame {int(np.argmin(kept)) - 1}; {int((~kept).sum())} frames left out")
    info = RecordingInfo(
        participant=f"{path.parents[1].name}-{path.parent.name}", step="step000", stimulus="unknown", camera=camera,
        split=split, rate_hz=rate_hz, face_px=sizes.face_px, eye_px=sizes.eye_px, source="eve_crops",
    )  # type: ignore[arg-type]  # fmt: skip
    return Opened(info, count, _blocks(path, labels, np.flatnonzero(kept), sizes))


def _blocks(path: Path, labels: dict[str, ndarray], kept: ndarray, sizes: CropSizes) -> Iterator[Block]:
    with opened(path) as file:
        for start in range(0, len(kept), BLOCK_FRAMES):
            frames = kept[start : start + BLOCK_FRAMES]
            block: Block = {ours: values[frames] for ours, values in labels.items()} | {"frame_index": frames}
            for ours, theirs in _NAMES.items():
                side = sizes.face_px if ours == "face" else sizes.eye_px
                block[ours] = np.stack([resized(image, side) for image in _stored(file, theirs, frames, path)])
            yield block


def _stored(file: h5py.File, name: str, frames: ndarray, path: Path) -> ndarray:
    try:
        return np.asarray(file[name][frames[0] : frames[-1] + 1][frames - frames[0]])
    except OSError as error:
        raise BadInput(f"{path.name}: {name} does not decode ({error}); copy the file again") from error


def write_crops(recording: Recording, root: Path) -> Path:
    """Writes a converted recording as `root/SPLIT/participant_NAME/frames_CAMERA.h5`."""
    info = recording.info
    path = root / info.split / f"participant_{info.participant}-{info.step}" / f"frames_{info.camera}.h5"
    with new_hdf5(path) as file:
        for ours, theirs in _NAMES.items():
            side = info.face_px if ours == "face" else info.eye_px
            shape = (len(recording), side, side, 3)
            data = file.create_dataset(theirs, shape, "uint8", chunks=(1, *shape[1:]), compression="lzf")
            for start in range(0, len(recording), BLOCK_FRAMES):
                part = slice(start, start + BLOCK_FRAMES)
                data[part] = recording.images(ours, part)
        for ours, theirs in _LABELS.items():
            file.create_dataset(theirs, data=recording[ours])
        file.attrs.update({
            "channel_order": "rgb", "label_order": "pitch,yaw", "units": "rad", "eye_side": "subject",
            "gaze_frame": "normalised camera", "source": info.source,
        })  # fmt: skip
    return path
