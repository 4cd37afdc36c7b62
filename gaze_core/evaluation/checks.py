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
from gaze_core.evaluation.evidence import (
    MIN_CONTRAST_DEG,
    MIN_GAZES,
    MIN_IMAGES,
    contrast_deg,
    lacking_images,
    lacking_range,
)
from gaze_core.evaluation.intervals import Bootstrap, estimate
from gaze_core.evaluation.paired import paired_verdict
from gaze_core.evaluation.report import Check, CheckVerdict

CLAIM, CONSTANT, COPY = "as claimed", "a constant answer is nearer", "doing nothing is nearer"
Answers = dict[str, Tensor]
"""Error of each sample as claimed and under each rival; lower is better."""
ByRival = Mapping[str, np.ndarray]


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


def differences(labels: Mapping[str, Float[Tensor, "b 2"]]) -> dict[str, dict[str, Float[np.ndarray, "b 2"]]]:
    """What is claimed minus each rival, radians, for every question about angles.

    `labels` are those of `renderings.Measured`, of all pairs.
    """
    turning = {
        "labels of the recordings": labels["gaze"],
        "head labels of the recordings": labels["target_facing"],
        "gaze of the renderings": labels["target_gaze_head"],
    }
    found = {
        name: {rival: claimed - other for rival, other in wrong_conventions(claimed).items()}
        for name, claimed in turning.items()
    }
    found["the judge"] = {CONSTANT: labels["gaze"] - labels["gaze"].mean(dim=0)}
    found["redirection"] = {COPY: labels["target_gaze"] - labels["original_gaze"]}
    return {name: {rival: _array(values) for rival, values in rivals.items()} for name, rivals in found.items()}


def contrasts_deg(
    name: str, subjects: Sequence[tuple[Mapping[str, ByRival], Mapping[str, ByRival]]]
) -> dict[str, float]:
    """The contrast of each rival of one question, over what the judge could read; none for a question about images.

    `subjects` are the answers to all questions and their `differences`.
    """
    readable = [(~np.isnan(answers[name][CLAIM]), found.get(name, {})) for answers, found in subjects]
    return {rival: contrast_deg([found[rival][known] for known, found in readable]) for rival in readable[0][1]}


def _array(values: Tensor) -> np.ndarray:
    return np.asarray(values.detach().cpu().double().numpy())


def colour_errors(batch: GazeBatch) -> Answers:
    """Mean blue of each recorded head as claimed, and its red, which is larger in skin under any usual light."""
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


def run_check(name: str, subjects: Sequence[ByRival], contrasts: Mapping[str, float], bootstrap: Bootstrap) -> Check:
    """Compares the claim with its likeliest rival, over the samples of all subjects.

    `contrasts` has the contrast in degrees of each rival of a question about angles (`evidence.py`), and is empty for others.
    A rival without enough contrast is never a fault, and while there is one the claim is not proved either.
    """
    means = {key: estimate([s[key] for s in subjects], bootstrap).value for key in subjects[0]}
    rivals = {key: value for key, value in means.items() if key != CLAIM and value is not None}
    told = {key: value for key, value in rivals.items() if contrasts.get(key, np.inf) >= MIN_CONTRAST_DEG}
    question = QUESTIONS[name]
    rival = min(told or rivals, key=lambda key: rivals[key], default="")
    margins = [s[rival] - s[CLAIM] for s in subjects] if rival else []
    margin = estimate(margins, bootstrap, absent="nothing that the judge could read")
    lacking = lacking_images(margin.num_samples, MIN_GAZES if contrasts else MIN_IMAGES)
    verdict = "cannot tell" if lacking or not told else _VERDICTS.get(paired_verdict(margin), "cannot tell")
    if verdict != "fault" and (narrow := lacking_range(contrasts)):
        verdict, lacking = "cannot tell", lacking or narrow
    if verdict == "cannot tell":
        lacking = lacking or "the interval of the difference holds zero"
    return Check(
        name=name, question=question.question, unit=question.unit, value=means[CLAIM], rival=means.get(rival),
        rival_name=rival, margin=margin, verdict=verdict, reason=lacking if margin.num_samples else margin.absent,
    )  # fmt: skip


_VERDICTS: Mapping[str, CheckVerdict] = {"improved": "ok", "regressed": "fault"}
