"""The official layout of EVE: names of folders and files, what its HDF5 files hold, and how a recording is written.

`PARTICIPANT/stepNNN_STIMULUS_NAME/CAMERA_face.mp4`, `CAMERA_eyes.mp4`, `CAMERA.h5` and `CAMERA.timestamps.txt` (one
whole number of nanoseconds a line). In the eyes' film the left half shows the subject's right eye. Lengths in the HDF5 files
are millimetres; each label is a group of `data` and `validity`. Source: DATASET.md of swook/EVE.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from gaze_core.atomic import replacing, write_text
from gaze_core.data.subject_writer import new_hdf5
from gaze_core.estimation.recording_schema import Split

CAMERAS = {"basler": 60.0, "webcam_l": 30.0, "webcam_c": 30.0, "webcam_r": 30.0}  # frames a second
STIMULI = ("image", "video", "wikipedia", "points")
NS_PER_S = 1_000_000_000
_PARTICIPANT = re.compile(r"(train|val|test)\d+")
_STEP = re.compile(r"(step\d+)_([a-z]+)(?:_.*)?")
# Groups of the HDF5 file: shape of one frame's data.
GROUPS: dict[str, tuple[int, ...]] = {
    "facial_landmarks": (68, 2), "head_rvec": (3, 1), "head_tvec": (3, 1), "left_p": (), "right_p": (),
    **{f"{patch}_{name}": shape for patch in ("face", "left", "right") for name, shape in {
        "PoG_tobii": (2,), "g_tobii": (2,), "R": (3, 3), "W": (3, 3), "h": (2,), "o": (3,),
    }.items()},
}  # fmt: skip


@dataclass(frozen=True)
class EveSource:
    """One camera's recording in the official layout; files may be missing."""

    participant: str
    split: Split
    step: str  # such as step007
    stimulus: str
    folder: Path
    camera: str

    @property
    def label(self) -> str:
        """For messages: participant, folder and camera."""
        return f"{self.participant}/{self.folder.name}/{self.camera}"

    @property
    def labels(self) -> Path:
        """The HDF5 file."""
        return self.folder / f"{self.camera}.h5"

    @property
    def timestamps(self) -> Path:
        """The text file of times."""
        return self.folder / f"{self.camera}.timestamps.txt"

    def film(self, part: str) -> Path:
        """The normalised film of `face` or `eyes`."""
        return self.folder / f"{self.camera}_{part}.mp4"

    def files(self) -> tuple[Path, ...]:
        """All files of the recording that exist."""
        paths = (self.labels, self.timestamps, self.film("face"), self.film("eyes"))
        return tuple(path for path in paths if path.is_file())


def participants(root: Path) -> list[tuple[str, Split]]:
    """Folders that are named like EVE's participants, with their split."""
    found = ((path.name, _PARTICIPANT.fullmatch(path.name)) for path in sorted(root.iterdir()) if path.is_dir())
    return [(name, match[1]) for name, match in found if match]  # type: ignore[misc]


def steps(root: Path, participant: str, split: Split, camera: str) -> Iterator[EveSource]:
    """The recordings of a participant; calibrations of the eye tracker are none."""
    for folder in sorted((root / participant).iterdir()):
        match = _STEP.fullmatch(folder.name) if folder.is_dir() else None
        if match and match[2] != "eye":
            stimulus = match[2] if match[2] in STIMULI else "other"
            yield EveSource(participant, split, match[1], stimulus, folder, camera)


def write_eve(
    folder: Path, camera: str, constants: Mapping[str, Any], groups: Mapping[str, tuple[ndarray, ndarray]],
    times_ns: Int[ndarray, " n"], films: Mapping[str, list[UInt8[ndarray, "h w 3"]]], rate_hz: float, crf: int,
    attributes: Mapping[str, Any],
) -> None:  # fmt: skip
    """Writes one camera's recording. The HDF5 file comes last, so where it is the recording is complete.

    Args:
        folder: of the step.
        camera: its name.
        constants: camera_matrix, camera_transformation, pixels_per_millimeter, ... as in EVE.
        groups: name -> (data, validity), each with a row for every frame.
        times_ns: of the frames.
        films: frames of `face` and `eyes`.
        rate_hz: nominal.
        crf: quality of x264; higher is worse.
        attributes: of the HDF5 file; EVE has none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part, frames in films.items():
        write_film(folder / f"{camera}_{part}.mp4", frames, rate_hz, crf)
    write_text(folder / f"{camera}.timestamps.txt", "".join(f"{time}\n" for time in times_ns))
    with new_hdf5(folder / f"{camera}.h5") as file:
        for name, value in constants.items():
            file.create_dataset(name, data=np.asarray(value, dtype=np.float64))
        for name, (data, validity) in groups.items():
            group = file.create_group(name)
            group.create_dataset("data", data=data)
            group.create_dataset("validity", data=np.asarray(validity, dtype=bool))
        file.attrs.update(attributes)


def write_film(path: Path, frames: list[UInt8[ndarray, "h w 3"]], rate_hz: float, crf: int) -> None:
    """An H.264 film that appears when it is complete. Each frame is shown for 1/rate_hz; true times are kept elsewhere."""
    with replacing(path, ".partial.mp4") as partial, av.open(str(partial), "w") as container:
        # One thread: x264's result must not depend on the machine.
        stream: Any = container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(1001))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "fast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def label_groups(file: h5py.File) -> list[str]:
    """Names of the groups that have `data` and `validity`."""
    return [name for name, item in file.items() if isinstance(item, h5py.Group) and {"data", "validity"} <= set(item)]
