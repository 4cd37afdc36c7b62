"""Sections of the report of a talking head: mouth and sound, eyes and lids, published tables."""

from pathlib import Path

from gaze_core.evaluation.report import SweepLine
from gaze_core.evaluation.sweep import ANGLES_DEG
from gaze_core.preprocess.images import read_image
from gaze_core.reports.blocks import (
    Block,
    Cell,
    Chart,
    Column,
    Fold,
    Heading,
    ImageGroup,
    ImageStrip,
    Notes,
    Table,
)
from gaze_core.reports.charts import Series as Line
from gaze_core.reports.charts import line_chart
from gaze_core.reports.images import jpeg_data_uri
from gaze_core.reports.text import interval, number, signed_deg
from gaze_core.talker.evaluation_mouth import RECORDED
from gaze_core.talker.published_tables import DIFFERENCES, TABLES
from gaze_core.talker.report import MODEL, OTHER_AUDIO, REFINED, TalkerEvaluation
from gaze_core.talker.series import Series

_WIDE_PX = (900, 190)
_STYLES = {RECORDED: "floor", MODEL: "candidate", OTHER_AUDIO: "baseline", "asked": "floor", "read": "candidate"}


def mouth_blocks(found: TalkerEvaluation, series: Series) -> list[Block]:
    """The mouth against the sound: table and chart."""
    if not found.sync:
        return []
    reader = next(iter(found.sync.values())).reader
    intro = (
        f"Opening of the inner lips over the distance of the eyes, read by: {reader}. Loudness is the RMS of each frame's "
        "sound; silence is below \N{MINUS SIGN}40 dB of full scale. A positive lag: the mouth is later than the sound."
    )
    columns = [
        Column("", numeric=False), Column("with the recorded opening"), Column("with loudness"), Column("best over lags"),
        Column("at"), Column("moves in silence"), Column("moves in sound"),
    ]  # fmt: skip
    rows = []
    for name in (RECORDED, MODEL, REFINED, OTHER_AUDIO):
        if (own := found.sync.get(name)) is not None:
            lag = "–" if own.lag_ms is None else f"{number(own.lag_ms, 0)} ms"
            rows.append([
                Cell(name), Cell(number(own.with_recorded)), Cell(number(own.correlation)), Cell(number(own.best_correlation)),
                Cell(lag), Cell(number(own.silence_rms, 4), f"{own.silent_frames} frames"), Cell(number(own.talking_rms, 4)),
            ])  # fmt: skip
    lines = [
        Line(name, series.time_s, series.row(f"opening {name}"), _STYLES[name])
        for name in (RECORDED, MODEL, OTHER_AUDIO) if series.row(f"opening {name}")
    ]  # fmt: skip
    legend = [(line.style, line.name) for line in lines]
    chart = line_chart(lines, "Opening of the mouth", "seconds of held-out time", size_px=_WIDE_PX, linear=True)
    return [Heading("Mouth and sound", intro), Table(columns, rows), Chart(chart, legend)]


def eyes_blocks(found: TalkerEvaluation, pictures: Path, series: Series) -> list[Block]:
    """Gaze against asked, against rendered truth and over a sweep; blinks."""
    blocks: list[Block] = [Heading("Eyes", _gaze_words(found))]
    if found.counterfactual:
        blocks += _counterfactual(found, pictures)
    for axis in ANGLES_DEG:
        lines = [line for line in found.sweep if line.axis == axis]
        if lines:
            blocks += [Heading(f"Asked {axis}, the other angle zero", level=3), sweep_table(lines)]
            files = sorted((pictures / f"sweep_{axis}").glob("*.png"))
            blocks += [
                ImageStrip([ImageGroup("", [("", jpeg_data_uri(read_image(file)))], is_row=True)]) for file in files
            ]
    if found.readers_absent:
        blocks.append(Notes([f"{name} does not read: {why}." for name, why in found.readers_absent.items()]))
    charts = []
    for name, title, unit in (
        ("yaw", "Yaw in the head", "°"),
        ("pitch", "Pitch in the head", "°"),
        ("blink", "Lids", ""),
    ):
        curves = [Line(what, series.time_s, series.row(f"{name} {what}"), _STYLES[what]) for what in ("asked", "read")]
        if all(len(curve.y) for curve in curves):
            svg = line_chart(curves, title, f"{title.lower()}, seconds", unit, size_px=_WIDE_PX, linear=True)
            charts.append(Chart(svg, [(curve.style, f"{title}: {curve.name}") for curve in curves]))
    blocks += [Fold("Asked and read over time, generated eyes", charts, is_open=True)] if charts else []
    return [*blocks, *_blinks(found)]


