"""Checks of labels by what no model has learned: the dark of the eyes in the pictures, and the screen.

A data set whose labels are mirrored or swapped throughout trains a model that predicts them so; its errors are small and
mean nothing. But a pupil that moves to the picture's left belongs to a positive yaw, whatever the labels say, and a gaze
meets the screen where the screen's own coordinates say.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.estimation.metrics import error_deg
from gaze_core.estimation.report import StoredCheck
from gaze_core.evaluation.checks import wrong_conventions
from gaze_core.evaluation.evidence import MIN_CONTRAST_DEG, MIN_GAZES, contrast_deg
from gaze_core.evaluation.intervals import Bootstrap, Units
from gaze_core.evaluation.paired import paired_gain
from gaze_core.reports.text import number

_MIN_CORRELATION = 0.25  # of a person's darkness and labels; those of a swapped column scatter about zero
_CENTRE_SHARE = 0.25  # of the crop's sides that is left out: lashes, brows and background


def eye_darkness(left: UInt8[ndarray, "n e e 3"], right: UInt8[ndarray, "n e e 3"]) -> Float[ndarray, "n 2"]:
    """Where the dark of both eyes lies: upward and to the picture's left of the crop's middle, in crop sides.

    The weight of a pixel is the square of how much darker it is than the mean of the middle of its crop.
    """
    places = []
    for eyes in (left, right):
        gray = eyes.astype(np.float32).mean(-1)
        margin = round(_CENTRE_SHARE * gray.shape[1])
        middle = gray[:, margin : gray.shape[1] - margin, margin // 2 : gray.shape[2] - margin // 2]
        dark = np.clip(middle.mean((1, 2), keepdims=True) - middle, 0, None) ** 2
        total = dark.sum((1, 2)) + 1e-6
        rows, columns = (np.arange(size) - (size - 1) / 2 for size in dark.shape[1:])
        up = -(dark.sum(2) @ rows) / total / gray.shape[1]
        leftward = -(dark.sum(1) @ columns) / total / gray.shape[2]
        places.append(np.stack([up, leftward], axis=1))
    return np.mean(places, axis=0)


def pupil_check(darkness: Sequence[Float[ndarray, "n 2"]], gaze_rad: Sequence[Float[ndarray, "n 2"]]) -> StoredCheck:
    """Whether the dark of the eyes moves with the labels; one array for each person."""
    question = "Do the pupils in the pictures move with the labels?"
    people = [(d, g) for d, g in zip(darkness, gaze_rad, strict=True) if len(d) >= MIN_GAZES]
    if not people:
        return StoredCheck(mark="cannot tell", question=question, answer=f"Nobody has {MIN_GAZES} frames.")
    found = np.mean([[_correlation(d[:, axis], g[:, axis]) for axis in (0, 1)] for d, g in people], axis=0)
    crossed = np.mean([[_correlation(d[:, 1 - axis], g[:, axis]) for axis in (0, 1)] for d, g in people], axis=0)
    answer = (
        f"Correlation with the dark of the eyes: yaw {number(float(found[1]))}, pitch {number(float(found[0]))} "
        f"(across: {number(float(crossed[1]))}, {number(float(crossed[0]))})."
    )
    note = f"mean over {len(people)} people"
    faults = [f"{name} is mirrored" for name, value in zip(("pitch", "yaw"), found, strict=True)
              if value < -_MIN_CORRELATION]  # fmt: skip
    if (np.abs(crossed) > np.abs(found) + _MIN_CORRELATION).all():
        faults = ["pitch and yaw are swapped"]
    if faults:
        return StoredCheck(
            mark="fault", question=question, answer=f"{answer} It seems that {', '.join(faults)}.", note=note
        )
    unsure = [name for name, value in zip(("pitch", "yaw"), found, strict=True) if value < _MIN_CORRELATION]
    if unsure:
        return StoredCheck(
            mark="cannot tell", question=question, answer=f"{answer} Too weak in {', '.join(unsure)}.", note=note
        )
    return StoredCheck(mark="ok", question=question, answer=answer, note=note)


def screen_check(distance_m: Float[ndarray, " n"]) -> StoredCheck:
    """Whether the gaze labels meet the screen where the labels of the points say; distances, NaN where unknown."""
    question = "Do the gaze labels meet the screen where the points are?"
    known = distance_m[np.isfinite(distance_m)]
    if len(known) < MIN_GAZES:
        return StoredCheck(
            mark="cannot tell", question=question, answer=f"{len(known)} frames have a point on a screen."
        )
    middle = float(np.median(known))
    # Trackers round and smooth; a mirrored or swapped angle is off by more than a hand.
    return StoredCheck(
        mark="ok" if middle < 0.03 else "fault",
        question=question,
        answer=f"Half of the labels are within {100 * middle:.2f} cm.",
        note=f"{len(known)} frames",
    )


def prediction_check(
    predicted: Sequence[Float[ndarray, "n 2"]],
    truth: Sequence[Float[ndarray, "n 2"]],
    bootstrap: Bootstrap,
) -> StoredCheck:
    """Whether predictions fit the labels better than mirrored or swapped ones; one array for each person."""
    question = "Do the predictions fit the labels better than mirrored or swapped ones?"
    claimed = np.array([error_deg(p, t).mean() for p, t in zip(predicted, truth, strict=True)])
    changed = [wrong_conventions(torch.from_numpy(t)) for t in truth]
    rivals = {name: [labels[name].numpy() for labels in changed] for name in changed[0]}
    wrong = {
        name: np.array([error_deg(p, r).mean() for p, r in zip(predicted, labels, strict=True)])
        for name, labels in rivals.items()
    }
    told = {
        name for name, labels in rivals.items()
        if contrast_deg([t - r for t, r in zip(truth, labels, strict=True)]) >= MIN_CONTRAST_DEG
    }  # fmt: skip
    name = min(told or wrong, key=lambda key: float(wrong[key].mean()))
    answer = (
        f"Error {number(float(claimed.mean()))}° against the labels, {number(float(wrong[name].mean()))}° for the "
        f"likeliest fault ({name})."
    )
    verdict = paired_gain(Units.of_subjects([np.array([d]) for d in wrong[name] - claimed]), bootstrap).verdict
    mark = {"improved": "ok", "regressed": "fault"}.get(verdict, "cannot tell")
    if not told and mark == "ok":
        mark, answer = "cannot tell", answer + " The gaze varies too little to tell."
    return StoredCheck(mark=mark, question=question, answer=answer, note=f"{len(claimed)} people")  # type: ignore[arg-type]


def _correlation(a: Float[ndarray, " n"], b: Float[ndarray, " n"]) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
