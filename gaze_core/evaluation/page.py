"""The report of a run: one self-contained HTML page, and the same facts as `report.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from gaze_core.evaluation.figures import Mark, Series, line_chart, png_data_uri, scale_bar, short
from gaze_core.evaluation.report import Comparison, EvaluationReport

PAGE_FILE, JSON_FILE = "report.html", "report.json"
Curve = tuple[Sequence[float], Sequence[float]]
"""Steps and values of one loss term."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """uint8 RGB pictures of n held-out heads: as recorded, as drawn, and drawn at each asked gaze and head pose.

    The labels name the second axis of `gazes` and of `poses`.
    """

    original: np.ndarray  # [n, h, w, 3]
    reconstruction: np.ndarray  # [n, h, w, 3]
    gazes: np.ndarray  # [n, g, h, w, 3]
    poses: np.ndarray  # [n, p, h, w, 3]
    gaze_labels: Sequence[str]
    pose_labels: Sequence[str]

    @classmethod
    def load(cls, path: Path) -> "Pictures":
        """Reads the npz that the evaluate stage writes: the arrays, and `labels` as JSON {"gazes": [], "poses": []}."""
        with np.load(path, allow_pickle=False) as file:
            labels = json.loads(str(file["labels"]))
            arrays = {name: file[name] for name in ("original", "reconstruction", "gazes", "poses")}
        return cls(**arrays, gaze_labels=labels["gazes"], pose_labels=labels["poses"])


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
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        """better, equal or regressed; "not compared" without a baseline."""
        return self.comparison.verdict if self.comparison else "not compared"


# name, what it says, unit, which way is better, name of the number of an unchanged copy, and of the judge's floor
_ROWS = (
    (
        "gaze_error_deg",
        "Gaze error, redirected",
        "°",
        "lower",
        "identity_copy_gaze_error_deg",
        "estimator_floor_deg",
    ),
    ("self_gaze_error_deg", "Gaze error, self-driving", "°", "lower", "", "estimator_floor_deg"),
    ("gaze_error_vs_original_deg", "Gaze read in drawn against original", "°", "lower", "", ""),
    (
        "head_error_deg",
        "Head direction error, redirected",
        "°",
        "lower",
        "identity_copy_head_error_deg",
        "head_floor_deg",
    ),
    ("psnr_db", "PSNR, whole image", "dB", "higher", "", ""),
    ("head_psnr_db", "PSNR, head only", "dB", "higher", "", ""),
    ("eyes_psnr_db", "PSNR, eyes only", "dB", "higher", "", ""),
    ("ssim", "SSIM, whole image", "", "higher", "", ""),
)


def write_report(data: ReportData, out_dir: Path) -> tuple[Path, Path]:
    """Writes `report.html` and `report.json` to `out_dir` and returns their paths."""
    out_dir.mkdir(parents=True, exist_ok=True)
    page, facts = out_dir / PAGE_FILE, out_dir / JSON_FILE
    facts.write_text(json.dumps(report_facts(data), indent=1, allow_nan=False) + "\n")
    page.write_text(render_page(data))
    return page, facts


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
        "baseline": baseline and {"num_unreadable": baseline.num_unreadable, **baseline.numbers},
        "comparison": data.comparison and data.comparison.model_dump(mode="json"),
        "judge": {"name": candidate.judge_name, "digest": candidate.judge_digest},
        "by_angle": [row.model_dump() for row in candidate.by_angle],
        "by_distance": [row.model_dump() for row in candidate.by_distance],
        "enhancements": [{"name": name, "detail": detail} for name, detail in data.enhancements],
        "stages": [asdict(stage) for stage in data.stages],
        "dropped": dict(data.dropped),
        "versions": dict(data.versions),
        "digests": dict(data.digests),
        "notes": list(data.notes),
    }


def render_page(data: ReportData) -> str:
    """The page as HTML. It asks for nothing outside itself and needs no script."""
    environment = Environment(
        loader=PackageLoader("gaze_core.evaluation", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    environment.filters["duration"] = _duration
    return environment.get_template("report.html").render(
        data=data,
        candidate=data.candidate,
        baseline=data.baseline,
        heads=_heads(data),
        scale=_scale(data),
        rows=_rows(data),
        moved_chart=_moved_chart(data),
        curves={stage: _term_charts(terms) for stage, terms in data.curves.items()},
    )


def _heads(data: ReportData) -> list[dict[str, Any]]:
    """Three groups of captioned pictures for each head."""
    pictures = data.pictures
    heads = []
    for n in range(len(pictures.original)):
        recorded = [("original", pictures.original[n]), ("drawn", pictures.reconstruction[n])]
        if data.baseline_pictures:
            recorded.append(("baseline", data.baseline_pictures.reconstruction[n]))
        groups = {
            "recorded": recorded,
            "gaze": zip([_bare(label) for label in pictures.gaze_labels], pictures.gazes[n], strict=True),
            "head": zip([_bare(label) for label in pictures.pose_labels], pictures.poses[n], strict=True),
        }
        heads.append(
            {name: [(label, png_data_uri(image)) for label, image in group] for name, group in groups.items()}
        )
    return heads


def _bare(label: str) -> str:
    """The label without the word that the group's own title says."""
    return label.removeprefix("gaze ").removeprefix("head ")


