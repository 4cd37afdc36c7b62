"""Evaluation of a gaze redirector on held-out frames; the protocol is in `EvaluationReport`'s docstring."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.data.batch import GazeBatch
from gaze_core.errors import BadInput
from gaze_core.evaluation import checks
from gaze_core.evaluation.catalog import METRICS, RowName
from gaze_core.evaluation.distribution import MIN_FID, MIN_KID, fid, kid
from gaze_core.evaluation.intervals import Bootstrap, Estimate, estimate
from gaze_core.evaluation.metric_networks import MetricNetworks
from gaze_core.evaluation.metrics import constant_prediction, gaze_error_deg, head_error_deg
from gaze_core.evaluation.pairs import Pairs
from gaze_core.evaluation.renderings import Prediction, Redirector, gaze_in_camera, measure_pairs, redirect
from gaze_core.evaluation.report import (
    AngleRow,
    DistanceRow,
    EvaluationReport,
    ProtocolRecord,
    Row,
    SubjectValues,
    Values,
)
from gaze_core.sampling import evenly_spaced

SWEEP_DEG = ((0.0, 0.0), (0.0, 25.0), (0.0, -25.0), (15.0, 0.0), (-15.0, 0.0))
"""Gazes `[pitch, yaw]` in the head frame to which each swept head is redirected."""
MOVED_EDGES_DEG = (0.0, 10.0, 20.0, 30.0, 45.0, 180.0)
_NUM_SWEPT_HEADS = 8
_CHUNK = 32  # pairs in memory at once
_ROWS: tuple[RowName, ...] = ("model", "copy", "constant", "floor")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One subject's pairs and a loader of its frames: `frames([7, 3])` is the batch of frames 7 and 3."""

    subject: str
    pairs: Pairs
    frames: Callable[[Sequence[int]], GazeBatch]


@dataclass(frozen=True, eq=False)
class _Subject:
    """Measurements of one subject; arrays are over its pairs, those of the sweep over the swept heads."""

    held_out: HeldOut
    rows: Mapping[RowName, Mapping[str, np.ndarray]]
    answers: Mapping[str, Mapping[str, np.ndarray]]
    moved_deg: np.ndarray
    sweep: Sequence[Mapping[str, np.ndarray]]  # for each of SWEEP_DEG: error, copy, moved
    features: tuple[Tensor, Tensor] | None


def evaluate(
    redirector: Redirector,
    subjects: Iterable[HeldOut],
    networks: MetricNetworks,
    protocol: ProtocolRecord,
    bootstrap: Bootstrap = Bootstrap(),  # noqa: B008 (frozen)
) -> EvaluationReport:
    """Measures `redirector`, one subject after the other. The same arguments give the same report.

    Raises:
        BadInput: there is no subject.
    """
    measured = [_measure(redirector, held_out, networks) for held_out in subjects]
    if not measured:
        raise BadInput("no subject to evaluate on; expected at least one with held-out frames")
    model = [subject.rows["model"]["gaze_error_deg"] for subject in measured]
    return EvaluationReport(
        protocol=protocol,
        num_samples=sum(len(values) for values in model),
        num_unreadable=int(sum(np.isnan(values).sum() for values in model)),
        rows=tuple(_row(name, measured, networks, bootstrap) for name in _ROWS),
        by_angle=_by_angle(measured, bootstrap),
        by_distance=_by_distance(measured, bootstrap),
        checks=tuple(
            checks.run_check(name, [subject.answers[name] for subject in measured], bootstrap)
            for name in checks.QUESTIONS
        ),
        judge_name=networks.judge.name,
        judge_digest=networks.judge.digest,
        instruments=dict(networks.digests),
        bootstrap=bootstrap,
        subjects=tuple(_values(subject) for subject in measured),
    )


def _measure(redirector: Redirector, held_out: HeldOut, networks: MetricNetworks) -> _Subject:
    inputs, targets = held_out.pairs.inputs, held_out.pairs.targets
    parts = []
    for start in range(0, len(inputs), _CHUNK):
        part = slice(start, start + _CHUNK)
        parts.append(measure_pairs(redirector, held_out.frames(inputs[part]), held_out.frames(targets[part]), networks))
    rows: dict[RowName, dict[str, np.ndarray]] = {
        row: _concatenated([part.rows[row] for part in parts]) for row in ("model", "copy", "floor")
    }
    answers = {name: _concatenated([part.answers[name] for part in parts]) for name in parts[0].answers}
    labels = {name: torch.cat([part.labels[name] for part in parts]) for name in parts[0].labels}
    rows["constant"] = {
        metric: error(constant_prediction(labels[name]), labels[name]).cpu().numpy()
        for metric, name, error in (
            ("gaze_error_deg", "target_gaze", gaze_error_deg),
            ("head_error_deg", "target_facing", head_error_deg),
        )
    }
    # The judge must beat a constant prediction on the labels of the recordings.
    constant_error = gaze_error_deg(constant_prediction(labels["gaze"]), labels["gaze"]).cpu().numpy()
    answers["the judge"] = {
        checks.CLAIM: rows["floor"]["gaze_error_deg"],
        "a constant answer is nearer": constant_error,
    }
    rendered = [part.features for part in parts if part.features is not None]
    features = (torch.cat([a for a, _ in rendered]), torch.cat([b for _, b in rendered])) if rendered else None
    moved_deg = torch.cat([part.moved_deg for part in parts]).cpu().numpy()
    return _Subject(held_out, rows, answers, moved_deg, _sweep(redirector, held_out, networks), features)


