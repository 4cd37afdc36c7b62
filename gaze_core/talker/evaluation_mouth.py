"""The mouth of a talking head against the recording and against the sound."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.talker import metrics
from gaze_core.talker.driving import RATE_HZ
from gaze_core.talker.evaluation import Frames, HeldOut, Rendered, Tools, find_faces
from gaze_core.talker.person_reader import PersonReader
from gaze_core.talker.report import MODEL, OTHER_AUDIO, REFINED, Sync, as_number

RECORDED, OWN_READER, LANDMARKS = "recorded", "this person's own reader", "face landmark model"


def measure_mouth(
    held: HeldOut, rendered: Rendered, reader: PersonReader, tools: Tools
) -> tuple[dict[str, Sync], dict[str, Float[ndarray, " t"]], dict[str, dict[str, Float[ndarray, " t"]]]]:
    """How the mouth follows the sound, the openings by name, and landmark distances of each frame by condition.

    The landmark model reads the mouth where it is at hand and finds the face in most frames, else this person's reader.
    """
    names = [name for name in (MODEL, REFINED, OTHER_AUDIO) if name in rendered.frames]
    shown: dict[str, Frames] = {RECORDED: held.recorded, **{name: rendered.frames[name] for name in names}}
    openings = {name: reader.read(frames, held.points).opening for name, frames in shown.items()}
    used, distances = OWN_READER, dict[str, dict[str, Float[ndarray, " t"]]]()
    if tools.landmarker is not None:
        points = {name: find_faces(tools.landmarker, frames) for name, frames in shown.items()}
        read = {name: metrics.mouth_opening(found) for name, found in points.items()}
        reference = points[RECORDED]
        for name in names:
            distances[name] = {"mouth_distance": _known(held, metrics.mouth_distance(points[name], reference))}
        if min(np.isfinite(values).mean() for values in read.values()) > 0.5:
            used, openings = LANDMARKS, read
    openings = {name: _known(held, values) for name, values in openings.items()}
    truth = _known(held, held.subject.mouth_open[held.rows])
    sync = {name: _sync(values, held.loudness_db, used, truth) for name, values in openings.items()}
    return sync, openings, distances


def _known(held: HeldOut, values: Float[ndarray, " t"]) -> Float[ndarray, " t"]:
    return np.where(held.valid, values, np.nan)


def _sync(
    opening: Float[ndarray, " t"], loudness: Float[ndarray, " t"], reader: str, truth: Float[ndarray, " t"]
) -> Sync:  # fmt: skip
    best, lag_ms = metrics.lag_of(opening, loudness, RATE_HZ)
    silence, count = metrics.motion_in_silence(opening, loudness)
    talking = opening[(loudness >= metrics.SILENT_DB) & np.isfinite(opening)]
    return Sync(
        reader=reader, correlation=as_number(metrics.correlation(opening, loudness)), best_correlation=as_number(best),
        lag_ms=as_number(lag_ms), silence_rms=as_number(silence), silent_frames=count,
        talking_rms=float(talking.std()) if len(talking) else None,
        with_recorded=as_number(metrics.correlation(opening, truth)),
    )  # fmt: skip


def series_of(openings: Mapping[str, Float[ndarray, " t"]]) -> dict[str, Float[ndarray, " t"]]:
    """The openings by their names in the charts."""
    return {f"opening {name}": values for name, values in openings.items()}
