"""Sanity checks of an evaluation: angle conventions, left and right, colour channels, and whether the gaze moves at all.

A mean error can hide a mirrored or swapped convention. Each check therefore compares the error under the claimed
convention with the errors under likely faults (the rivals). A rival with a smaller error is reported as a fault.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gaze_core.data.batch import GazeBatch
from gaze_core.evaluation.intervals import Bootstrap, Estimate, estimate
from gaze_core.evaluation.paired import paired_verdict
from gaze_core.evaluation.report import Check, CheckVerdict

MIN_SAMPLES = 5  # with fewer the check is undecided
CLAIM = "as claimed"
Answers = dict[str, Tensor]
"""Error of each sample under the claimed convention and under each rival; lower is better."""


@dataclass(frozen=True)
class Question:
    """The question of a check, and the unit of its numbers."""

    question: str
    unit: str


QUESTIONS = {
    "labels of the recordings": Question("Does the judge predict the gaze labels of the recordings?", "°"),
    "head labels of the recordings": Question("Do the heads face where their labels say?", "°"),
    "the judge": Question("Is the judge nearer to the recordings' labels than a constant?", "°"),
    "colours of the recordings": Question("Is a head redder than blue?", ""),
    "gaze of the renderings": Question("Do the rendered eyes look at the target gaze?", "°"),
    "orientation and colours of the renderings": Question(
        "Are the renderings the right way round, in red, green, blue?", ""
    ),
    "redirection": Question("Is the rendering nearer to the target gaze than the unchanged image?", "°"),
}
_WRONG_CONVENTIONS = {
    "yaw is mirrored": ((0, 1), (1.0, -1.0)),
    "pitch is mirrored": ((0, 1), (-1.0, 1.0)),
    "pitch and yaw are swapped": ((1, 0), (1.0, 1.0)),
    "pitch and yaw are swapped, one mirrored": ((1, 0), (-1.0, 1.0)),
    "pitch and yaw are swapped, the other mirrored": ((1, 0), (1.0, -1.0)),
}


def wrong_conventions(pitchyaw: Float[Tensor, "b 2"]) -> dict[str, Float[Tensor, "b 2"]]:
    """The angles under each wrong convention."""
    return {
        name: pitchyaw[:, order] * pitchyaw.new_tensor(signs) for name, (order, signs) in _WRONG_CONVENTIONS.items()
    }


def hypothesis_errors(error: Callable[[Tensor], Tensor], claimed: Tensor, rivals: Mapping[str, Tensor]) -> Answers:
    """Errors of the predictions against the claimed values and against each rival."""
    return {name: error(value) for name, value in {CLAIM: claimed, **rivals}.items()}


def colour_errors(batch: GazeBatch) -> Answers:
    """Mean blue of each recorded head (as claimed) and mean red (if the channels are swapped): skin is redder than blue."""
    area = batch.head_mask.flatten(1).sum(1)
    red, _, blue = ((batch.rgb * batch.head_mask).flatten(2).sum(2) / area[:, None]).unbind(1)
    return {CLAIM: blue, "red and blue are swapped": red}


def image_errors(rendered: Float[Tensor, "b 3 h w"], recorded: Float[Tensor, "b 3 h w"]) -> Answers:
    """RMS difference of each rendering from its recording, and from the recording mirrored, upside down or in BGR."""
    rivals = {
        CLAIM: recorded,
        "the image is mirrored": recorded.flip(-1),
        "the image is upside down": recorded.flip(-2),
        "red and blue are swapped": recorded.flip(1),
    }
    return {name: (rendered - other).square().flatten(1).mean(1).sqrt() for name, other in rivals.items()}


def run_check(name: str, subjects: Sequence[Mapping[str, np.ndarray]], bootstrap: Bootstrap) -> Check:
    """Compares the claimed convention with its best rival, over the samples of all subjects."""
    means = {key: estimate([s[key] for s in subjects], bootstrap).value for key in subjects[0]}
    rivals = {key: value for key, value in means.items() if key != CLAIM and value is not None}
    question = QUESTIONS[name]
    rival = min(rivals, key=lambda key: rivals[key], default="")
    margins = [s[rival] - s[CLAIM] for s in subjects] if rival else []
    margin = estimate(margins, bootstrap, absent="nothing that the judge could read")
    return Check(
        name=name, question=question.question, unit=question.unit, value=means[CLAIM], rival=means.get(rival),
        rival_name=rival, margin=margin, verdict=_verdict(margin),
    )  # fmt: skip


def _verdict(margin: Estimate) -> CheckVerdict:
    if margin.num_samples < MIN_SAMPLES:
        return "unclear"
    verdicts: dict[str, CheckVerdict] = {"improved": "ok", "regressed": "fault"}
    return verdicts.get(paired_verdict(margin), "unclear")
