"""Outputs of the frozen single-frame model on the frames of a clip's rate: what the temporal head and the evaluation read.

One file for each recording, `NAME.npz`, and an index. Frames follow each other at the rate within a run without gaps;
`starts` marks the first frame of each run.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gaze_core.atomic import replacing, write_text
from gaze_core.config import Config
from gaze_core.errors import ContractViolation
from gaze_core.estimation.clips import clip_stride, stretches
from gaze_core.estimation.frames import FrameSet
from gaze_core.estimation.recording_schema import RecordingInfo
from gaze_core.estimation.recordings import Recording
from gaze_core.models.estimation.gazetr import GazeTR

INDEX_FILE = "features.json"
Role = Literal["train", "validation", "test"]
_BATCH = 64


class FeatureEntry(Config):
    """One recording's file."""

    file: str
    role: Role
    info: RecordingInfo
    num_frames: int


class FeatureIndex(Config):
    """The files of a folder of features."""

    rate_hz: float
    token_width: int
    trained_on: dict[str, tuple[str, ...]]  # participants of the single-frame model by role
    notes: tuple[str, ...] = ()
    recordings: tuple[FeatureEntry, ...] = ()

    def write(self, folder: Path) -> Path:
        """Writes the index; returns its path."""
        write_text(folder / INDEX_FILE, self.model_dump_json(indent=1))
        return folder / INDEX_FILE

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The index of a folder.

        Raises:
            ContractViolation: there is none.
        """
        try:
            return cls.model_validate(json.loads((folder / INDEX_FILE).read_text()))
        except (OSError, ValueError) as error:
            raise ContractViolation(f"{folder}: no features of a single-frame model ({error})") from error

    def of(self, role: Role) -> list[FeatureEntry]:
        """The recordings of a role."""
        return [entry for entry in self.recordings if entry.role == role]


@dataclass(frozen=True, eq=False)
class Features:
    """Of n frames of one recording; `frames` are their positions in it."""

    frames: Int[ndarray, " n"]
    starts: Bool[ndarray, " n"]
    token: Float[ndarray, "n d"]
    gaze_rad: Float[ndarray, "n 2"]

    def write(self, path: Path) -> None:
        """Writes the file atomically; tokens in half precision."""
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                frames=self.frames,
                starts=self.starts,
                token=self.token.astype(np.float16),
                gaze_rad=self.gaze_rad,
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """The features of a file."""
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in ("frames", "starts", "token", "gaze_rad")}
        return cls(**values | {"token": values["token"].astype(np.float32)})


def frames_at_rate(recording: Recording, rate_hz: float) -> tuple[Int[ndarray, " n"], Bool[ndarray, " n"]]:
    """Frames at the rate, and which of them begin a run without gaps.

    Raises:
        BadInput: the recording's rate is no multiple of it.
    """
    stride = clip_stride(recording, rate_hz)
    runs = [run[::stride] for run in stretches(recording.time_s, recording.valid, recording.info.rate_hz)]
    starts = np.zeros(sum(len(run) for run in runs), bool)
    starts[np.cumsum([0, *(len(run) for run in runs)])[:-1]] = True
    return np.concatenate([np.zeros(0, np.int64), *runs]).astype(np.int64), starts


@torch.no_grad()
def compute_features(model: GazeTR, recording: Recording, rate_hz: float, num_workers: int = 0) -> Features:
    """The model's outputs on a recording, on the model's device.

    Raises:
        BadInput: as `frames_at_rate`.
    """
    frames, starts = frames_at_rate(recording, rate_hz)
    tokens, gazes = [], []
    chosen = FrameSet([recording], [frames], cache_bytes=0)
    for batch in chosen.in_order(_BATCH, num_workers):
        out = model(batch.to(model.mean.device).images)
        tokens.append(out.token.float().cpu().numpy())
        gazes.append(out.gaze_rad.float().cpu().numpy())
    return Features(frames, starts, np.concatenate(tokens), np.concatenate(gazes))


def windows(starts: Bool[ndarray, " n"], length: int, hop: int) -> Int[ndarray, "w t"]:
    """Positions of windows of consecutive frames; too short a recording gives one, whose first frame is repeated.

    Windows may hold the beginning of a run: there the state is forgotten.
    """
    count = len(starts)
    if count <= length:
        return np.maximum(np.arange(length) - (length - count), 0)[None] if count else np.zeros((0, length), np.int64)
    firsts = [*range(0, count - length, hop), count - length]
    return np.array(firsts)[:, None] + np.arange(length)


def histories(starts: Bool[ndarray, " n"], length: int) -> Int[ndarray, "n t"]:
    """For each frame its last `length` frames including itself, none from before its run; -1 where there is none."""
    position = np.arange(len(starts))
    first = np.maximum.accumulate(np.where(starts, position, 0))
    found = position[:, None] - np.arange(length)[::-1]
    return np.where(found >= first[:, None], found, -1)


def read_features(folder: Path, entries: Sequence[FeatureEntry]) -> Iterator[Features]:
    """The features of these recordings."""
    return (Features.read(folder / entry.file) for entry in entries)