def _gaze_words(found: TalkerEvaluation) -> str:
    errors = found.gaze_reader_error_deg
    text = (
        f"Read by this person's own reader, which was fitted to training frames: {number(errors.get(MODEL))}° from what was "
        f"asked on held-out time, {number(errors.get('generated eyes'))}° with generated eyes; on the recording itself it "
        f"errs by {number(errors.get(RECORDED))}°."
    )
    if found.train_gaze_deg is not None:
        (low_pitch, high_pitch), (low_yaw, high_yaw) = found.train_gaze_deg
        text += (
            f" In training, 90 % of gazes lie within pitch {signed_deg(low_pitch)} to {signed_deg(high_pitch)} and yaw "
            f"{signed_deg(low_yaw)} to {signed_deg(high_yaw)}; beyond that a model cannot be expected to look."
        )
    if found.lips_without_gaze_db is not None:
        text += f" With other eyes the lips' PSNR changes by {number(found.lips_without_gaze_db)} dB."
    return text


def _counterfactual(found: TalkerEvaluation, pictures: Path) -> list[Block]:
    titles = ("frames", "not asked, dB", "asked, dB", "nearer by, dB")
    columns = [Column("asked for another", numeric=False), *(Column(title) for title in titles)]
    rows = [
        [Cell({"both": "yaw and pitch", "zero": "gaze: straight ahead"}.get(row.kind, row.kind)), Cell(str(row.frames)),
         Cell(number(row.before_db)), Cell(number(row.after_db)), Cell(number(row.gain_db), interval(row.gain), "strong")]
        for row in found.counterfactual
    ]  # fmt: skip
    groups = [
        ImageGroup(f"{file.stem}: not asked, asked, truth", [("", jpeg_data_uri(read_image(file)))])
        for file in sorted((pictures / "counterfactual").glob("*.png"))
    ]
    intro = "The same frames rendered with another gaze are the truth; PSNR over both eyes' boxes."
    return [Heading("Against rendered truth", intro, level=3), Table(columns, rows), ImageStrip(groups)]


def sweep_table(lines: list[SweepLine]) -> Table:
    """Asked against read angles of one axis, with slope and R2, by reader."""
    columns = [Column("reader", numeric=False), *(Column(signed_deg(angle)) for angle in lines[0].target_deg)]
    columns += [Column("slope"), Column("R²"), Column("read", wide=True)]
    rows = [
        [
            Cell(line.reader), *(Cell("–" if value is None else f"{number(value, 1)}°") for value in line.predicted_deg),
            Cell("cannot tell" if line.slope is None else number(line.slope), line.reason, "strong"),
            Cell("–" if line.r2 is None else number(line.r2)),
            Cell(f"{line.num_readings} of {line.num_renderings}", emphasis="soft"),
        ]
        for line in lines
    ]  # fmt: skip
    return Table(columns, rows)


def _blinks(found: TalkerEvaluation) -> list[Block]:
    if not found.blinks:
        return []
    columns = [Column("blinks asked by", numeric=False), Column("asked"), Column("read"), Column("both"), Column("F1"),
               Column("reader's F1 on the recording"), Column("correlation of lids")]  # fmt: skip
    rows = [
        [Cell(row.source), Cell(str(row.asked)), Cell(str(row.found)), Cell(str(row.both)),
         Cell(number(row.f1), emphasis="strong"), Cell(number(row.reader_f1)), Cell(number(row.correlation))]
        for row in found.blinks
    ]  # fmt: skip
    return [Heading("Blinks", level=3), Table(columns, rows)]


def published_blocks(found: TalkerEvaluation) -> list[Block]:
    """Published tables beside our row, and what differs."""

    def own(metric: str, digits: int = 3) -> str:
        return number(found.mean(MODEL, metric), digits)

    speed = number(found.speed.frames_per_s, 1) if found.speed else "–"
    ours = ["this run", own("full_psnr_db", 2), own("full_ssim"), "–", "–", "–", "–", speed]
    blocks: list[Block] = [
        Heading("Published numbers", "None of them was measured on this person."),
        Notes(DIFFERENCES),
    ]
    for table in TABLES:
        columns = [Column("method", numeric=False), *(Column(title) for title in table.columns)]
        rows = [[Cell(text) for text in row] for row in table.rows] + [[Cell(text, emphasis="strong") for text in ours]]
        notes: list[Block] = [Notes([table.note])] if table.note else []
        blocks.append(Fold(f"{table.title} ({table.source})", [Table(columns, rows), *notes]))
    return blocks
