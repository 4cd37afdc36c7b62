"""Is one evaluation better than another, on the same pairs, by more than a tolerance and more than chance?"""

import numpy as np

from gaze_core.errors import ContractViolation
from gaze_core.evaluation.catalog import METRICS
from gaze_core.evaluation.intervals import Bootstrap, Estimate, estimate
from gaze_core.evaluation.paired import STORED, Verdict, paired_verdict
from gaze_core.evaluation.report import Comparison, EvaluationReport, MetricComparison, Tolerance, Values


def compare(candidate: EvaluationReport, baseline: EvaluationReport, tolerance: Tolerance) -> Comparison:
    """Paired comparison: a metric changed if its mean gain exceeds the tolerance and the interval excludes zero.

    A candidate with a fault that the baseline does not have, or with more images that the judge cannot read, is
    regressed whatever its averages are; a candidate with any fault is never better.

    Raises:
        ContractViolation: the two were not measured on the same samples, pairs and judge.
    """
    _require_same_measurement(candidate, baseline)
    metrics, reasons, verdicts = [], [], set[Verdict]()
    for name, limit in tolerance.limits.items():
        if candidate.estimate(name).value is None and baseline.estimate(name).value is None:
            reasons.append(f"{name}: not compared, {candidate.estimate(name).absent}")
        elif (metric := _compare_metric(name, limit, candidate, baseline, tolerance)) is None:
            reasons.append(f"{name}: not compared, no pair has a value in both")
        else:
            metrics.append(metric)
            reasons.append(_text(metric, tolerance))
            verdicts.add(metric.verdict)
    more_unreadable = candidate.num_unreadable - baseline.num_unreadable
    if more_unreadable > 0:
        verdicts.add("regressed")
        reasons.append(
            f"the judge could not read {more_unreadable} more of the candidate's images than of the baseline's"
        )
    if new := [fault for fault in candidate.faults if fault not in baseline.faults]:
        verdicts.add("regressed")
        reasons.append(f"the candidate fails checks that the baseline passes: {'; '.join(new)}")
    elif candidate.faults:
        verdicts.discard("better")
        reasons.append(f"no candidate is better that fails a check: {'; '.join(candidate.faults)}")
    verdict: Verdict = "regressed" if "regressed" in verdicts else "better" if "better" in verdicts else "equal"
    return Comparison(verdict=verdict, reasons=tuple(reasons), metrics=tuple(metrics))


def copy_as_baseline(report: EvaluationReport) -> EvaluationReport:
    """The scores of the identity baseline as a report of its own: the baseline of a first model."""
    copied = next(row for row in report.rows if row.name == "copy")
    rows = tuple(copied.model_copy(update={"name": "model"}) if row.name == "model" else row for row in report.rows)
    subjects = tuple(
        subject.model_copy(update={"values": subject.values | {"model": subject.values["copy"]}})
        for subject in report.subjects
    )
    return report.model_copy(update={"rows": rows, "subjects": subjects, "checks": (), "num_unreadable": 0})


def _require_same_measurement(candidate: EvaluationReport, baseline: EvaluationReport) -> None:
    def identity(report: EvaluationReport) -> tuple[object, ...]:
        pairs = tuple((s.subject, s.input_index, s.target_index) for s in report.subjects)
        return report.judge_digest, report.instruments, pairs

    if identity(candidate) != identity(baseline):
        raise ContractViolation(
            "candidate and baseline were not measured on the same samples, pairs and judge (metric networks "
            f"{candidate.instruments} and {baseline.instruments}, {candidate.num_samples} and {baseline.num_samples} "
            "samples); expected equal ones; evaluate both with one evaluation config on one test split"
        )


def _compare_metric(
    name: str, limit: float, candidate: EvaluationReport, baseline: EvaluationReport, tolerance: Tolerance
) -> MetricComparison | None:
    ours, theirs, gains = _paired(name, candidate, baseline)
    gain = estimate(gains, tolerance.bootstrap)
    means = [estimate(values, tolerance.bootstrap).value for values in (ours, theirs)]
    if gain.value is None or gain.low is None or gain.high is None or means[0] is None or means[1] is None:
        return None
    verdict = STORED[paired_verdict(gain, limit)]
    return MetricComparison(
        name=name, candidate=means[0], baseline=means[1], gain=gain.value, low=gain.low, high=gain.high,
        tolerance=limit, verdict=verdict, num_pairs=gain.num_samples, num_subjects=gain.num_subjects,
    )  # fmt: skip


def paired_estimate(
    name: str, candidate: EvaluationReport, baseline: EvaluationReport, bootstrap: Bootstrap
) -> Estimate:  # fmt: skip
    """The mean gain of one metric on the same pairs, positive where the candidate is better, for `paired_verdict`.

    Raises:
        ContractViolation: the two were not measured on the same samples, pairs and judge.
    """
    _require_same_measurement(candidate, baseline)
    return estimate(_paired(name, candidate, baseline)[2], bootstrap)


def _paired(name: str, candidate: EvaluationReport, baseline: EvaluationReport) -> tuple[list[np.ndarray], ...]:
    """Values of both and gains by subject; NaN where either value is missing."""
    ours, theirs, gains = [], [], []
    for mine, other in zip(candidate.subjects, baseline.subjects, strict=True):
        pair = [_array(subject.values["model"].get(name, ()), len(subject.input_index)) for subject in (mine, other)]
        both = ~np.isnan(pair).any(axis=0)
        ours.append(np.where(both, pair[0], np.nan))
        theirs.append(np.where(both, pair[1], np.nan))
        gains.append((ours[-1] - theirs[-1]) * (1 if METRICS[name].better == "higher" else -1))
    return ours, theirs, gains


def _text(metric: MetricComparison, tolerance: Tolerance) -> str:
    unit, digits = METRICS[metric.name].unit, METRICS[metric.name].digits
    return (
        f"{metric.name} {metric.candidate:.{digits}f}{unit} against {metric.baseline:.{digits}f}{unit}: "
        f"gain {metric.gain:+.{digits}f}{unit} ({tolerance.confidence:.0%} interval {metric.low:+.{digits}f} to "
        f"{metric.high:+.{digits}f}, tolerance {metric.tolerance:g}, n={metric.num_pairs}), {metric.verdict}"
    )


def _array(values: Values, count: int) -> np.ndarray:
    if not values:
        return np.full(count, np.nan)
    return np.array([np.nan if value is None else value for value in values], dtype=float)
