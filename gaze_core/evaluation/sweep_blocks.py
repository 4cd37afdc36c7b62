"""The sweep on the page: target against predicted gaze by each reader, and the eyes that were read."""

from gaze_core.evaluation.readers import READERS
from gaze_core.evaluation.report import EvaluationReport, SweepAxis, SweepLine
from gaze_core.evaluation.report_images import ReportImages
from gaze_core.evaluation.sweep import ANGLES_DEG
from gaze_core.reports.blocks import Block, Cell, Column, Heading, ImageGroup, ImageStrip, Notes, Table
from gaze_core.reports.images import png_data_uri
from gaze_core.reports.text import number, signed_deg

_INTRO = (
    "The same held-out frames at each target gaze in the head, the other angle zero, and what each reader predicts in the "
    "renderings: means over the frames. The slope says by how much the eyes turn for each degree of the target (0: not at "
    "all, 1: as far as they should), R² how much of the predictions' variation within a frame that line explains. A reader's "
    "bias for the person is in the means, not in the slope."
)


def sweep_blocks(report: EvaluationReport, images: ReportImages) -> list[Block]:
    """Nothing for data whose labels are exact."""
    if not report.sweep:
        return []
    blocks: list[Block] = [Heading("Sweep of the target gaze", _INTRO)]
    for axis in ANGLES_DEG:
        blocks += [
            Heading(f"Target {axis}", level=3),
            _table([line for line in report.sweep if line.axis == axis], axis),
        ]
    if report.readers_absent:
        blocks.append(
            Notes([f"{_title(name)} does not read: {reason}." for name, reason in report.readers_absent.items()])
        )
    for n, frame in enumerate(images.sweep_labels):
        blocks.append(ImageStrip([
            ImageGroup(f"{frame}: target {axis}", _eyes(images, axis, n), is_row=True) for axis in ANGLES_DEG
        ]))  # fmt: skip
    return blocks


def sweep_sentences(report: EvaluationReport) -> list[str]:
    """Each line of the sweep in words, and who does not read."""
    return [
        *(f"sweep of {line.axis} by {line.reader}: {_result(line)}" for line in report.sweep),
        *(f"sweep: {name} does not read: {reason}" for name, reason in report.readers_absent.items()),
    ]


def _table(lines: list[SweepLine], axis: SweepAxis) -> Table:
    columns = [Column("reader", numeric=False), *(Column(signed_deg(angle)) for angle in ANGLES_DEG[axis])]
    columns += [Column("slope"), Column("R²"), Column("read", wide=True)]
    rows = [
        (
            Cell(_title(line.reader)),
            *(Cell("–" if value is None else f"{number(value, 1)}°") for value in line.predicted_deg),
            Cell(_told(line.slope), line.reason, emphasis="strong"),
            Cell(_told(line.r2)),
            Cell(f"{line.num_readings} of {line.num_renderings}", emphasis="soft"),
        )
        for line in lines
    ]
    return Table(columns, rows)


def _told(value: float | None) -> str:
    return "cannot tell" if value is None else number(value)


def _result(line: SweepLine) -> str:
    if line.slope is None:
        return f"cannot tell: {line.reason}"
    return f"slope {number(line.slope)}, R² {number(line.r2)} ({line.num_readings} of {line.num_renderings} renderings read)"


def _title(reader: str) -> str:
    return next((title for name, title in READERS.items() if name == reader), reader)


def _eyes(images: ReportImages, axis: SweepAxis, n: int) -> list[tuple[str, str]]:
    eyes = images.sweep_eyes[axis][n]
    return [(signed_deg(angle), png_data_uri(image)) for angle, image in zip(ANGLES_DEG[axis], eyes, strict=True)]
