"""Frames of a talker subject as batches of tensors, and which of them are seen how often."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from gaze_core.errors import BadInput
from gaze_core.geometry.cameras import Camera
from gaze_core.models.talker.network import TalkerCondition
from gaze_core.models.talker.tokens import NUM_WINDOWS
from gaze_core.talker.subject import TalkerSubject
from gaze_core.talker.subject_schema import HELD_OUT, LIPS, MOUTH, SKIN, TRAIN

_BEFORE = 4  # windows of frames n-4 .. n+3, as published
_EYE_REACH = 1.5  # an eye's region in radii of the eyeball: the lids, closed ones too
_MIN_FRAMES = 8


@dataclass(frozen=True, eq=False)
class TalkerBatch:
    """B frames with their conditions. Masks are 0 or 1; `image` is recorded inside the head and `behind` outside of it."""

    condition: TalkerCondition
    viewmat: Float[Tensor, "b 4 4"]
    intrinsics_px: Float[Tensor, "3 3"]
    image: Float[Tensor, "b 3 h w"]
    behind: Float[Tensor, "b 3 h w"]
    head: Float[Tensor, "b 1 h w"]
    lips: Float[Tensor, "b 1 h w"]
    eyes: Float[Tensor, "b 1 h w"]
    mouth: Float[Tensor, "b 1 h w"]

    def __len__(self) -> int:
        return len(self.image)

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.image.shape[3], self.image.shape[2]

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device."""
        condition = replace(self.condition, **_moved(self.condition, device))
        return replace(self, condition=condition, **_moved(self, device))


def _moved(value: object, device: torch.device | str) -> dict[str, Tensor]:
    found = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
    return {name: one.to(device) for name, one in found.items() if isinstance(one, Tensor)}


class FrameReader:
    """Reads batches of a subject's frames."""

    def __init__(self, subject: TalkerSubject) -> None:
        self.subject = subject
        padded = np.pad(subject.audio, ((_BEFORE, NUM_WINDOWS - _BEFORE - 1), (0, 0), (0, 0)))
        self._audio = torch.from_numpy(np.asarray(padded, np.float32))
        self._intrinsics = torch.from_numpy(np.asarray(subject.intrinsics, np.float32))

    def read(self, rows: Int[ndarray, " b"]) -> TalkerBatch:
        """The frames of these rows."""
        subject = self.subject
        image, behind = (_pictures(read(rows)) for read in (subject.images, subject.behind))
        labels = torch.from_numpy(np.ascontiguousarray(subject.labels[rows]))[:, None]
        head = ((labels >= SKIN) & (labels <= LIPS)).float()
        mouth, lips = (labels == MOUTH).float(), ((labels == MOUTH) | (labels == LIPS)).float()
        reach_px = max(1, image.shape[3] // 50)
        viewmat = _tensor(subject.viewmat[rows])
        audio = torch.stack([self._audio[row : row + NUM_WINDOWS] for row in rows.tolist()])
        condition = TalkerCondition(
            audio, _tensor(subject.blink[rows]), _tensor(subject.brows[rows]), _tensor(subject.gaze_head_rad[rows])
        )
        return TalkerBatch(
            condition, viewmat, self._intrinsics, head * image + (1 - head) * behind, behind, head,
            functional.max_pool2d(lips, 2 * reach_px + 1, 1, reach_px), self._eyes(viewmat, image.shape[2:]), mouth,
        )  # fmt: skip

    def batches(self, rows: Int[ndarray, " k"], order: Iterable[list[int]]) -> Iterator[TalkerBatch]:
        """The batch of each list of positions in `rows`."""
        return (self.read(rows[np.asarray(positions)]) for positions in order)

    def _eyes(self, viewmat: Float[Tensor, "b 4 4"], size: Iterable[int]) -> Float[Tensor, "b 1 h w"]:
        """Discs about the projected eyeballs, so that closed eyes have a region too."""
        height, width = size
        centres = _tensor(self.subject.eye_centres_m).expand(len(viewmat), 2, 3)
        camera = Camera(self._intrinsics.expand(len(viewmat), 3, 3), viewmat, (width, height))
        middle_px = camera.project(centres)
        depth_m = torch.einsum("bj,bnj->bn", viewmat[:, 2, :3], centres) + viewmat[:, 2, 3, None]
        reach_px = _EYE_REACH * float(self.subject.facts.eye_radius_m) * self._intrinsics[0, 0] / depth_m
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        offset = torch.stack([x, y], dim=-1) - middle_px[:, :, None, None]
        inside = offset.square().sum(dim=-1) < reach_px[:, :, None, None].square()
        return inside.any(dim=1, keepdim=True).float()


def _tensor(values: ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _pictures(images: UInt8[ndarray, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


def training_rows(subject: TalkerSubject) -> Int[ndarray, " k"]:
    """Rows to train on: those that are not held out and show a face.

    Raises:
        BadInput: hardly any.
    """
    rows = np.flatnonzero((subject.split == TRAIN) & subject.valid)
    if len(rows) < _MIN_FRAMES:
        raise BadInput(
            f"{len(rows)} training frames with a face; expected at least {_MIN_FRAMES}; give a longer recording"
        )
    return rows


def held_out_rows(subject: TalkerSubject, most: int) -> Int[ndarray, " k"]:
    """At most this many rows of held-out time with a face, evenly spaced."""
    rows = np.flatnonzero((subject.split == HELD_OUT) & subject.valid)
    return (
        rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))] if len(rows) else rows
    )


def open_eyed(subject: TalkerSubject, rows: Int[ndarray, " k"]) -> Int[ndarray, " k"]:
    """The rows without blinks, if those are at least half: a canonical head has open eyes."""
    awake = rows[subject.blink[rows].max(axis=1) < 0.5]
    return awake if 2 * len(awake) >= len(rows) else rows


def rare_rows_repeated(subject: TalkerSubject, rows: Int[ndarray, " k"]) -> Int[ndarray, " m"]:
    """The rows, with those of wide open mouths, blinks and side glances once more for each, so that they are seen often."""
    mouth, gaze = subject.mouth_open[rows], subject.gaze_head_rad[rows]
    aside = np.linalg.norm(gaze - np.median(gaze, axis=0), axis=1)
    rare = [
        mouth > np.quantile(mouth, 0.75),
        subject.blink[rows].max(axis=1) > 0.4,
        aside > np.quantile(aside, 0.75),
    ]
    return np.concatenate([rows, *(rows[one] for one in rare)])
