"""Eyes and lids of a talking head: read against asked, against rendered truth, and over a sweep of gazes."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.evaluation.intervals import Bootstrap
from gaze_core.evaluation.judge import Judge
from gaze_core.evaluation.metrics import psnr_db
from gaze_core.evaluation.report import SweepAxis, SweepLine
from gaze_core.evaluation.sweep import ANGLES_DEG, sweep_line
from gaze_core.geometry.angles import angular_error_deg, pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.sampling import evenly_spaced
from gaze_core.talker import metrics
from gaze_core.talker.evaluation import Frames, HeldOut, Rendered, Renders, Tools, as_tensor
from gaze_core.talker.evaluation_mouth import OWN_READER, RECORDED
from gaze_core.talker.person_reader import PersonReader
from gaze_core.talker.report import MODEL, REFINED, BlinkScore, Counterfactual, as_number, block_estimate
from gaze_core.talker.subject import TalkerTruth

_COLUMN = {"pitch": 0, "yaw": 1}
_OPEN = 0.4  # lids that are closed by more show no gaze
_LEAST_CHANGE_DEG = 4.0  # of a counterfactual gaze that is worth judging
_MOST_OTHER_DEG = 2.0
_READ_PX = 320


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Lines through what each reader reads, heads of some frames at each angle, and how much changes elsewhere."""

    lines: tuple[SweepLine, ...]
    heads: dict[SweepAxis, UInt8[ndarray, "f a h w 3"]] = field(default_factory=dict)
    leak: float | None = None


def gaze_errors(
    held: HeldOut, rendered: Rendered, reader: PersonReader
) -> tuple[dict[str, Float[ndarray, " t"]], dict[str, float | None]]:
    """Read gaze against asked in degrees, of each frame by condition; means, with the reader's own on the recording."""
    asked = held.driving
    errors = {
        name: _errors(reader, rendered.frames[name], asked.gaze_head_rad, asked.blink, held)
        for name in (MODEL, REFINED) if name in rendered.frames
    }  # fmt: skip
    recorded = _errors(reader, held.recorded, asked.gaze_head_rad, asked.blink, held)
    other = rendered.other_driving
    natural = _errors(reader, rendered.other_eyes, other.gaze_head_rad, other.blink, held)
    means = {RECORDED: recorded, MODEL: errors[MODEL], "generated eyes": natural}
    return errors, {name: _mean(values) for name, values in means.items()}


def _errors(
    reader: PersonReader, frames: Frames, asked_rad: Float[ndarray, "t 2"], blink: Float[ndarray, "t 2"], held: HeldOut
) -> Float[ndarray, " t"]:
    read = reader.read(frames, held.points).gaze_head_rad
    found = angular_error_deg(torch.from_numpy(read), torch.from_numpy(asked_rad.astype(np.float64))).numpy()
    return np.where(held.valid & (blink.mean(axis=1) < _OPEN), found, np.nan)


