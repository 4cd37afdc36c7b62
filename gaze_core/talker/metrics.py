"""Measures of a talking head: regions of a frame, mouth and sound, blinks. Arrays over T frames in order of time."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from gaze_core.preprocess.face_mesh import CORNERS, IBUG, LIDS, LIPS_OUTER

Points = Float[ndarray, "t 478 2"]
_UPPER_LIP, _LOWER_LIP = 13, 14  # inner
_LIPS_MARGIN, _EYES_MARGIN = 0.2, 0.3  # of the box's width, to each side
_LEAST_EYE_HEIGHT = 0.6  # over the eye's width, so that a closed eye has a box, too
_MOUTH = (*IBUG["mouth"], *IBUG["lips_inner"])  # landmarks 48 to 67 of the published measure
_QUIET_DB = -80.0
SILENT_DB = -40.0
_MOST_LAG = 10  # frames


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of one region in T frames: left, top, right, bottom in pixels."""

    edges_px: Float[ndarray, "t 4"]

    def mask(self, height: int, width: int) -> Float[Tensor, "t 1 h w"]:
        """1 inside the box."""
        left, top, right, bottom = (torch.from_numpy(self.edges_px[:, k]).float()[:, None, None] for k in range(4))
        x, y = torch.arange(width)[None, None] + 0.5, torch.arange(height)[None, :, None] + 0.5
        return ((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).float()[:, None]

    def crops(self, images: Float[Tensor, "t c h w"], height: int, width: int) -> Float[Tensor, "t c h2 w2"]:
        """The boxes, scaled to one size."""
        size = torch.tensor([images.shape[-1], images.shape[-2]])
        edges = torch.from_numpy(self.edges_px).float().reshape(-1, 2, 2) / size * 2 - 1  # as grid_sample counts
        x, y = (
            edges[:, :1, axis] + (edges[:, 1:, axis] - edges[:, :1, axis]) * (torch.arange(number) + 0.5) / number
            for axis, number in ((0, width), (1, height))
        )
        grid = torch.stack(
            [x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1
        )  # fmt: skip
        return functional.grid_sample(images, grid, align_corners=False, padding_mode="border")


def lips_boxes(points: Points) -> Boxes:
    """The lips with a margin."""
    return _boxes(points[:, LIPS_OUTER], _LIPS_MARGIN, 0.6)


def eye_boxes(points: Points) -> tuple[Boxes, Boxes]:
    """The (left, right) eye with its lids."""
    left, right = (_boxes(points[:, list(lids)], _EYES_MARGIN, _LEAST_EYE_HEIGHT) for lids in (LIDS.left, LIDS.right))
    return left, right


def head_boxes(labels: UInt8[ndarray, "t h w"]) -> Boxes:
    """What the labels call head: everything but background and torso."""
    head = _is_head(labels)
    edges = np.zeros((len(labels), 4))
    for k, mask in enumerate(head):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        edges[k] = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (0, 0, *mask.shape[::-1])
    return Boxes(edges)


def head_mask(labels: UInt8[ndarray, "t h w"]) -> Float[Tensor, "t 1 h w"]:
    """1 where the labels say head: skin, hair, eyes, mouth, lips."""
    return torch.from_numpy(_is_head(labels)).float()[:, None]


def _is_head(labels: UInt8[ndarray, "t h w"]) -> Bool[ndarray, "t h w"]:
    return (labels >= 1) & (labels <= 6)


def _boxes(points: Float[ndarray, "t p 2"], margin: float, least_height: float) -> Boxes:
    low, high = points.min(axis=1), points.max(axis=1)
    centre, size = (low + high) / 2, high - low
    half_width = size[:, 0] * (0.5 + margin)
    half_height = np.maximum(size[:, 1] / 2 + size[:, 0] * margin / 2, size[:, 0] * least_height / 2)
    half = np.stack([half_width, half_height], axis=1)
    return Boxes(np.concatenate([centre - half, centre + half], axis=1).astype(np.float64))


def eyes_distance_px(points: Points) -> Float[ndarray, " t"]:
    """Between the middles of both eyes' corners."""
    middles = [points[:, list(corners)].mean(axis=1) for corners in (CORNERS.left, CORNERS.right)]
    return np.asarray(np.linalg.norm(middles[0] - middles[1], axis=1))


def mouth_opening(points: Points) -> Float[ndarray, " t"]:
    """Distance of the inner lips over the distance of the eyes."""
    return np.asarray(np.linalg.norm(points[:, _UPPER_LIP] - points[:, _LOWER_LIP], axis=1) / eyes_distance_px(points))


def mouth_distance(points: Points, reference: Points) -> Float[ndarray, " t"]:
    """Mean distance of the mouth's 20 landmarks, each set about its own mean, over the distance of the reference's eyes.

    The published landmark distance (LMD) is the same in pixels, which depend on the size of the picture.
    """
    mine, other = (
        one[:, list(_MOUTH)] - one[:, list(_MOUTH)].mean(axis=1, keepdims=True) for one in (points, reference)
    )
    return np.asarray(np.linalg.norm(mine - other, axis=2).mean(axis=1) / eyes_distance_px(reference))


def loudness_db(sound: Float[ndarray, " s"], count: int, rate_hz: float, sound_hz: int) -> Float[ndarray, " t"]:
    """RMS of each frame's sound in dB of full scale, at least -80; frames beyond the sound are silent."""
    length = round(sound_hz / rate_hz)
    padded = np.zeros(count * length)
    padded[: len(sound)] = sound[: len(padded)]
    rms = np.sqrt((padded.reshape(count, length).astype(np.float64) ** 2).mean(axis=1))
    return np.maximum(20 * np.log10(np.maximum(rms, 1e-9)), _QUIET_DB)


def correlation(a: Float[ndarray, " t"], b: Float[ndarray, " t"]) -> float | None:
    """Pearson's, over frames in which both are known; None where one of them does not vary."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3 or a[known].std() < 1e-9 or b[known].std() < 1e-9:
        return None
    return float(np.corrcoef(a[known], b[known])[0, 1])


def lag_of(
    opening: Float[ndarray, " t"], loudness: Float[ndarray, " t"], rate_hz: float
) -> tuple[float | None, float | None]:
    """The largest correlation over lags of up to 0.4 s, and that lag in ms; positive: the mouth is later than the sound."""
    best: tuple[float, int] | None = None
    for shift in range(-_MOST_LAG, _MOST_LAG + 1):
        mouth, sound = (opening[shift:], loudness[: len(loudness) - shift]) if shift >= 0 else (
            opening[:shift], loudness[-shift:])  # fmt: skip
        found = correlation(mouth, sound) if len(mouth) > 2 * _MOST_LAG else None
        if found is not None and (best is None or found > best[0]):
            best = found, shift
    return (None, None) if best is None else (best[0], 1000 * best[1] / rate_hz)


def motion_in_silence(opening: Float[ndarray, " t"], loudness: Float[ndarray, " t"]) -> tuple[float | None, int]:
    """RMS deviation of the opening from its mean where the sound is below -40 dB, and how many frames that are."""
    silent = (loudness < SILENT_DB) & np.isfinite(opening)
    if silent.sum() < 5:
        return None, int(silent.sum())
    return float(opening[silent].std()), int(silent.sum())


@dataclass(frozen=True)
class Blinks:
    """Blinks asked for, found, and both."""

    asked: int
    found: int
    both: int

    @property
    def f1(self) -> float | None:
        """2 both / (asked + found); None where there are neither."""
        return 2 * self.both / (self.asked + self.found) if self.asked + self.found else None


def match_blinks(
    asked: Float[ndarray, " t"], found: Float[ndarray, " t"], threshold: float = 0.5, tolerance: int = 2
) -> Blinks:
    """Events in which the lids are closed by more than the threshold; they match if they overlap within 2 frames."""
    wanted, seen = events(asked > threshold), events(found > threshold)
    left, both = list(seen), 0
    for start, end in wanted:
        hit = next((one for one in left if one[0] <= end + tolerance and one[1] >= start - tolerance), None)
        if hit is not None:
            left.remove(hit)
            both += 1
    return Blinks(len(wanted), len(seen), both)


def events(closed: Bool[ndarray, " t"]) -> list[tuple[int, int]]:
    """First and last frame of each run."""
    padded = np.concatenate([[False], closed, [False]]).astype(int)
    change = np.diff(padded)
    return list(zip(np.flatnonzero(change == 1).tolist(), (np.flatnonzero(change == -1) - 1).tolist(), strict=True))
