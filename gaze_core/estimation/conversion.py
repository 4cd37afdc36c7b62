"""Converts EVE to chunked recordings, resuming where an earlier run stopped. One faulty recording does not stop the others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from gaze_core.atomic import write_text
from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.estimation.eve_crops import crop_sources
from gaze_core.estimation.eve_layout import CAMERAS, participants
from gaze_core.estimation.eve_reading import eve_sources
from gaze_core.estimation.recording_schema import SCHEMA_VERSION
from gaze_core.estimation.recordings import RecordingIndex, RecordingWriter, write_index
from gaze_core.estimation.sources import CropSizes, Source

VERSION = 1  # raise when the same files no longer give the same recordings
MANIFEST = "convert.json"
LayoutName = Literal["eve", "eve_crops"]
Find = Callable[[Path, tuple[str, ...], list[str]], list[Source]]

# The layouts: files that are looked for, what they are, their reader.
LAYOUTS: dict[LayoutName, tuple[str, str, Find]] = {
    "eve": ("{train,val,test}NN/stepNNN_*/CAMERA.h5", "EVE as its authors publish it", eve_sources),
    "eve_crops": ("{train,val,test}*/participant_*/frames_CAMERA.h5", "crops in HDF5", crop_sources),
}
Advance = Callable[[int, int], None]


class ConvertConfig(Config):
    """What to convert. `layout` None: what the folder looks like."""

    layout: LayoutName | None = None
    cameras: tuple[Literal["basler", "webcam_l", "webcam_c", "webcam_r"], ...] = Field(("basler",), min_length=1)
    face_px: PositiveInt = 224
    eye_px: PositiveInt = 112

    @property
    def sizes(self) -> CropSizes:
        """Sides of the crops."""
        return CropSizes(face_px=self.face_px, eye_px=self.eye_px)


def convert(root: Path, out: Path, config: ConvertConfig, advance: Advance | None = None) -> RecordingIndex:
    """Converts all recordings below `root` to `out`; returns the index that it writes.

    What an earlier run with the same settings converted from unchanged files is kept. A recording that cannot be used is
    left out with one line in the index's `problems`, as are frames.

    Raises:
        BadInput: `root` is no such folder, or nothing in it can be used.
    """
    layout = config.layout or layout_of(root)
    found: list[str] = []
    sources = LAYOUTS[layout][2](root, config.cameras, found)
    if not sources:
        raise BadInput(f"{root}: no recording of {', '.join(config.cameras)}; expected {LAYOUTS[layout][0]}")
    out.mkdir(parents=True, exist_ok=True)
    made_by = [VERSION, SCHEMA_VERSION, layout, config.face_px, config.eye_px]
    manifest = _read_manifest(out / MANIFEST, made_by)
    entries: dict[str, Any] = {}
    for done, source in enumerate(sources, start=1):
        stamp = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in source.files]
        entry = manifest.get(source.name)
        if not (entry and entry["source"] == stamp and (not entry["file"] or (out / entry["file"]).is_file())):
            entry = _converted(source, out, config.sizes) | {"source": stamp}
        entries[source.name] = entry
        write_text(out / MANIFEST, json.dumps({"made_by": made_by, "recordings": manifest | entries}, indent=1) + "\n")
        if advance:
            advance(done, len(sources))
    _remove_others(out, {entry["file"] for entry in entries.values()})
    problems = [*found, *(line for entry in entries.values() for line in entry["problems"])]
    index = write_index(out, problems)
    if not index.recordings:
        raise BadInput(f"{root}: no recording could be used; the first problem is: {problems[0]}")
    return index


def layout_of(root: Path) -> LayoutName:
    """Which layout a folder has.

    Raises:
        BadInput: it has none.
    """
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder; expected EVE, or what gazeworks estimate synth writes")
    if any(root.glob("*/participant_*/frames_*.h5")):
        return "eve_crops"
    if participants(root):
        return "eve"
    patterns = " or ".join(pattern for pattern, _, _ in LAYOUTS.values())
    raise BadInput(f"{root}: not a layout of EVE; expected {patterns}")


def source_files(root: Path, config: ConvertConfig) -> tuple[list[Path], list[str]]:
    """The files below `root` that a conversion reads, sorted, and lines on what is missing there.

    Raises:
        BadInput: `root` is no layout of EVE, or holds no recording of these cameras.
    """
    layout = config.layout or layout_of(root)
    problems: list[str] = []
    sources = LAYOUTS[layout][2](root, config.cameras, problems)
    if not sources:
        raise BadInput(f"{root}: no recording of {', '.join(config.cameras)}; expected {LAYOUTS[layout][0]}")
    return sorted({path for source in sources for path in source.files}), problems


def require_cameras(names: tuple[str, ...]) -> None:
    """Raises BadInput for a camera that EVE does not have."""
    for name in names:
        if name not in CAMERAS:
            raise BadInput(f"no camera {name!r}; expected {', '.join(CAMERAS)}")


def _converted(source: Source, out: Path, sizes: CropSizes) -> dict[str, Any]:
    """The entry of the manifest for one recording: its file (empty if it could not be used) and its problems."""
    try:
        recording = source.open(source, sizes)
        with RecordingWriter(out, recording.info) as writer:
            for block in recording.blocks:
                writer.append(block)
            if not writer.num_frames:
                raise BadInput("no frame can be decoded")
        return {"file": writer.path.name, "problems": source.problems}
    except BadInput as error:
        # Frame faults noted before explain nothing further.
        return {"file": "", "problems": [f"{source.name}: {error}; left out"]}


def _read_manifest(path: Path, made_by: list[Any]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return dict(found["recordings"]) if found["made_by"] == made_by else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remove_others(out: Path, files: set[str]) -> None:
    """Removes recordings of an earlier run whose sources are gone or are no longer asked for."""
    for path in out.glob("*__*__*.h5"):
        if path.name not in files:
            path.unlink()
