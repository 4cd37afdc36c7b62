"""Who a subject file shows: the one owner of people's names, whatever release or adapter they come from.

One person of ETH-XGaze is `0012` in the published split lists, `subject0012` in the normalised release and in GazeNeRF's
files. Everything that compares people, or looks them up, does so by what is made here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gaze_core.data.subjects import open_subject

_NUMBERED = {  # source: what names a person in any of its releases, and how many digits the published lists have
    "eth_xgaze": (re.compile(r"(?:subject_?)?(\d+)"), 4),
    "mpii_face_gaze": (re.compile(r"(?:p|subject_?)?(\d+)"), 4),
    "columbia": (re.compile(r"(?:subject_?)?(\d+)"), 4),
    "gaze_capture": (re.compile(r"(?:subject_?)?(\d+)"), 5),
}
_RECORDING_DIGITS = 16
SourceFrame = tuple[int, int]  # number of the frame in its recording or release, number of the camera


def subject_name(source: str, name: str) -> str:
    """The name in the published lists of a source; of a source without any, the name as it is."""
    pattern, digits = _NUMBERED.get(source, (None, 0))
    match = pattern.fullmatch(name) if pattern else None
    return f"{int(match[1]):0{digits}d}" if match else name


def person_key(source: str, name: str) -> str:
    """`source/name`: names are unique within their source only."""
    return f"{source}/{subject_name(source, name)}"


def recording_key(sha256: str) -> str:
    """A video or a folder of images by its content: what its file is called says nothing about who is in it."""
    return f"video/{sha256[:_RECORDING_DIGITS]}"


def person_of(source: str, name: str, provenance: Mapping[str, Any]) -> str:
    """Of a subject file with these attributes; a recording's by its content, where the file names it."""
    if recording := provenance.get("recording_sha256"):
        return recording_key(str(recording))
    return person_key(source, name)


@dataclass(frozen=True)
class Origin:
    """The person of a subject file, and which frame of the source each of its samples is."""

    person: str
    frames: tuple[SourceFrame, ...]
    is_video: bool  # so that samples that follow each other are nearly the same image

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of this subject file."""
        with open_subject(path) as file:
            source, subject = str(file.attrs["source"]), str(file.attrs["subject"])
            provenance = json.loads(str(file.attrs["provenance"]))
            numbers, cameras = (file[name][:].tolist() for name in ("frame_index", "camera_index"))
        person = person_of(source, subject, provenance)
        return cls(person, tuple(zip(numbers, cameras, strict=True)), source in ("video", "driver"))

    def at(self, positions: tuple[int, ...]) -> list[SourceFrame]:
        """The source frames of these samples."""
        return [self.frames[position] for position in positions]