def _concatenated(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    return {name: torch.cat([part[name] for part in parts]).cpu().double().numpy() for name in parts[0]}


def _sweep(redirector: Redirector, held_out: HeldOut, networks: MetricNetworks) -> list[dict[str, np.ndarray]]:
    frames = sorted(set(held_out.pairs.targets))
    heads = held_out.frames([frames[i] for i in evenly_spaced(len(frames), _NUM_SWEPT_HEADS)])
    original = Prediction.of(networks.judge, heads.rgb_on_white)
    found = []
    for angle_deg in SWEEP_DEG:
        gaze = torch.deg2rad(heads.gaze_head.new_tensor(angle_deg)).expand(len(heads), 2)
        _, prediction = redirect(redirector, heads, gaze, networks.judge)
        target_gaze = gaze_in_camera(heads, gaze)
        errors = {
            "error": prediction.gaze_error_deg(target_gaze),
            "copy": original.gaze_error_deg(target_gaze),
            "moved": gaze_error_deg(heads.gaze_camera, target_gaze),
        }
        found.append(_concatenated([errors]))
    return found


def _row(name: RowName, measured: Sequence[_Subject], networks: MetricNetworks, bootstrap: Bootstrap) -> Row:
    estimates = {}
    for metric in METRICS:
        if all(metric in subject.rows[name] for subject in measured):
            values = [subject.rows[name][metric] for subject in measured]
            estimates[metric] = estimate(values, bootstrap, _absent_because(metric, networks))
        elif name == "model" and metric in ("kid", "fid"):
            estimates[metric] = _set_distance(metric, measured, networks)
        elif name == "model":
            estimates[metric] = Estimate(absent=networks.absent.get(metric, "not measured"))
    return Row(name=name, estimates=estimates)


def _absent_because(metric: str, networks: MetricNetworks) -> str:
    if metric == "eyes_psnr_db":
        return "no eye is visible in any image"
    if "head" in metric:
        return f"the judge {networks.judge.name!r} reads no head direction, or could read no image"
    return f"the judge {networks.judge.name!r} could read no image"


def _set_distance(metric: str, measured: Sequence[_Subject], networks: MetricNetworks) -> Estimate:
    sets = [subject.features for subject in measured if subject.features is not None]
    if not sets:
        return Estimate(absent=networks.absent.get(metric, "not measured"))
    rendered, recorded = (torch.cat(part) for part in zip(*sets, strict=True))
    count, needed = len(rendered), MIN_KID if metric == "kid" else MIN_FID
    if count < needed:
        return Estimate(absent=f"needs at least {needed} images, there are {count}")
    value = (kid if metric == "kid" else fid)(rendered, recorded)
    return Estimate(value=value, num_samples=count, num_subjects=len(sets))


def _by_angle(measured: Sequence[_Subject], bootstrap: Bootstrap) -> tuple[AngleRow, ...]:
    return tuple(
        AngleRow(
            pitch_deg=pitch,
            yaw_deg=yaw,
            gaze_error_deg=estimate([subject.sweep[k]["error"] for subject in measured], bootstrap),
        )
        for k, (pitch, yaw) in enumerate(SWEEP_DEG)
    )


def _by_distance(measured: Sequence[_Subject], bootstrap: Bootstrap) -> tuple[DistanceRow, ...]:
    together = [
        {
            "error": np.concatenate([s.rows["model"]["gaze_error_deg"], *(part["error"] for part in s.sweep)]),
            "copy": np.concatenate([s.rows["copy"]["gaze_error_deg"], *(part["copy"] for part in s.sweep)]),
            "moved": np.concatenate([s.moved_deg, *(part["moved"] for part in s.sweep)]),
        }
        for s in measured
    ]
    rows = []
    for low, high in zip(MOVED_EDGES_DEG[:-1], MOVED_EDGES_DEG[1:], strict=True):
        inside = [(s["moved"] >= low) & (s["moved"] < high) for s in together]
        error, copy, moved = (
            estimate([s[name][chosen] for s, chosen in zip(together, inside, strict=True)], bootstrap)
            for name in ("error", "copy", "moved")
        )
        rows.append(
            DistanceRow(
                low_deg=low, high_deg=high, moved_deg=moved.value, gaze_error_deg=error,
                identity_copy_gaze_error_deg=copy,
            )
        )  # fmt: skip
    return tuple(rows)


def _values(subject: _Subject) -> SubjectValues:
    return SubjectValues(
        subject=subject.held_out.subject,
        input_index=subject.held_out.pairs.inputs,
        target_index=subject.held_out.pairs.targets,
        moved_deg=_or_none(subject.moved_deg),
        values={
            row: {metric: _or_none(values) for metric, values in metrics.items()}
            for row, metrics in subject.rows.items()
        },
    )


def _or_none(values: Float[np.ndarray, " n"]) -> Values:
    return tuple(None if value != value else value for value in values.tolist())
