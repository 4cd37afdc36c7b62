"""Gaze of a picture before and after its eyes were turned, read by estimators that had no part in it."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray

from gaze_core.config import Config
from gaze_core.evaluation.readers import ReaderName, reader
from gaze_core.evaluation.report_renderings import PitchYawDeg


class Reading(Config):
    """What one reader says, `[pitch, yaw]` in degrees; None where it reads no gaze, for example of closed eyes.

    `way` is the part of the way from `before_deg` to the asked gaze that `after_deg` lies at: 1 is all of it.
    """

    before_deg: PitchYawDeg | None
    after_deg: PitchYawDeg | None
    way: float | None


def read_gaze(
    before: Sequence[UInt8[ndarray, "h w 3"]],
    after: Sequence[UInt8[ndarray, "h w 3"]],
    asked_deg: PitchYawDeg,
    readers: Iterable[ReaderName],
) -> dict[str, Reading]:
    """The mean over the pictures in which a reader reads both, by reader. Crops of one face each, of one size."""
    out: dict[str, Reading] = {}
    for name in readers:
        judge = reader(name)
        found = [judge.predict(_tensor(crops)) for crops in (before, after)]
        both = found[0].valid & found[1].valid
        means = [_mean(one.gaze_camera, both if both.any() else one.valid) for one in found]
        out[name] = Reading(before_deg=means[0], after_deg=means[1], way=_way(means[0], means[1], asked_deg))
    return out


def readings_text(readings: dict[str, Reading]) -> str:
    """One line for the console."""
    parts = [f"{name} {_text(one.before_deg)} -> {_text(one.after_deg)}" for name, one in readings.items()]
    return "gaze read by " + "; ".join(parts) if parts else "no reader of gaze is available"


def _text(angles_deg: PitchYawDeg | None) -> str:
    return "unread" if angles_deg is None else f"{angles_deg[0]:.1f},{angles_deg[1]:.1f}"


def _tensor(crops: Sequence[UInt8[ndarray, "h w 3"]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def _mean(gaze: torch.Tensor, chosen: torch.Tensor) -> PitchYawDeg | None:
    if not chosen.any():
        return None
    pitch, yaw = torch.rad2deg(gaze[chosen].double().mean(dim=0)).tolist()
    return pitch, yaw


def _way(before: PitchYawDeg | None, after: PitchYawDeg | None, asked: PitchYawDeg) -> float | None:
    if before is None or after is None:
        return None
    wanted, moved = np.subtract(asked, before), np.subtract(after, before)
    length = float(wanted @ wanted)
    return float(moved @ wanted) / length if length > 1.0 else None  # within a degree there is no way to go
