"""The report of a run: one self-contained HTML page, and the same facts as `report.json`."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gaze_core.artifacts import ArtifactRef
from gaze_core.evaluation.figures import Series, line_chart, short, standalone
from gaze_core.evaluation.intervals import Estimate
from gaze_core.evaluation.pictures import EYES_TITLE, Pictures, curve_points, picture_groups
from gaze_core.evaluation.report import Comparison, EvaluationReport
from gaze_core.evaluation.tables import (
    BESIDE,
    MINUS,
    absent_rows,
    check_rows,
    estimate_rows,
    interval,
    number,
    number_rows,
    published_rows,
)

PAGE_FILE, JSON_FILE = "report.html", "report.json"
Curve = tuple[Sequence[float], Sequence[float]]
"""Steps and values of one loss term."""


@dataclass(frozen=True)
class StageRow:
    """One stage of the run."""

    name: str
    cached: bool
    seconds: float
    digest: str = ""
    detail: str = ""  # for example "resumed from step 120"


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that a report shows; whatever is empty is left out of the page.

    Attributes:
        title: What was run, for example "Gaze redirection: synthetic_128".
        subtitle: Preset, device and date, in one line.
        candidate: Measurements of the trained model.
        pictures: Held-out heads of the candidate.
        seconds: Wall clock of the whole run.
        candidate_name, baseline_name: Column heads, for example "DiT renderer".
        baseline, comparison: The model to beat, measured on the same samples, and the verdict.
        baseline_pictures: The same heads by the baseline; only the reconstruction is shown.
        curves: Stage -> loss term -> (steps, values).
        enhancements: (name, detail) of what was active, with numbers, and of what was not.
        stages: In the order in which they ran.
        dropped: Reason -> number of frames that were left out.
        versions: Package -> version.
        digests: What -> digest: data, splits, configs, checkpoints, judge.
        artifacts: Role -> reference of the artifact, from which another command can go on.
        notes: Sentences that a reader must know, for example how labels were obtained.
    """

    title: str
    candidate: EvaluationReport
    pictures: Pictures
    seconds: float
    subtitle: str = ""
    candidate_name: str = "candidate"
    baseline_name: str = "baseline"
    baseline: EvaluationReport | None = None
    comparison: Comparison | None = None
    baseline_pictures: Pictures | None = None
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    enhancements: Sequence[tuple[str, str]] = ()
    stages: Sequence[StageRow] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, ArtifactRef] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """better, equal or regressed; "not compared" without a baseline."""
        return self.comparison.verdict if self.comparison else "not compared"


_VERDICT_WORDS = {
    "better": "Better than the baseline",
    "equal": "Equal to the baseline",
    "regressed": "Worse than the baseline",
    "not compared": "Not compared with a baseline",
}


def write_report(data: ReportData, out_dir: Path) -> tuple[Path, Path]:
    """Writes `report.html` and `report.json` to `out_dir` and returns their paths."""
    out_dir.mkdir(parents=True, exist_ok=True)
    page, facts = out_dir / PAGE_FILE, out_dir / JSON_FILE
    contents = {page: render_page(data), facts: json.dumps(report_facts(data), indent=1, allow_nan=False) + "\n"}
    for path, text in contents.items():  # both are made before either is written
        path.write_text(text, encoding="utf-8")
    return page, facts


def write_figures(data: ReportData, folder: Path) -> list[Path]:
    """The redirection curve as SVG and every number as CSV, for those who do not look at the page."""
    folder.mkdir(parents=True, exist_ok=True)
    style = (resources.files("gaze_core.evaluation") / "templates" / "figure.css").read_text(encoding="utf-8")
    curve, numbers = folder / "redirection_curve.svg", folder / "numbers.csv"
    curve.write_text(standalone(_moved_chart(data), style), encoding="utf-8")
    with numbers.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(estimate_rows(data.candidate))
    return [curve, numbers]


