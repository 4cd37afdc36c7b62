"""A whole evaluation of a talking head, and the pictures of its report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.sampling import evenly_spaced
from gaze_core.talker.checks import talker_checks
from gaze_core.talker.driving import RATE_HZ
from gaze_core.talker.evaluation import (
    Frames,
    HeldOut,
    Recorded,
    Rendered,
    Renders,
    TalkerEvaluateConfig,
    Tools,
    picture_values,
    render_conditions,
    stored,
)
from gaze_core.talker.evaluation_eyes import blink_scores, counterfactuals, gaze_errors, sweep
from gaze_core.talker.evaluation_mouth import measure_mouth, series_of
from gaze_core.talker.person_reader import PersonReader, can_fit
from gaze_core.talker.report import MODEL, NEAREST, OTHER_AUDIO, Number, TalkerEvaluation
from gaze_core.talker.series import Series
from gaze_core.talker.subject import TalkerTruth

_MIN_FRAMES = 3
Values = dict[str, dict[str, Float[ndarray, " t"]]]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Strips of frames by their file below the evaluation's folder, without the suffix."""

    strips: Mapping[str, UInt8[ndarray, "h w 3"]] = field(default_factory=dict)


def measure(
    name: str, subject: Recorded, sound: Float[ndarray, " s"] | None, truth: TalkerTruth | None, renders: Renders,
    config: TalkerEvaluateConfig, tools: Tools, hardware: str, refine: Callable[[Frames], Frames] | None = None,
) -> tuple[TalkerEvaluation, Pictures, Series]:  # fmt: skip
    """Measures a talking head on held-out time.

    Raises:
        BadInput: too few frames with a face, in training or held out.
    """
    held = HeldOut.of(subject, sound, config.most_frames)
    if held.valid.sum() < _MIN_FRAMES or not can_fit(len(held.train_rows)):
        raise BadInput(
            f"{name}: {int(held.valid.sum())} held-out and {len(held.train_rows)} training frames with a face; expected at "
            f"least {_MIN_FRAMES} and 12; give a longer recording"
        )
    rendered, shifted = render_conditions(held, renders, config, hardware, refine)
    reader = held.person_reader()
    values = _picture_values(held, rendered, shifted, tools)
    sync, openings, distances = measure_mouth(held, rendered, reader, tools)
    errors, means = gaze_errors(held, rendered, reader)
    for condition, rows in distances.items():
        values[condition] |= rows
    for condition, row in errors.items():
        values[condition]["gaze_error_deg"] = row
    others, pictures = counterfactuals(held, truth, renders) if truth is not None else ((), {})
    swept = sweep(held, renders, reader, tools, config.sweep_frames)
    found = TalkerEvaluation(
        subject=name,
        frames=tuple(int(one) for one in subject.frame_id[held.rows]),
        frames_digest=held.digest,
        measured={condition: stored(row) for condition, row in values.items()},
        sync=sync,
        gaze_reader_error_deg=means,
        counterfactual=others,
        blinks=blink_scores(held, rendered, reader),
        sweep=swept.lines,
        readers_absent=tools.readers_absent,
        leak=swept.leak,
        lips_without_gaze_db=_lips_without_gaze(held, rendered, values),
        train_gaze_deg=_coverage(held),
        train_frames=len(held.train_rows),
        speed=rendered.speed,
        absent=_absent(tools, sound),
    )
    found = found.model_copy(update={"checks": talker_checks(found)})
    strips = _examples(held, rendered, config.num_shown) | {
        f"counterfactual/{kind}": _row(k) for kind, k in pictures.items()
    }
    for axis, heads in swept.heads.items():
        strips |= {f"sweep_{axis}/{k}": _row(heads[place]) for k, place in enumerate(evenly_spaced(len(heads), 2))}
    return found, Pictures(strips), _series(held, rendered, reader, openings)


def _picture_values(held: HeldOut, rendered: Rendered, shifted: list[Frames], tools: Tools) -> Values:
    """Of each condition; with other sound the mean over the other times."""
    found = {
        name: picture_values(held, frames, tools.st_lpips)
        for name, frames in rendered.frames.items()
        if name != OTHER_AUDIO
    }
    others = [picture_values(held, frames, None, only_psnr=True) for frames in shifted]
    found[OTHER_AUDIO] = {name: np.mean([one[name] for one in others], axis=0) for name in others[0]}
    order = [name for name in (MODEL, *rendered.frames) if name in found]
    return {name: found[name] for name in dict.fromkeys(order)}


def _lips_without_gaze(held: HeldOut, rendered: Rendered, values: Values) -> Number:
    other = picture_values(held, rendered.other_eyes, None, only_psnr=True)["lips_psnr_db"]
    difference = other - values[MODEL]["lips_psnr_db"]
    known = difference[np.isfinite(difference)]
    return float(known.mean()) if len(known) else None


def _coverage(held: HeldOut) -> tuple[tuple[float, float], tuple[float, float]] | None:
    gaze = np.rad2deg(held.subject.gaze_head_rad[held.train_rows])
    gaze = gaze[np.isfinite(gaze).all(axis=1)]
    if not len(gaze):
        return None
    low, high = np.quantile(gaze, [0.05, 0.95], axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _absent(tools: Tools, sound: Float[ndarray, " s"] | None) -> dict[str, str]:
    silent = {} if sound is not None else {"loudness": "the recording has no sound"}
    return {**tools.absent, **silent}


def _examples(held: HeldOut, rendered: Rendered, count: int) -> dict[str, UInt8[ndarray, "h w 3"]]:
    """Rows of evenly spaced frames: recorded, the model, with other sound, nearest training frame."""
    places = np.flatnonzero(held.valid)
    chosen = places[evenly_spaced(len(places), count)]
    shown = [held.recorded, *(rendered.frames[name] for name in (MODEL, OTHER_AUDIO, NEAREST))]
    return {f"examples/{k}": _row(frames[chosen]) for k, frames in enumerate(shown)}


def _row(frames: Frames) -> UInt8[ndarray, "h w 3"]:
    return np.concatenate(list(frames), axis=1)


def _series(
    held: HeldOut, rendered: Rendered, reader: PersonReader, openings: Mapping[str, Float[ndarray, " t"]]
) -> Series:  # fmt: skip
    other = rendered.other_driving
    read = reader.read(rendered.other_eyes, held.points)
    angles = {"pitch": 0, "yaw": 1}
    rows = {f"{name} asked": np.rad2deg(other.gaze_head_rad[:, column]) for name, column in angles.items()}
    rows |= {f"{name} read": np.rad2deg(read.gaze_head_rad[:, column]) for name, column in angles.items()}
    rows |= {"blink asked": other.blink.mean(axis=1), "blink read": read.blink, "loudness_db": held.loudness_db}
    return Series.of(RATE_HZ, series_of(openings) | rows)
