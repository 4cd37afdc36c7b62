"""Frames of all recordings of a role in one table: labels, the single-frame model's outputs, and who, what and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from numpy import ndarray

from gaze_core.errors import ContractViolation
from gaze_core.estimation.features import FeatureEntry, FeatureIndex, Role, read_features
from gaze_core.estimation.recording_schema import RecordingInfo
from gaze_core.estimation.recordings import Recording, read_index

_LABELS = ("gaze_rad", "head_rad", "pog_m", "rotation", "origin_m", "kind", "time_s")


@dataclass(frozen=True, eq=False)
class FrameTable:
    """N frames of several recordings, one recording after another; the first frame of each begins a run."""

    recordings: tuple[Recording, ...]
    owners: Int[ndarray, " n"]  # position of each frame's recording
    frames: Int[ndarray, " n"]  # position in the recording
    starts: Bool[ndarray, " n"]
    token: Float[ndarray, "n d"]
    single_rad: Float[ndarray, "n 2"]
    labels: dict[str, Shaped[ndarray, "n ..."]]

    @classmethod
    def read(cls, data: Path, features: Path, index: FeatureIndex, role: Role) -> Self:
        """The table of a role.

        Raises:
            ContractViolation: the features are of other recordings.
        """
        entries = index.of(role)
        recordings = tuple(_recordings(data, entries))
        parts = list(read_features(features, entries))
        labels = {
            name: np.concatenate([one[name][part.frames] for one, part in zip(recordings, parts, strict=True)])
            for name in _LABELS
        }
        return cls(
            recordings=recordings,
            owners=np.repeat(np.arange(len(parts)), [len(part.frames) for part in parts]),
            frames=np.concatenate([part.frames for part in parts]),
            starts=np.concatenate([part.starts for part in parts]),
            token=np.concatenate([part.token for part in parts]),
            single_rad=np.concatenate([part.gaze_rad for part in parts]).astype(np.float64),
            labels=labels,
        )

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def truth_rad(self) -> Float[ndarray, "n 2"]:
        """True gaze."""
        return np.asarray(self.labels["gaze_rad"], dtype=np.float64)

    @property
    def kind(self) -> UInt8[ndarray, " n"]:
        """Fixation, saccade, pursuit: see `recording_schema.KINDS`."""
        return self.labels["kind"]

    def groups(self, what: str) -> tuple[Int[ndarray, " n"], tuple[str, ...]]:
        """A number for each frame and the names of the numbers, of an attribute of the recordings such as `camera`."""
        own = [str(getattr(recording.info, what)) for recording in self.recordings]
        names = tuple(sorted(set(own)))
        return np.array([names.index(name) for name in own])[self.owners], names

    def infos(self) -> list[RecordingInfo]:
        """What the recordings are."""
        return [recording.info for recording in self.recordings]


def _recordings(data: Path, entries: Sequence[FeatureEntry]) -> list[Recording]:
    files = {entry.info.name: entry.file for entry in read_index(data).recordings}
    if missing := [entry.info.name for entry in entries if entry.info.name not in files]:
        raise ContractViolation(
            f"{missing[0]}: its features are there, but not its recording; compute the features anew"
        )
    return [Recording(data / files[entry.info.name]) for entry in entries]