def _scale(data: ReportData) -> str:
    candidate, baseline = data.candidate, data.baseline
    values = (
        ("judge floor", candidate.estimator_floor_deg, "floor"),
        (data.candidate_name, candidate.gaze_error_deg, "candidate"),
        (data.baseline_name, baseline and baseline.gaze_error_deg, "baseline"),
        ("unchanged copy", candidate.identity_copy_gaze_error_deg, "copy"),
    )
    marks = [Mark(name, value, style) for name, value, style in values if value is not None]
    return scale_bar(marks, "°") if marks else ""


def _rows(data: ReportData) -> list[dict[str, Any]]:
    numbers, others = data.candidate.numbers, data.baseline.numbers if data.baseline else {}
    rows = []
    for name, meaning, unit, better, copy, floor in _ROWS:
        row = {
            "key": name,
            "meaning": meaning,
            "unit": unit,
            "better": better,
            "digits": 3 if name == "ssim" else 2,
        }
        row |= {"candidate": numbers[name], "baseline": others.get(name)}
        row |= {"copy": numbers[copy] if copy else None, "floor": numbers[floor] if floor else None}
        rows.append(row)
    return rows


def _moved_chart(data: ReportData) -> str:
    """Error against how far the gaze was moved; the copy's error is the distance itself plus the judge's."""
    lines = []
    sources = [
        (data.candidate_name, data.candidate, "candidate"),
        (data.baseline_name, data.baseline, "baseline"),
    ]
    for name, report, style in sources:
        if report:
            rows = [row for row in report.by_distance if row.gaze_error_deg is not None]
            lines.append(Series(name, [_middle(row.low_deg, row.high_deg) for row in rows],
                                [row.gaze_error_deg or 0.0 for row in rows], style))  # fmt: skip
    rows = [row for row in data.candidate.by_distance if row.identity_copy_gaze_error_deg is not None]
    lines.append(Series("unchanged copy", [_middle(row.low_deg, row.high_deg) for row in rows],
                        [row.identity_copy_gaze_error_deg or 0.0 for row in rows], "copy"))  # fmt: skip
    return line_chart(
        lines, "gaze error against the angle moved", "degrees moved from the original gaze", "°", markers=True
    )


def _middle(low_deg: float, high_deg: float) -> float:
    return (low_deg + min(high_deg, low_deg + 15)) / 2  # the last bin is open


def _term_charts(terms: Mapping[str, Curve]) -> list[dict[str, str]]:
    charts = []
    for name, (steps, values) in terms.items():
        if len(values) == 0:
            continue
        change = f"{short(float(values[0]))} → {short(float(values[-1]))}"
        charts.append(
            {"name": name, "change": change, "svg": line_chart([Series(name, steps, values)], name, "step")}
        )
    return charts


def _duration(seconds: float) -> str:
    """Seconds as 4 s, 2 min 05 s or 1 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
