"""Blocks of a report page. Each block is a value; `templates/blocks.html` has a macro for its `kind`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Style = Literal["candidate", "baseline", "copy", "floor"]
"""A colour of the style sheet: the model, its baseline, the identity copy, and the judge's error on ground truth."""
Mark = Literal["ok", "fault", "unclear"]


class Block:
    """Base of all blocks."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Heading(Block):
    """The heading of a section."""

    kind: ClassVar[str] = "heading"
    text: str
    intro: str = ""
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Text(Block):
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Alarm(Block):
    """A warning above the numbers."""

    kind: ClassVar[str] = "alarm"
    title: str
    lines: Sequence[str]
    level: Literal["fault", "warning"] = "fault"


@dataclass(frozen=True)
class Headline:
    """A number in large type."""

    title: str
    value: str
    unit: str
    text: str


@dataclass(frozen=True)
class Headlines(Block):
    """The main numbers, side by side."""

    kind: ClassVar[str] = "headlines"
    items: Sequence[Headline]


@dataclass(frozen=True)
class Bar:
    """A value on the common scale of its group; None leaves it out."""

    name: str
    value: float | None
    text: str
    note: str = ""
    style: Style = "candidate"


@dataclass(frozen=True)
class Bars(Block):
    """Values on one scale, as shares of the largest."""

    kind: ClassVar[str] = "bars"
    label: str
    items: Sequence[Bar]

    @property
    def visible(self) -> list[tuple[Bar, float]]:
        """The bars that have a value, with their lengths in percent."""
        known = [(bar, bar.value) for bar in self.items if bar.value is not None]
        largest = max((value for _, value in known), default=0.0) or 1.0
        return [(bar, round(100 * value / largest, 1)) for bar, value in known]


@dataclass(frozen=True)
class CheckRow:
    """A sanity check: its question, result and mark."""

    mark: Mark
    question: str
    answer: str
    note: str = ""


@dataclass(frozen=True)
class Checks(Block):
    """The checks, each with its mark."""

    kind: ClassVar[str] = "checks"
    rows: Sequence[CheckRow]


@dataclass(frozen=True)
class Column:
    """A column of a table; `wide` ones are left out on a narrow screen."""

    title: str
    numeric: bool = True
    wide: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell; `note` is small text below, `hint` a tooltip."""

    text: str
    note: str = ""
    emphasis: Literal["", "strong", "soft"] = ""
    hint: str = ""
    code: bool = False


@dataclass(frozen=True)
class Table(Block):
    """A table; the first cell of each row is its header. A plain string is a plain cell."""

    kind: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]

    @property
    def cells(self) -> list[list[tuple[Column, Cell]]]:
        """The cells of each row, with their columns."""
        return [
            [
                (column, Cell(cell) if isinstance(cell, str) else cell)
                for column, cell in zip(self.columns, row, strict=True)
            ]
            for row in self.rows
        ]


@dataclass(frozen=True)
class Chart(Block):
    """A chart over the full width; legend entries are (style, text), an entry without a style is a remark."""

    kind: ClassVar[str] = "chart"
    svg: str
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class SmallChart:
    """One of many charts, with first and last value beside its name."""

    name: str
    change: str
    svg: str


@dataclass(frozen=True)
class Charts(Block):
    """Small charts in a grid."""

    kind: ClassVar[str] = "charts"
    items: Sequence[SmallChart]


@dataclass(frozen=True)
class ImageGroup:
    """Captioned images (caption, `data:` address) in one row; `is_row` takes the whole width of the strip."""

    title: str
    images: Sequence[tuple[str, str]]
    is_row: bool = False


@dataclass(frozen=True)
class ImageStrip(Block):
    """Groups of images side by side, with widths in proportion to their number of images."""

    kind: ClassVar[str] = "image_strip"
    groups: Sequence[ImageGroup]

    @property
    def columns(self) -> str:
        """Widths of the groups, for the style sheet."""
        return " ".join(f"{len(group.images)}fr" for group in self.groups if not group.is_row) or "1fr"


@dataclass(frozen=True)
class Facts(Block):
    """A list of terms with their descriptions."""

    kind: ClassVar[str] = "facts"
    rows: Mapping[str, str] | Sequence[tuple[str, str]]
    code: bool = False

    @property
    def items(self) -> Sequence[tuple[str, str]]:
        """Term and description of each."""
        return list(self.rows.items()) if isinstance(self.rows, Mapping) else self.rows


@dataclass(frozen=True)
class Notes(Block):
    """Sentences, one per line."""

    kind: ClassVar[str] = "notes"
    lines: Sequence[str]


@dataclass(frozen=True)
class Fold(Block):
    """A collapsible section, opened by a click on its summary."""

    kind: ClassVar[str] = "fold"
    summary: str
    blocks: Sequence[Block]
    is_open: bool = False


@dataclass(frozen=True)
class Columns(Block):
    """Two columns of blocks; one below the other on a narrow screen."""

    kind: ClassVar[str] = "columns"
    left: Sequence[Block]
    right: Sequence[Block]
