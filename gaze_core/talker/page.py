"""The report of a talking head as one page: verdict, film, checks, numbers by region, mouth, eyes, published tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gaze_core.preprocess.images import read_image
from gaze_core.reports.blocks import (
    Alarm,
    Block,
    Cell,
    CheckRow,
    Checks,
    Column,
    Heading,
    Headline,
    Headlines,
    ImageGroup,
    ImageStrip,
    Notes,
    Table,
    Text,
)
from gaze_core.reports.curves import Curve, curve_blocks
from gaze_core.reports.images import jpeg_data_uri
from gaze_core.reports.page import Page, Verdict
from gaze_core.reports.sources import Sources
from gaze_core.reports.text import counted, duration, interval, number
from gaze_core.talker.page_parts import eyes_blocks, mouth_blocks, published_blocks
from gaze_core.talker.report import CONDITIONS, METRICS, MODEL, TalkerComparison, TalkerEvaluation
from gaze_core.talker.series import Series

_ROWS = ("recorded", "the model", "other sound", "nearest training frame")


@dataclass(frozen=True, eq=False)
class TalkerReportData:
    """The content of the report. `pictures` is the folder of the evaluation, `previews` those of training, by stage."""

    title: str
    subtitle: str
    evaluation: TalkerEvaluation
    comparison: TalkerComparison
    seconds: float
    pictures: Path
    series: Series
    film: str = ""  # name of the film beside the page
    previews: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    sources: Sources = Sources()


def talker_page(data: TalkerReportData) -> Page:
    """The page, from the verdict to the sources."""
    found, comparison = data.evaluation, data.comparison
    words = {"better": "Better than", "equal": "Equal to", "regressed": "Worse than"}[comparison.verdict]
    rival = "the champion" if comparison.against == "baseline" else "the nearest training frame"
    basis = f"{counted(len(found.frames), 'frame')} of held-out time, {number(len(found.frames) / 25, 1)} s"
    return Page(
        title=data.title,
        subtitle=f"{data.subtitle} · {duration(data.seconds)} in all",
        verdict=Verdict(comparison.verdict, f"{words} {rival}", basis),
        blocks=[
            *([Alarm("Do not trust these numbers.", found.faults)] if found.faults else []),
            *([Alarm("Warnings", data.warnings, "warning")] if data.warnings else []),
            *_summary(data),
            *_film(data),
            Heading(
                "Checks", "The PSNR of the whole frame proves little: the torso of the same frame is behind the head."
            ),
            Checks([CheckRow(c.mark, c.question, c.answer, c.note) for c in found.checks]),
            *_numbers(found),
            *mouth_blocks(found, data.series),
            *eyes_blocks(found, data.pictures, data.series),
            *published_blocks(found),
            *_previews(data),
            *curve_blocks(data.curves),
            Heading("Data"),
            Notes([*found.notes, *data.notes] or ["A recording of one person who talks."]),
            *data.sources.blocks(),
        ],
    )


def _summary(data: TalkerReportData) -> list[Block]:
    found = data.evaluation
    drop = found.audio_drop_db
    items = [
        _headline(found, "Head", "head_psnr_db"),
        Headline(
            "Lips with other sound", number(None if drop is None else -drop.value), "dB", "how much worse they get"
        ),
    ]
    gains = {row.kind: row.gain_db for row in found.counterfactual}
    if {"yaw", "pitch"} <= set(gains):
        text = f"nearer to rendered truth when asked for another yaw; pitch {number(gains['pitch'])} dB"
        items.append(Headline("Eyes", number(gains["yaw"]), "dB", text))
    else:
        slopes = [line for line in found.sweep if line.axis == "yaw" and line.slope is not None]
        best = max(slopes, key=lambda line: line.r2 or 0.0, default=None)
        text = f"of each degree of asked yaw; read by: {best.reader}" if best else "no reader could read the eyes"
        items.append(Headline("Eyes follow", number(best.slope if best else None), "", text))
    if found.speed is not None:
        text = f"batch {found.speed.batch}, {found.speed.size_px[0]} px, {found.speed.hardware}"
        items.append(Headline("Rendering", number(found.speed.frames_per_s, 1), "frames/s", text))
    return [Headlines(items), Notes(data.comparison.reasons)]


def _headline(found: TalkerEvaluation, title: str, metric: str) -> Headline:
    own = found.estimate(MODEL, metric)
    return Headline(title, number(own.value), METRICS[metric][1], f"{METRICS[metric][0]}; {interval(own)}")


def _film(data: TalkerReportData) -> list[Block]:
    files = sorted((data.pictures / "examples").glob("*.png"))
    images = [(_ROWS[k] if k < len(_ROWS) else "", jpeg_data_uri(read_image(file))) for k, file in enumerate(files)]
    groups = [ImageGroup(caption, [("", uri)], is_row=True) for caption, uri in images]
    said = (
        Text(f"The film with its sound: {data.film} beside this page.") if data.film else Text("No film was rendered.")
    )
    return [Heading("Held-out time", "The same frames, evenly spaced, under each condition."), said, ImageStrip(groups)]


def _numbers(found: TalkerEvaluation) -> list[Block]:
    conditions = [name for name in CONDITIONS if name in found.measured]
    columns = [Column("measure", numeric=False), *(Column(CONDITIONS[name]) for name in conditions)]
    rows = []
    for metric, (title, unit) in METRICS.items():
        if not any(metric in found.measured[name] for name in conditions):
            continue
        digits = 2 if unit else 3
        cells: list[Cell | str] = [title + (f", {unit}" if unit else "")]
        for name in conditions:
            own = found.estimate(name, metric)
            cells.append(Cell(number(own.value, digits), interval(own, digits), "strong" if name == MODEL else ""))
        rows.append(cells)
    intro = (
        f"Means over frames; below each its {found.bootstrap.confidence:.0%} interval over blocks of 0.4 s. 'Whole frame' has "
        "the true torso of the same frame behind the head, as published numbers have. Boxes of lips and eyes have a margin; "
        "SSIM and ST-LPIPS of a region are of its box, scaled to one size."
    )
    absent = [
        f"{METRICS[name][0] if name in METRICS else name}: not measured, {why}." for name, why in found.absent.items()
    ]
    return [Heading("Numbers", intro), Table(columns, rows), *([Notes(absent)] if absent else [])]


def _previews(data: TalkerReportData) -> list[Block]:
    if not any(data.previews.values()):
        return []
    blocks: list[Block] = [Heading("Training, looked at", "The same held-out frames after more and more steps.")]
    for stage, files in data.previews.items():
        images = [(_steps(file), jpeg_data_uri(read_image(file))) for file in files]
        blocks += [ImageStrip([ImageGroup(f"{stage} {caption}", [("", uri)], is_row=True)]) for caption, uri in images]
    return blocks


def _steps(file: Path) -> str:
    digits = "".join(one for one in file.stem if one.isdigit())
    return f"step {int(digits)}" if digits else file.stem
