"""The report of gaze estimators on unseen people as one page: verdict, checks, errors with intervals, groups, pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gaze_core.estimation.pictures import LEGEND
from gaze_core.estimation.report import (
    MEASURES,
    ROWS,
    EstimationComparison,
    EstimationEvaluation,
    Row,
    RowName,
)
from gaze_core.reports.blocks import (
    Alarm,
    Bar,
    Bars,
    Block,
    Cell,
    Chart,
    CheckRow,
    Checks,
    Column,
    Fold,
    Heading,
    Headline,
    Headlines,
    ImageStrip,
    Notes,
    Style,
    Table,
)
from gaze_core.reports.charts import Series, line_chart
from gaze_core.reports.curves import Curve, curve_blocks
from gaze_core.reports.page import Page, Verdict
from gaze_core.reports.sources import Sources
from gaze_core.reports.text import counted, duration, interval, number

_TITLES = {
    "all": "all frames", "fixation": "fixations", "saccade": "saccades", "pursuit": "pursuit", "jitter": "jitter",
    "pog_cm": "on the screen", "pog_px": "in pixels",
}  # fmt: skip
_STYLES: Mapping[RowName, Style] = {"temporal": "candidate", "single frame": "baseline"}
_GROUPS = ("stimulus", "camera", "gaze angle", "head angle", "participant")
_GROUP_ROWS: tuple[RowName, ...] = ("single frame", "temporal")


@dataclass(frozen=True, eq=False)
class EstimationReportData:
    """The content of the report."""

    title: str
    subtitle: str
    evaluation: EstimationEvaluation
    comparison: EstimationComparison
    seconds: float
    warnings: Sequence[str] = ()  # on the data, such as recordings that could not be converted
    notes: Sequence[str] = ()
    examples: Sequence[ImageStrip] = ()
    epochs: Sequence[ImageStrip] = ()  # the same validation frames after each epoch
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    sources: Sources = Sources()


def estimation_page(data: EstimationReportData) -> Page:
    """The page, from the verdict to the sources."""
    found, comparison = data.evaluation, data.comparison
    words = {"better": "Better than", "equal": "Equal to", "regressed": "Worse than"}[comparison.verdict]
    rival = "its single frame" if comparison.against == "single frame" else "the champion"
    basis = (
        f"{counted(len(found.participants), 'person')} whom no training has seen, "
        f"{counted(found.num_recordings, 'recording')}, "
        f"{counted(found.num_frames, 'frame')} at {found.rate_hz:g} Hz"
    ).replace("persons", "people")
    faults = found.faults
    return Page(
        title=data.title,
        subtitle=f"{data.subtitle} · {duration(data.seconds)} in all",
        verdict=Verdict(comparison.verdict, f"The temporal model: {words} {rival}", basis),
        blocks=[
            *([Alarm("Do not trust these numbers.", faults)] if faults else []),
            *([Alarm("Warnings", data.warnings, "warning")] if data.warnings else []),
            *_summary(data),
            *([Heading("Example frames", LEGEND.capitalize() + "."), *data.examples] if data.examples else []),
            Heading("Checks", "A mirrored or swapped convention can hide in an average."),
            Checks([CheckRow(c.mark, c.question, c.answer, c.note) for c in found.checks]),
            *_errors(found),
            *_positions(found),
            *_calibration(found),
            *_groups(found),
            *_epochs(data),
            *curve_blocks(data.curves),
            Heading("Data"),
            Notes([*found.notes, *data.notes] or ["Recordings of people before a screen."]),
            *data.sources.blocks(),
        ],
    )


def _summary(data: EstimationReportData) -> list[Block]:
    rows = data.evaluation.rows
    headlines = [
        Headline(
            f"{_TITLES[name]}, temporal",
            number(own.value),
            "°",
            f"{interval(own)}; single frame {number(single.value)}°",
        )
        for name in ("all", "fixation", "saccade")
        if (own := rows["temporal"].measures[name]).value is not None
        for single in [rows["single frame"].measures[name]]
    ]
    bars = []
    for name in reversed(ROWS):
        if name in rows:
            own = rows[name].measures["all"]
            bars.append(Bar(name, own.value, f"{number(own.value)}°", interval(own), _STYLES.get(name, "copy")))
    is_open = data.comparison.verdict != "better"
    return [
        Headlines(headlines),
        Bars("Mean angular errors on one scale", bars),
        Fold("Against each", [Notes(data.comparison.reasons)], is_open=is_open),
    ]


def _errors(found: EstimationEvaluation) -> list[Block]:
    intro = (
        f"Means over people with {found.bootstrap.confidence:.0%} intervals of a bootstrap over people; angular errors in "
        "degrees. Jitter: how far the gaze moves between two frames of a fixation beyond the eye's own movement. Filters "
        "and the temporal model see the same frames."
    )
    columns = [Column("prediction"), *(Column(_TITLES[name]) for name in MEASURES)]
    rows = [_error_row(name, found.rows[name]) for name in ROWS if name in found.rows]
    blocks: list[Block] = [Heading("Errors", intro), Table(columns, rows)]
    notes = [f"{name}: {row.note}." for name, row in found.rows.items() if row.note]
    notes += [f"{name}: not computed, {reason}." for name, reason in found.absent.items()]
    return [*blocks, Notes(notes)] if notes else blocks


def _error_row(name: RowName, row: Row) -> list[Cell]:
    cells = [Cell(name)]
    for measure, unit in MEASURES.items():
        own = row.measures[measure]
        digits = 0 if measure == "pog_px" else 2
        short = {"°": "°", "cm": " cm"}.get(unit, "°" if measure == "jitter" else "")
        text = number(own.value, digits) + (short if own.value is not None else "")
        cells.append(Cell(text, interval(own, digits), "strong" if name == "temporal" else "", hint=own.absent))
    return cells


def _positions(found: EstimationEvaluation) -> list[Block]:
    """Error by the number of earlier frames that the head has seen."""
    if not found.position_deg:
        return []
    seen = list(range(len(found.position_deg)))
    series = [
        Series("temporal", seen, found.position_deg, "candidate"),
        Series("single frame", seen, found.position_single_deg, "baseline"),
    ]
    title = "Error by position in the clip"
    chart = line_chart(series, title, "earlier frames seen", "°", markers=True, size_px=(560, 220))
    legend = [("candidate", "temporal"), ("baseline", "single frame, same frames")]
    return [Heading(title, "All full clips; each position has frames of its own.", level=3), Chart(chart, legend)]


def _calibration(found: EstimationEvaluation) -> list[Block]:
    counts = sorted({row.count for row in found.calibration})
    if not counts:
        return []
    by_key = {(row.row, row.method, row.count): row for row in found.calibration}
    rows = []
    for name in ROWS:
        if name in found.rows:
            for method in ("bias", "affine"):
                cells = [by_key.get((name, method, count)) for count in counts]  # type: ignore[arg-type]
                plain = found.rows[name].measures["all"].value
                rows.append([
                    Cell(f"{name}, {method}"), Cell(f"{number(plain)}°"),
                    *(Cell(f"{number(c.error.value)}°", interval(c.error), hint=f"worst draw {number(c.worst_draw_deg)}°")
                      if c else Cell("–") for c in cells),
                ])  # fmt: skip
    columns = [Column("correction"), Column("none"), *(Column(counted(count, "sample")) for count in counts)]
    intro = (
        "Each person's gaze corrected by a constant (bias) or a linear map (affine) that is fitted to random samples of this "
        "person; mean over draws and people, measured on the other frames."
    )
    return [Heading("Calibration for a person", intro), Table(columns, rows)]


def _groups(found: EstimationEvaluation) -> list[Block]:
    blocks: list[Block] = [Heading("Errors by group", "Mean angular errors of all frames of a group.")]
    shown = [name for name in _GROUP_ROWS if name in found.rows]
    for what in _GROUPS:
        names = list(found.rows["temporal"].groups.get(what, {}))
        if not names:
            continue
        columns = [Column(what), *(Column(name) for name in shown)]
        rows = [
            [Cell(name), *(Cell(f"{number(found.rows[row].groups[what].get(name))}°") for row in shown)]
            for name in names
        ]
        table = Table(columns, rows)
        blocks.append(Fold(f"By {what}", [table], is_open=len(names) <= 8))
    return blocks


def _epochs(data: EstimationReportData) -> list[Block]:
    if not data.epochs:
        return []
    intro = f"The same frames of validation participants, read by the single-frame model. {LEGEND.capitalize()}."
    return [Heading("Predictions after each epoch", intro), *data.epochs]