def report_facts(data: ReportData) -> dict[str, Any]:
    """The content of `report.json`. Numbers stand flat under stable keys; the baseline's under `baseline`."""
    candidate, baseline = data.candidate, data.baseline
    return {
        "title": data.title,
        "verdict": data.verdict,
        "seconds": round(data.seconds, 1),
        "num_samples": candidate.num_samples,
        "num_unreadable": candidate.num_unreadable,
        **candidate.numbers,
        "estimates": {row.name: _known(row.estimates) for row in candidate.rows},
        "protocol": candidate.protocol.model_dump(mode="json"),
        "checks": [check.model_dump(mode="json") for check in candidate.checks],
        "baseline": baseline and {"num_unreadable": baseline.num_unreadable, **baseline.numbers},
        "comparison": data.comparison and data.comparison.model_dump(mode="json"),
        "judge": {"name": candidate.judge_name, "digest": candidate.judge_digest},
        "instruments": candidate.instruments,
        "by_angle": [row.model_dump() for row in candidate.by_angle],
        "by_distance": [row.model_dump() for row in candidate.by_distance],
        "enhancements": [{"name": name, "detail": detail} for name, detail in data.enhancements],
        "stages": [asdict(stage) for stage in data.stages],
        "dropped": dict(data.dropped),
        "versions": dict(data.versions),
        "digests": dict(data.digests),
        "artifacts": {role: ref.model_dump(mode="json") for role, ref in data.artifacts.items()},
        "notes": list(data.notes),
    }


def _known(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: found.model_dump(mode="json") for name, found in estimates.items()}


def environment() -> Environment:
    """Where the templates are, and how they show numbers."""
    made = Environment(
        loader=PackageLoader("gaze_core.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "interval": interval, "duration": duration, "signed": signed_deg}
    return made


def render_page(data: ReportData) -> str:
    """The page as HTML. It asks for nothing outside itself and needs no script."""
    heads = picture_groups(data.pictures, data.baseline_pictures)
    return (
        environment()
        .get_template("report.html")
        .render(
            data=data,
            eyes_title=EYES_TITLE,
            candidate=data.candidate,
            baseline=data.baseline,
            verdict_words=_VERDICT_WORDS[data.verdict],
            heads=heads,
            columns=" ".join(f"{len(group)}fr" for title, group in heads[0] if title != EYES_TITLE) if heads else "1fr",
            bars=_bars(data),
            rows=number_rows(data.candidate, data.baseline),
            beside=list(BESIDE.values()),
            absent=absent_rows(data.candidate),
            checks=check_rows(data.candidate),
            published=published_rows(data.candidate, data.candidate_name),
            moved_chart=_moved_chart(data),
            curves={stage: _term_charts(terms) for stage, terms in data.curves.items()},
        )
    )


def _bars(data: ReportData) -> list[dict[str, Any]]:
    """Gaze errors on one scale, as shares of the largest."""
    candidate, baseline = data.candidate, data.baseline
    found = (
        ("judge on originals", candidate.estimate("gaze_error_deg", "floor"), "floor"),
        (data.candidate_name, candidate.estimate("gaze_error_deg"), "candidate"),
        (data.baseline_name, baseline.estimate("gaze_error_deg") if baseline else Estimate(), "baseline"),
        ("constant answer", candidate.estimate("gaze_error_deg", "constant"), "copy"),
        ("unchanged copy", candidate.estimate("gaze_error_deg", "copy"), "copy"),
    )
    known = [(name, one.value, interval(one, 1), style) for name, one, style in found if one.value is not None]
    largest = max((value for _, value, _, _ in known), default=0.0) or 1.0
    return [
        {"name": name, "value": value, "interval": between, "style": style, "percent": round(100 * value / largest, 1)}
        for name, value, between, style in known
    ]


def _moved_chart(data: ReportData) -> str:
    """Error against how far the gaze was moved; the copy's error is that distance, give or take the judge's own."""

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
    lines.append(line("unchanged copy", data.candidate, "identity_copy_gaze_error_deg", "copy"))
    return line_chart(
        lines,
        "gaze error by angle moved",
        "degrees moved",
        "°",
        markers=True,
        size_px=(1120, 300),
        points=curve_points(data.pictures),
    )


def _term_charts(terms: Mapping[str, Curve]) -> list[dict[str, str]]:
    charts = []
    for name, (steps, values) in terms.items():
        if len(values) > 0:
            change = f"{short(float(values[0]))} → {short(float(values[-1]))}"
            charts.append(
                {"name": name, "change": change, "svg": line_chart([Series(name, steps, values)], name, "step")}
            )
    return charts


def signed_deg(value: float) -> str:
    """Whole degrees with a sign; zero has none."""
    return f"{value:+.0f}°".replace("+0°", "0°").replace("-0°", "0°").replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds as 4.2 s, 42 s, 2 min 05 s or 1 h 02 min."""
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
