"""Identity of the people in subject files: the only module that derives their names, for all releases and adapters.

One person of ETH-XGaze is `0012` in the published split lists, `subject0012` in the normalised release and in GazeNeRF's
files. Code that compares or looks up people uses the names made here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gaze_core.data.subjects import open_subject

_NUMBERED = {  # source: pattern of person names in its releases, and number of digits in the published lists
    "eth_xgaze": (re.compile(r"(?:subject_?)?(\d+)"), 4),
    "mpii_face_gaze": (re.compile(r"(?:p|subject_?)?(\d+)"), 4),
    "columbia": (re.compile(r"(?:subject_?)?(\d+)"), 4),
    "gaze_capture": (re.compile(r"(?:subject_?)?(\d+)"), 5),
}
_RECORDING_DIGITS = 16
SourceFrame = tuple[int, int]  # number of the frame in its recording or release, number of the camera


def subject_name(source: str, name: str) -> str:
    """The name in the published lists of a source; without such lists, the name itself."""
    pattern, digits = _NUMBERED.get(source, (None, 0))
    match = pattern.fullmatch(name) if pattern else None
    return f"{int(match[1]):0{digits}d}" if match else name


def person_key(source: str, name: str) -> str:
    """`source/name`: names are unique within their source only."""
    return f"{source}/{subject_name(source, name)}"


def recording_key(sha256: str) -> str:
    """The key of a video or image folder, by its content, since its file name does not identify the person."""
    return f"video/{sha256[:_RECORDING_DIGITS]}"


def person_of(source: str, name: str, provenance: Mapping[str, Any]) -> str:
    """The person of a subject file with these attributes; for recordings, by the digest of the content if the file has it."""
    if recording := provenance.get("recording_sha256"):
        return recording_key(str(recording))
    return person_key(source, name)


@dataclass(frozen=True)
class Origin:
    """The person of a subject file, and the source frame of each sample."""

    person: str
    frames: tuple[SourceFrame, ...]
    is_video: bool  # then consecutive samples are nearly the same image

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads the origin of a subject file."""
        with open_subject(path) as file:
            source, subject = str(file.attrs["source"]), str(file.attrs["subject"])
            provenance = json.loads(str(file.attrs["provenance"]))
            numbers, cameras = (file[name][:].tolist() for name in ("frame_index", "camera_index"))
        person = person_of(source, subject, provenance)
        return cls(person, tuple(zip(numbers, cameras, strict=True)), source in ("video", "driver"))

    def at(self, positions: tuple[int, ...]) -> list[SourceFrame]:
        """The source frames of these samples."""
        return [self.frames[position] for position in positions]
