"""A report page: head, verdict and blocks, as one self-contained HTML file that runs no script."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gaze_core.reports.blocks import Block

PAGE_FILE, JSON_FILE, LOG_FILE = "report.html", "report.json", "log.txt"


@dataclass(frozen=True)
class Verdict:
    """The verdict in a few words, its colour, and its basis."""

    style: Literal["better", "equal", "regressed"]
    words: str
    basis: str = ""


@dataclass(frozen=True)
class Page:
    """The content of one page, in order. All text is plain: none of it is interpreted as markup."""

    title: str
    subtitle: str
    verdict: Verdict
    blocks: Sequence[Block]
    footer: str = f"The same facts as JSON: {JSON_FILE} beside this page."


def render(page: Page) -> str:
    """The page as self-contained HTML."""
    return _environment().get_template("page.html").render(page=page)


def write_report(page: Page, facts: Mapping[str, Any], folder: Path, name: str = "report") -> tuple[Path, Path]:
    """Writes `<name>.html` and `<name>.json` to `folder` and returns their paths."""
    paths = folder / f"{name}.html", folder / f"{name}.json"
    # Both are rendered before either is written.
    contents = render(page), json.dumps(facts, indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, contents, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def style_sheet(name: str) -> str:
    """The text of one of the package's style sheets."""
    environment = _environment()
    return environment.get_template(name).render()


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("gaze_core.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def html(blocks: Sequence[Block]) -> Markup:
        macros = made.get_template("blocks.html").module
        return Markup("").join(getattr(macros, block.kind)(block) for block in blocks)

    made.filters["html"] = html
    return made
