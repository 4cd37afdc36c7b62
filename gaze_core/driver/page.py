"""The report of a driver run as one page: verdict, checks, errors with intervals, curves, example frames, sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gaze_core.driver.checks import driver_checks, faults
from gaze_core.driver.groups import GroupErrors, angular_errors_deg, by_scenario, by_zone
from gaze_core.driver.overlays import BEFORE, PREDICTED, TRUE, driver_view, label_in_camera
from gaze_core.driver.predictions import Drive
from gaze_core.driver.record import DriveRecord
from gaze_core.driver.report import BASELINES, METRICS, DriverComparison, DriverEvaluation, Errors
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
    Fold,
    Heading,
    Headline,
    Headlines,
    ImageGroup,
    ImageStrip,
    Notes,
    Table,
)
from gaze_core.reports.charts import Series, line_chart
from gaze_core.reports.curves import Curve, curve_blocks
from gaze_core.reports.images import jpeg_data_uri
from gaze_core.reports.page import Page, Verdict
from gaze_core.reports.sources import Sources
from gaze_core.reports.text import counted, duration, interval, number
from gaze_core.sampling import evenly_spaced

_WORDS: Mapping[str, str] = {
    "better": "Better than before fine-tuning",
    "equal": "Equal to before fine-tuning",
    "regressed": "Worse than before fine-tuning",
}
_TITLES = dict(zip(METRICS, ("Azimuth", "Elevation", "Angle"), strict=True))
_NUM_EXAMPLES = 4
LEGEND = "green: eye tracker; orange: after fine-tuning; gray: before"


@dataclass(frozen=True, eq=False)
class DriverReportData:
    """The content of the report of a driver run."""

    record: DriveRecord
    before: DriverEvaluation
    after: DriverEvaluation
    comparison: DriverComparison
    seconds: float
    provenance: Sequence[str]  # sentences on frames, table and mount
    examples: Sequence[ImageStrip] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    sources: Sources = Sources()

    @property
    def faults(self) -> tuple[str, ...]:
        """Descriptions of the failed checks."""
        return faults(driver_checks(self.record, self.after, self.comparison))


def driver_page(data: DriverReportData) -> Page:
    """The page, from the verdict to the sources."""
    after, comparison = data.after, data.comparison
    beats = "beats every baseline" if comparison.beats_all else "does not beat every baseline"
    basis = (
        f"{beats} · {counted(after.num_test, 'test frame')} in held-out blocks of time, "
        f"{counted(after.num_train, 'training frame')} · one drive, one driver"
    )
    checks = driver_checks(data.record, after, comparison)
    intro = "Held-out frames with the gaze from between the eyes. " + LEGEND.capitalize() + "."
    return Page(
        title=f"Driver gaze: {data.record.name}",
        subtitle=f"{duration(data.seconds)} in all",
        verdict=Verdict(comparison.verdict, _WORDS[comparison.verdict], basis),
        blocks=[
            *([Alarm("Do not trust these numbers.", data.faults)] if data.faults else []),
            *([Alarm("Warnings", data.record.warnings, "warning")] if data.record.warnings else []),
            *_summary(data),
            *([Heading("Example frames", intro), *data.examples] if data.examples else []),
            Heading("Checks", "A mirrored or swapped convention can hide in an average."),
            Checks(checks),
            *_errors(data),
            *_groups(data),
            *curve_blocks({"fine-tuning": data.curves}),
            Heading("Data"),
            Notes(data.provenance),
            *data.sources.blocks(),
        ],
    )


def _summary(data: DriverReportData) -> list[Block]:
    """The three errors after fine-tuning, and the angular errors of all predictors on one scale."""
    headlines = []
    for metric, title in _TITLES.items():
        old, new = (getattr(one.errors["model"], metric) for one in (data.before, data.after))
        headlines.append(
            Headline(
                f"{title} error after fine-tuning",
                number(new.mean),
                "°",
                f"{interval(new)}; before {number(old.mean)}°, {_change(data.comparison.reduction[metric])}",
            )
        )
    bars = [
        Bar(name, errors.angular_deg.mean, f"{number(errors.angular_deg.mean)}°", interval(errors.angular_deg), style)
        for name, errors, style in _predictors(data)
    ]
    why = Fold("Against each", [Notes(data.comparison.reasons)], is_open=data.comparison.verdict != "better")
    return [Headlines(headlines), Bars("Mean angular errors on one scale", bars), why]


def _change(reduction: float) -> str:
    return f"{abs(reduction):.0%} {'less' if reduction >= 0 else 'more'}"


def _predictors(data: DriverReportData):  # type: ignore[no-untyped-def]
    """Name, errors and colour of each predictor."""
    yield "after fine-tuning", data.after.errors["model"], "candidate"
    yield "before fine-tuning", data.before.errors["model"], "baseline"
    for name in BASELINES:
        title = f"before, {name} corrected" if name in ("bias", "affine") else f"{name} baseline"
        yield title, data.before.errors[name], "copy"


def _errors(data: DriverReportData) -> list[Block]:
    confidence = f"{data.after.intervals.confidence:.0%}"
    intro = (
        f"Mean absolute errors in degrees in the tracker's frame, with {confidence} intervals of a bootstrap over blocks of "
        "time. The constant and head-pose baselines and the corrections were fitted to the training blocks."
    )
    rows = [_error_row(name, errors, style == "candidate") for name, errors, style in _predictors(data)]
    columns = [Column("prediction"), *(Column(title) for title in _TITLES.values())]
    few = [
        (str(row.count), row.method, f"{number(row.angular_deg)}°", f"{number(row.worst_draw_deg)}°")
        for row in data.before.few_shot
    ]
    few_columns = [Column("frames"), Column("correction", numeric=False), Column("mean angle"), Column("worst draw")]
    blocks: list[Block] = [Heading("Errors", intro), Table(columns, rows)]
    if few:
        title = "A correction from a few frames instead of fine-tuning"
        blocks += [Heading(title, level=3), Table(few_columns, few)]
    return [*blocks, *_error_charts(data)]


def _error_row(name: str, errors: Errors, is_ours: bool) -> list[Cell]:
    cells = [getattr(errors, metric) for metric in METRICS]
    return [
        Cell(name),
        *(Cell(f"{number(one.mean)}°", interval(one), "strong" if is_ours else "") for one in cells),
    ]


def _error_charts(data: DriverReportData) -> list[Block]:
    """Angular errors over time, and the share of frames below each error."""
    named = (("after fine-tuning", data.after, "candidate"), ("before fine-tuning", data.before, "baseline"))
    over_time, shares = [], []
    for name, evaluation, style in named:
        errors, times_s = angular_errors_deg(evaluation), np.array(evaluation.times_s)
        block = np.unique(np.floor(times_s / evaluation.intervals.block_s), return_inverse=True)[1]
        means = [np.bincount(block, values) / np.bincount(block) for values in (times_s, errors)]
        over_time.append(Series(name, means[0].tolist(), means[1].tolist(), style))
        share = 100 * np.arange(1, len(errors) + 1) / len(errors)
        shares.append(Series(name, np.sort(errors).tolist(), share.tolist(), style))
    legend = [(style, name) for name, _, style in named]
    size = (560, 240)
    time_title = f"Error over time, means of {data.after.intervals.block_s:g} s"
    return [
        Columns(
            [Heading(time_title, level=3),
             Chart(line_chart(over_time, time_title, "time in s", "°", markers=True, size_px=size), legend)],
            [Heading("Share of frames below an error", level=3),
             Chart(line_chart(shares, "share of frames", "angular error in degrees", "%", size_px=size, linear=True),
                   legend)],
        )
    ]  # fmt: skip


def _groups(data: DriverReportData) -> list[Block]:
    intro = (
        "Mean angular errors with the same intervals; a change is one whose whole interval lies on one side of zero."
    )
    return [
        Heading("Errors by scenario and by gaze zone", intro),
        Heading("Scenario", level=3),
        _group_table("scenario", by_scenario(data.record, data.before, data.after)),
        Heading("True gaze", level=3),
        _group_table("zone", by_zone(data.before, data.after)),
    ]


def _group_table(title: str, groups: Sequence[GroupErrors]) -> Table:
    columns = [Column(title), Column("before"), Column("after"), Column("change", numeric=False), Column("frames")]
    rows = [
        (
            group.name,
            Cell(f"{number(group.before.value)}°", interval(group.before)),
            Cell(f"{number(group.after.value)}°", interval(group.after), "strong"),
            group.verdict,
            Cell(str(group.after.num_samples), emphasis="soft"),
        )
        for group in groups
    ]
    return Table(columns, rows)


def example_frames(folder: Path, before: DriverEvaluation, after: DriverEvaluation) -> list[ImageStrip]:
    """Evenly spaced test frames of the extracted drive in `folder`, and those with the largest errors, with gaze arrows."""
    drive, errors = Drive.open(folder), angular_errors_deg(after)
    spread = evenly_spaced(len(errors), _NUM_EXAMPLES)
    largest = np.argsort(-errors)[:_NUM_EXAMPLES].tolist()
    return [
        ImageStrip([ImageGroup(title, [_example(drive, before, after, n) for n in chosen])])
        for title, chosen in (("Evenly spread", spread), ("Largest errors after fine-tuning", largest))
    ]


def _example(drive: Drive, before: DriverEvaluation, after: DriverEvaluation, number_: int) -> tuple[str, str]:
    position = after.positions[number_]
    angles_deg = (before.predicted["model"][number_], after.predicted["model"][number_], after.truth[number_])
    arrows = [
        (label_in_camera(drive, np.deg2rad([angle]), [position])[0], color)
        for angle, color in zip(angles_deg, (BEFORE, PREDICTED, TRUE), strict=True)
    ]
    frame = drive.record.frames[position]
    old, new = (angular_errors_deg(evaluation)[number_] for evaluation in (before, after))
    caption = f"{frame.time_s:.1f} s, {frame.scenario}: {number(old, 1)}° before, {number(new, 1)}° after"
    return caption, jpeg_data_uri(driver_view(drive, position, arrows))
