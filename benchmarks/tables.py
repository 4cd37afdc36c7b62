"""Writes the numbers in the documents from the records of measurements.

    python benchmarks/tables.py            # writes them
    python benchmarks/tables.py --check    # lists the documents that differ from their records; exit code 1 if any does

A document holds `<!-- measured: NAME -->` and `<!-- /measured -->`, each on its own line. Between them is the text that
`docs/templates/NAME.md` makes from the newest record in each folder of `docs/measured`, and a list of those records. A
template names a record by its folder: `{{ demo.values.psnr_db|n(1) }}` is a number with one decimal.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import jinja2
import jinja2.meta

from gaze_core.errors import BadInput, GazeworksError
from tasks.measurements import BY_COMMAND, Record, history

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^<!-- measured: (\w+) -->\n(.*?)^<!-- /measured -->$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!--\s*/?\s*measured")


def main() -> None:
    """Writes the tables, or compares them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a document differs")
    check = parser.parse_args().check
    changed = {document: text for document in documents(ROOT) if (text := rewritten(document, ROOT)) is not None}
    for document, text in changed.items():
        if not check:
            document.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{document.relative_to(ROOT)}: {'differs from its records' if check else 'written'}\n")
    if check and changed:
        sys.exit("error: run: python benchmarks/tables.py")


def documents(root: Path) -> list[Path]:
    """README.md and all documents in docs/, without the templates."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted((root / "docs/decisions").glob("*.md"))]


def rewritten(document: Path, root: Path) -> str | None:
    """The document with the numbers of its records; None if it is up to date.

    Raises:
        BadInput: an unpaired mark, or a template or record that is missing or does not fit.
    """
    before = document.read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(before))
    if len(_MARK.findall(before)) != 2 * len(blocks):
        raise BadInput(f"{document}: expected each measured block as two marks, on lines of their own")
    after = _BLOCK.sub(lambda block: _block(block[1], document, root), before)
    return None if after == before else after


def _block(name: str, document: Path, root: Path) -> str:
    template = root / "docs" / "templates" / f"{name}.md"
    if not template.is_file():
        raise BadInput(f"{document}: measured block {name!r}, but there is no {template}")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"n": _number, "duration": _duration}
    source = template.read_text(encoding="utf-8")
    names = sorted(jinja2.meta.find_undeclared_variables(environment.parse(source)))
    newest = {found: list(history(root / "docs" / "measured" / found).items())[-1] for found in names}
    try:
        text = environment.from_string(source).render({name: record for name, (_, record) in newest.items()})
    except (jinja2.TemplateError, TypeError) as error:
        raise BadInput(
            f"{template}: {error}; records: {', '.join(str(path) for path, _ in newest.values())}"
        ) from error
    sources = _sources(newest.values(), document.parent)
    return f"<!-- measured: {name} -->\n{text.strip()}\n\n<sub>{sources}</sub>\n<!-- /measured -->"


def _sources(newest: Iterable[tuple[Path, Record]], folder: Path) -> str:
    """Links to the records, grouped by origin."""
    links: dict[str, list[str]] = {}
    for path, record in newest:
        made = f"{record.code}, load {record.machine.load_1min}"
        if record.recorded_from != BY_COMMAND:
            made = f"from {record.recorded_from}"
        origin = f"{record.date:%Y-%m-%d}, {record.machine.cores} cores, {made}"
        links.setdefault(origin, []).append(f"[{path.parent.name}]({os.path.relpath(path, folder)})")
    return "; ".join(f"{', '.join(paths)}: {origin}" for origin, paths in links.items())


def _number(value: float, decimals: int = 0) -> str:
    return f"{value:.{decimals}f}"


def _duration(seconds: float) -> str:
    """45 s, or 5 min 9 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    try:
        main()
    except GazeworksError as error:
        sys.exit(f"error: {error}")
