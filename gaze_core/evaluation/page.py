"""The page of an evaluation report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gaze_core.evaluation.intervals import Estimate
from gaze_core.evaluation.method import measurement_facts
from gaze_core.evaluation.report import Comparison, EvaluationReport
from gaze_core.evaluation.report_images import ReportImages, curve_points, image_strips
from gaze_core.evaluation.tables import (
    BASELINE_TITLES,
    absent_rows,
    angle_table,
    check_rows,
    distance_table,
    number_table,
    published_blocks,
)
from gaze_core.reports import page as skeleton
from gaze_core.reports.blocks import (
    Alarm,
    Bar,
    Bars,
    Block,
    Cell,
    Chart,
    Checks,
    Column,
    Columns,
    Facts,
    Fold,
    Heading,
    Headline,
    Headlines,
    Notes,
    Table,
)
from gaze_core.reports.charts import Series, line_chart
from gaze_core.reports.curves import Curve, curve_blocks
from gaze_core.reports.sources import Sources
from gaze_core.reports.text import counted, duration, interval, number


@dataclass(frozen=True, eq=False)
class ReportData:
    """The content of a report; empty parts are left out of the page.

    Attributes:
        title: The run, for example "Gaze redirection: synthetic_128".
        subtitle: Preset, device and date, in one line.
        candidate: Measurements of the trained model.
        images: Held-out heads of the candidate.
        seconds: Wall clock of the whole run.
        candidate_name, baseline_name: Column heads, for example "DiT renderer".
        baseline, comparison: The baseline model, measured on the same samples, and the verdict.
        baseline_images: The same heads by the baseline; the page shows only their reconstruction.
        curves: Stage -> logged number -> (steps, values).
        enhancements: (name, detail) of the active and inactive enhancements.
        sources: Stages, checkpoints, digests and versions.
        notes: Remarks for the reader, for example how labels were obtained.
    """

    title: str
    candidate: EvaluationReport
    images: ReportImages
    seconds: float
    subtitle: str = ""
    candidate_name: str = "candidate"
    baseline_name: str = "baseline"
    baseline: EvaluationReport | None = None
    comparison: Comparison | None = None
    baseline_images: ReportImages | None = None
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    enhancements: Sequence[tuple[str, str]] = ()
    sources: Sources = Sources()
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """better, equal or regressed; "not compared" without a baseline."""
        return self.comparison.verdict if self.comparison else "not compared"


_VERDICTS: Mapping[str, skeleton.Verdict] = {
    "better": skeleton.Verdict("better", "Better than the baseline"),
    "equal": skeleton.Verdict("equal", "Equal to the baseline"),
    "regressed": skeleton.Verdict("regressed", "Worse than the baseline"),
    "not compared": skeleton.Verdict("equal", "Not compared with a baseline"),
}


def page_of(data: ReportData) -> skeleton.Page:
    """The page, from the verdict to the sources."""
    candidate = data.candidate
    passed = sum(check.verdict == "ok" for check in candidate.checks)
    verdict, protocol = _VERDICTS[data.verdict], candidate.protocol
    basis = (
        f"{protocol.title} · pairs from {protocol.pairs} · {counted(candidate.num_samples, 'pair')} of "
        f"{counted(len(candidate.subjects), 'subject')} · {passed} of {counted(len(candidate.checks), 'check')} passed"
    )
    return skeleton.Page(
        title=data.title,
        subtitle=" · ".join(filter(None, (data.subtitle, f"{duration(data.seconds)} in all"))),
        verdict=skeleton.Verdict(verdict.style, verdict.words, basis),
        blocks=[
            *([Alarm("Do not trust these numbers.", candidate.faults)] if candidate.faults else []),
            *_summary(data, verdict.words),
            *_images(data),
            *_checks(candidate),
            *_numbers(data),
            *published_blocks(candidate, data.candidate_name),
            *curve_blocks(data.curves),
            *_enhancements(data.enhancements),
            *([Heading("Notes"), Notes(data.notes)] if data.notes else []),
            *data.sources.blocks(),
        ],
    )


def _summary(data: ReportData, words: str) -> list[Block]:
    gaze, psnr = (data.candidate.estimate(name) for name in ("gaze_error_deg", "psnr_db"))
    copied = data.candidate.estimate("gaze_error_deg", "copy")
    rival = data.baseline and f"; baseline {number(data.baseline.estimate('psnr_db').value, 1)} dB"
    headlines = Headlines([
        Headline("Gaze error", number(gaze.value, 1), "°", _between(
            gaze, "between the target gaze and the gaze that an independent judge predicts from the rendering")),
        Headline("Identity baseline", number(copied.value, 1), "°", _between(
            copied, "the same error if each original image were returned unchanged")),
        Headline("Reconstruction", number(psnr.value, 1), "dB PSNR", _between(
            psnr, f"rendered with its own labels, against the held-out original{rival or ''}")),
    ])  # fmt: skip
    blocks: list[Block] = [headlines]
    if (bars := _bars(data)).visible:
        blocks.append(bars)
    if data.comparison:
        reasons = Notes(data.comparison.reasons)
        blocks.append(Fold(f"Why {words.lower()}", [reasons], is_open=data.verdict != "equal"))
    return blocks


def _between(found: Estimate, text: str) -> str:
    return f"{interval(found, 1)}; {text}" if found.value is not None else text


def _bars(data: ReportData) -> Bars:
    """Gaze errors on one scale."""
    candidate, baseline = data.candidate, data.baseline
    found: list[tuple[str, Estimate, Any]] = [
        (BASELINE_TITLES["floor"], candidate.estimate("gaze_error_deg", "floor"), "floor"),
        (data.candidate_name, candidate.estimate("gaze_error_deg"), "candidate"),
        (data.baseline_name, baseline.estimate("gaze_error_deg") if baseline else Estimate(), "baseline"),
        (BASELINE_TITLES["constant"], candidate.estimate("gaze_error_deg", "constant"), "copy"),
        (BASELINE_TITLES["copy"], candidate.estimate("gaze_error_deg", "copy"), "copy"),
    ]
    bars = [Bar(name, one.value, f"{number(one.value, 1)}°", interval(one, 1), style) for name, one, style in found]
    return Bars("Gaze errors on one scale", bars)


def _images(data: ReportData) -> list[Block]:
    strips = image_strips(data.images, data.baseline_images)
    intro = (
        "Held-out frames, rendered at each target gaze (pitch, yaw in the head) and each target head pose "
        "(pitch, yaw in the camera). Positive is up and toward the left of the image."
    )
    return [Heading("Held-out heads", intro), *strips] if strips else []


def _checks(candidate: EvaluationReport) -> list[Block]:
    intro = "A mean can hide a swapped or mirrored convention. Each check compares the claim with the likeliest fault."
    return [Heading("Checks", intro), Checks(check_rows(candidate))]


def _numbers(data: ReportData) -> list[Block]:
    candidate, names = data.candidate, (data.candidate_name, data.baseline, data.baseline_name)
    absent = absent_rows(candidate)
    legend = [("candidate", data.candidate_name), ("copy", BASELINE_TITLES["copy"])]
    if data.baseline:
        legend.insert(1, ("baseline", data.baseline_name))
    return [
        Heading("Metrics", _intervals_text(candidate)),
        number_table(candidate, *names),
        *([Fold("Not measured", [Facts(absent)])] if absent else []),
        Fold("How these were measured", [Facts(measurement_facts(candidate))]),
        Heading("Error by the angle between original and target gaze", level=3),
        Chart(distance_chart(data), [*legend, ("", "lines: means of all pairs; dots: single images")]),
        Columns(
            [Heading("By angle", level=3), distance_table(candidate, data.candidate_name)],
            [Heading("By target gaze", level=3), angle_table(candidate, *names)],
        ),
    ]


def _intervals_text(candidate: EvaluationReport) -> str:
    units = "subjects" if len(candidate.subjects) > 1 else "the pairs of the only subject, so not for other people"
    unread = f"; it found no face in {candidate.num_unreadable} renderings, which are in no average"
    return (
        f"Means with {candidate.bootstrap.confidence:.0%} bootstrap intervals over {units}. Judge {candidate.judge_name} "
        f"({candidate.judge_digest}), used in no training{unread if candidate.num_unreadable else ''}."
    )


def _enhancements(rows: Sequence[tuple[str, str]]) -> list[Block]:
    if not rows:
        return []
    columns = [Column("component", numeric=False), Column("setting", numeric=False)]
    table = Table(columns, [(Cell(name, emphasis="strong"), detail) for name, detail in rows])
    return [Heading("Model and losses"), table]


def distance_chart(data: ReportData) -> str:
    """Error over the angle between original and target gaze; the identity baseline's error is that angle plus the judge's."""

    def line(name: str, report: EvaluationReport, metric: str, style: str) -> Series:
        known = [
            (row.moved_deg, getattr(row, metric).value)
            for row in report.by_distance
            if row.moved_deg is not None and getattr(row, metric).value is not None
        ]
        return Series(name, [x for x, _ in known], [y for _, y in known], style)

    lines = [line(data.candidate_name, data.candidate, "gaze_error_deg", "candidate")]
    if data.baseline:
        lines.append(line(data.baseline_name, data.baseline, "gaze_error_deg", "baseline"))
    lines.append(line(BASELINE_TITLES["copy"], data.candidate, "identity_copy_gaze_error_deg", "copy"))
    return line_chart(
        lines,
        "gaze error by angle between original and target gaze",
        "degrees between original and target gaze",
        "°",
        markers=True,
        size_px=(1120, 300),
        points=curve_points(data.images),
    )
