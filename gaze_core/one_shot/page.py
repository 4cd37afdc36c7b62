"""The report page of a one-shot run, from its evaluations and its comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gaze_core.evaluation.intervals import Estimate
from gaze_core.one_shot.report import CONDITIONS, OneShotComparison, OneShotEvaluation
from gaze_core.preprocess.images import read_image
from gaze_core.reports.blocks import (
    Alarm,
    Block,
    Cell,
    Column,
    Facts,
    Heading,
    Headline,
    Headlines,
    ImageGroup,
    ImageStrip,
    Table,
)
from gaze_core.reports.curves import Curve, curve_blocks
from gaze_core.reports.images import jpeg_data_uri
from gaze_core.reports.page import Page, Verdict
from gaze_core.reports.sources import Sources
from gaze_core.reports.text import number

_ROWS = (
    ("recorded picture (the judge's own error)", "truth"), ("autoencoder alone", "autoencoder"),
    ("do nothing: the reference as it is", "do nothing"),
)  # fmt: skip


@dataclass(frozen=True)
class OneShotReportData:
    """Everything that the page shows. Evaluations by name: before, after, single image, other before, other after."""

    evaluations: Mapping[str, OneShotEvaluation]
    comparison: OneShotComparison
    person_facts: Mapping[str, str]
    strategies: Mapping[str, OneShotEvaluation]  # by strategy
    sample_counts: Mapping[int, OneShotEvaluation]
    pictures: Mapping[str, Path]  # name -> folder of a fetched evaluation
    curves: Mapping[str, Mapping[str, Curve]]
    sources: Sources
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def faults(self) -> tuple[str, ...]:
        """What makes the result doubtful."""
        found = []
        ratio = self.comparison.gaze_ratio
        if ratio is not None and ratio < 2:
            found.append(
                f"told a constant gaze, the judged error is only {ratio:.1f} times as large: the model hardly follows the gaze"
            )
        gain = self.comparison.other_gains.get("eye_psnr_db")
        if gain is not None and gain.verdict == "improved":
            found.append(
                f"somebody else's eyes became better, too ({gain.value:+.2f} dB): adapting was not to this person"
            )
        return tuple(found)


_DIGITS = {"eye_psnr_db": 2, "mask_l1": 4, "gaze_error_deg": 2, "gaze_from_recorded_deg": 2, "identity": 3}


def one_shot_page(data: OneShotReportData) -> Page:
    """The page."""
    after, before = data.evaluations["after"], data.evaluations["before"]
    verdict = Verdict(data.comparison.verdict, data.comparison.verdict, "; ".join(data.comparison.reasons))
    blocks: list[Block] = []
    if data.faults:
        blocks.append(Alarm("Read the numbers with care", list(data.faults)))
    blocks += [_headlines(before, after), Heading("The person"), Facts(dict(data.person_facts))]
    blocks += _examples(data)
    blocks += [Heading("Before and after", _intro(after)), _table(data)]
    if len(data.strategies) > 1:
        blocks += [Heading("Strategies"), _rows_table("strategy", {n: e for n, e in data.strategies.items()})]
    if len(data.sample_counts) > 1:
        counts = {str(count): one for count, one in sorted(data.sample_counts.items())}
        blocks += [Heading("Numbers of samples"), _rows_table("samples", counts)]
    if "single image" in data.evaluations:
        blocks += [Heading("One picture or several samples"), _modes(data)]
    blocks += _sweep(data)
    blocks += curve_blocks(data.curves)
    blocks += data.sources.blocks()
    return Page(f"One-shot: person {after.person}", "A latent redirector, adapted to one person", verdict, blocks)


def _headlines(before: OneShotEvaluation, after: OneShotEvaluation) -> Headlines:
    def text(metric: str) -> tuple[str, str]:
        old, new = before.mean("model", metric), after.mean("model", metric)
        return number(new), f"{number(old)} before adapting"

    psnr, gaze, floor = text("eye_psnr_db"), text("gaze_error_deg"), number(after.mean("truth", "gaze_error_deg"))
    return Headlines([
        Headline("Eyes", psnr[0], "dB", psnr[1]),
        Headline("Judged gaze error", gaze[0], "°", f"{gaze[1]}; the judge itself: {floor}°"),
    ])  # fmt: skip


def _intro(after: OneShotEvaluation) -> str:
    absent = f" Identity: {after.identity_absent}." if after.identity_absent else ""
    return (
        f"{len(after.rows)} test samples of the person, none of which adapted or validated. Judge: {after.judge}, less its "
        f"mean error for this person on other recorded samples ({after.judge_bias_deg[0]:+.1f}, "
        f"{after.judge_bias_deg[1]:+.1f} degrees pitch, yaw). "
        "Its error on a picture stands in every judged error, but not in the angle to what it reads in the recorded picture "
        "of the same sample. Below each number its 95 % interval. Outside the mask the largest change is "
        f"{after.outside_changed:g} of 255.{absent}"
    )


_COLUMNS = [
    Column("", numeric=False), Column("eye PSNR, dB"), Column("L1 in the mask"), Column("judged gaze error, °"),
    Column("judged gaze from the recorded picture's, °"), Column("identity"),
]  # fmt: skip


def _table(data: OneShotReportData) -> Table:
    names = {"before": "unadapted", "after": "adapted", "other before": "somebody else, unadapted",
             "other after": "somebody else, adapted to the person"}  # fmt: skip
    rows = [_row(text, data.evaluations[name], "model") for name, text in names.items() if name in data.evaluations]
    after = data.evaluations["after"]
    rows.append(_row(f"adapted: {CONDITIONS['constant gaze'].removeprefix('the model, ')}", after, "constant gaze"))
    rows += [_row(text, after, condition) for text, condition in _ROWS]
    return Table(_COLUMNS, rows)


def _rows_table(title: str, rows: Mapping[str, OneShotEvaluation]) -> Table:
    columns = [Column(title, numeric=False), *_COLUMNS[1:], Column("trained parameters")]
    return Table(
        columns, [[*_row(name, one, "model"), f"{one.trained_parameters or 0:,}"] for name, one in rows.items()]
    )


def _modes(data: OneShotReportData) -> Table:
    single, several = data.evaluations["single image"], data.evaluations["after"]
    columns = [Column("", numeric=False), Column("single image", numeric=False), Column("GazeCapture", numeric=False)]

    def pair(metric: str) -> list[Cell]:
        return [
            Cell(number(e.mean("model", metric)), _interval(e.estimate("model", metric))) for e in (single, several)
        ]

    return Table(columns, [
        ["data", "one picture, its eyes masked", f"{several.num_adapt} samples, in pairs"],
        ["eye PSNR, dB", *pair("eye_psnr_db")],
        ["judged gaze error, °", *pair("gaze_error_deg")],
        ["judged gaze from the recorded picture's, °", *pair("gaze_from_recorded_deg")],
        ["spread of the eye PSNR over test samples, dB", *(number(_spread(e)) for e in (single, several))],
    ])  # fmt: skip


def _spread(evaluation: OneShotEvaluation) -> float:
    from statistics import pstdev

    return pstdev([value for value in evaluation.measured["model"].eye_psnr_db if value is not None] or [0.0])


def _row(name: str, evaluation: OneShotEvaluation, condition: str) -> list[Cell | str]:
    cells: list[Cell | str] = [name]
    for metric, digits in (
        ("eye_psnr_db", 2),
        ("mask_l1", 4),
        ("gaze_error_deg", 2),
        ("gaze_from_recorded_deg", 2),
        ("identity", 3),
    ):
        found = evaluation.estimate(condition, metric)
        cells.append(Cell(number(found.value, digits), _interval(found, digits)))
    return cells


def _interval(found: Estimate, digits: int = 2) -> str:
    if found.low is None or found.high is None:
        return ""
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def _examples(data: OneShotReportData) -> list[Block]:
    blocks: list[Block] = [
        Heading(
            "Test samples", "Each row: the reference, the recorded picture, the reference's person looking as recorded."
        )
    ]
    for name in ("before", "after"):
        files = sorted((data.pictures[name] / "examples").glob("*.png"))[:4]
        images = [
            (f"{name} adapting" if not index else "", jpeg_data_uri(read_image(file)))
            for index, file in enumerate(files)
        ]
        blocks.append(ImageStrip([ImageGroup(f"{name} adapting", images)]))
    return blocks


def _sweep(data: OneShotReportData) -> list[Block]:
    rows = data.evaluations["after"].sweep
    files = [data.pictures["after"] / "sweep" / f"{index}.png" for index in range(len(rows))]
    groups = []
    for start in range(0, len(rows), 3):
        images = []
        for row, file in zip(rows[start : start + 3], files[start : start + 3], strict=True):
            read = "not read" if row.read_deg is None else f"read {row.read_deg[0]:.0f}, {row.read_deg[1]:.0f}"
            images.append(
                (f"asked {row.asked_deg[0]:.0f}, {row.asked_deg[1]:.0f}; {read}", jpeg_data_uri(read_image(file)))
            )
        groups.append(ImageGroup("", images, is_row=True))
    return [
        Heading("Nine gazes", "One test sample, asked for and read by the judge: pitch, yaw in degrees."),
        ImageStrip(groups),
    ]