def _mean(values: Float[ndarray, " t"]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def blink_scores(held: HeldOut, rendered: Rendered, reader: PersonReader) -> tuple[BlinkScore, ...]:
    """Of the recorded blinks, and of generated ones, of which there are always some in a few seconds."""
    recorded = held.driving.blink.mean(axis=1)
    own = metrics.match_blinks(recorded, reader.read(held.recorded, held.points).blink).f1
    rows = (
        ("held-out recording", recorded, rendered.frames[MODEL], own),
        ("generator", rendered.other_driving.blink.mean(axis=1), rendered.other_eyes, None),
    )
    scores = []
    for source, asked, frames, reader_f1 in rows:
        read = reader.read(frames, held.points).blink
        found = metrics.match_blinks(asked, read)
        scores.append(BlinkScore(
            source=source, asked=found.asked, found=found.found, both=found.both, f1=found.f1, reader_f1=reader_f1,
            correlation=as_number(metrics.correlation(read, asked)),
        ))  # fmt: skip
    return tuple(scores)


def counterfactuals(
    held: HeldOut, truth: TalkerTruth, renders: Renders
) -> tuple[tuple[Counterfactual, ...], dict[str, UInt8[ndarray, "k h w 3"]]]:
    """How much nearer to rendered truth the eyes come when they are asked, and some pictures: not asked, asked, truth.

    A frame counts if its gaze changes by 4 degrees or more.
    """
    keep = np.flatnonzero(truth.place < len(held.driving))
    place, gaze = truth.place[keep], truth.gaze_head_rad[keep]
    own = held.driving.gaze_head_rad[place]
    before = renders(held.driving, place)
    after = np.empty_like(before)
    # A place may be asked for several gazes: each pass asks every place for one of them.
    passes = np.array([int((place[:k] == one).sum()) for k, one in enumerate(place)])
    for number in np.unique(passes):
        chosen = np.flatnonzero(passes == number)
        asked = np.array(held.driving.gaze_head_rad)
        asked[place[chosen]] = gaze[chosen]
        after[chosen] = renders(held.driving.with_eyes(asked), place[chosen])
    height, width = before.shape[1:3]
    left, right = metrics.eye_boxes(held.points[place])
    mask = torch.maximum(left.mask(height, width), right.mask(height, width))
    wanted = as_tensor(truth.images[keep])
    values = [psnr_db(as_tensor(frames), wanted, mask).double().numpy() for frames in (before, after)]
    kinds = np.array([_kind(*pair) for pair in zip(own, gaze, strict=True)])
    open_eyes = held.driving.blink[place].mean(axis=1) < _OPEN
    rows, pictures = [], {}
    for kind in ("yaw", "pitch", "both", "zero"):
        chosen = np.flatnonzero((kinds == kind) & open_eyes)
        if len(chosen):
            gain = block_estimate(values[1][chosen] - values[0][chosen], Bootstrap())
            rows.append(Counterfactual(
                kind=kind, frames=len(chosen), before_db=float(values[0][chosen].mean()),
                after_db=float(values[1][chosen].mean()), gain=gain,
            ))  # fmt: skip
            one = chosen[len(chosen) // 2]
            pictures[kind] = np.stack([before[one], after[one], truth.images[keep][one]])
    return tuple(rows), pictures


def _kind(own_rad: Float[ndarray, "2"], asked_rad: Float[ndarray, "2"]) -> str:
    """Which angles are other ones; empty if hardly any."""
    change = np.abs(np.rad2deg(asked_rad - own_rad))
    if change.max() < _LEAST_CHANGE_DEG:
        return ""
    if np.abs(np.rad2deg(asked_rad)).max() < 0.5:
        return "zero"
    if change.min() > _MOST_OTHER_DEG:
        return "both"
    return "pitch" if change[0] > change[1] else "yaw"


def sweep(held: HeldOut, renders: Renders, reader: PersonReader, tools: Tools, num_frames: int) -> SweepResult:
    """Frames with open eyes at each gaze of the sweep, read by this person's reader and by all others at hand."""
    usable = np.flatnonzero(held.valid & (held.driving.blink.mean(axis=1) < _OPEN))
    if not len(usable):
        return SweepResult(())
    places = usable[evenly_spaced(len(usable), num_frames)]
    points = held.points[places]
    predicted: dict[tuple[str, SweepAxis], list[Float[ndarray, " f"]]] = {}
    heads: dict[SweepAxis, list[Frames]] = {}
    for axis, angles_deg in ANGLES_DEG.items():
        heads[axis] = []
        for angle_deg in angles_deg:
            gaze = np.zeros_like(held.driving.gaze_head_rad)
            gaze[:, _COLUMN[axis]] = np.deg2rad(angle_deg)
            frames = renders(held.driving.with_eyes(gaze), places)
            heads[axis].append(frames)
            own = np.rad2deg(reader.read(frames, points).gaze_head_rad)[:, _COLUMN[axis]]
            predicted.setdefault((OWN_READER, axis), []).append(own)
            for name, judge in tools.readers.items():
                read = _read_in_head(judge, frames, held.driving.viewmat[places])
                predicted.setdefault((name, axis), []).append(read[:, _COLUMN[axis]])
    lines = tuple(sweep_line(name, axis, np.stack(rows, axis=1)) for (name, axis), rows in predicted.items())
    stacked = {axis: np.stack(rows, axis=1) for axis, rows in heads.items()}
    return SweepResult(lines, stacked, _leak(stacked["yaw"], points))


def _read_in_head(judge: Judge, frames: Frames, viewmat: Float[ndarray, "f 4 4"]) -> Float[ndarray, "f 2"]:
    """`[pitch, yaw]` in the head, degrees; NaN where the reader reads nothing. Small frames are scaled up first."""
    rgb = as_tensor(frames)
    scale = max(1.0, _READ_PX / max(rgb.shape[-2:]))
    if scale > 1:
        rgb = torch.nn.functional.interpolate(rgb, scale_factor=scale, mode="bicubic", align_corners=False).clamp(0, 1)
    found = judge.predict(rgb)
    vectors = vector_from_pitchyaw(found.gaze_camera.cpu().double())
    rotation = torch.from_numpy(viewmat[:, :3, :3].astype(np.float64))
    in_head = torch.rad2deg(pitchyaw_from_vector(torch.einsum("fji,fj->fi", rotation, vectors))).numpy()
    return np.where(found.valid.cpu().numpy()[:, None], in_head, np.nan)


def _leak(heads: UInt8[ndarray, "f a h w 3"], points: Float[ndarray, "f 478 2"]) -> float | None:
    """Mean change between both ends of the sweep outside the eyes' boxes over that inside."""
    change = np.abs(heads[:, 0].astype(np.float64) - heads[:, -1].astype(np.float64)).mean(axis=-1)
    left, right = metrics.eye_boxes(points)
    inside = torch.maximum(left.mask(*change.shape[1:]), right.mask(*change.shape[1:])).numpy()[:, 0] > 0
    moved = change[inside].mean() if inside.any() else 0.0
    return float(change[~inside].mean() / moved) if moved > 1e-6 else None
