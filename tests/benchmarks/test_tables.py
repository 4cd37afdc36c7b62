"""The numbers in the documents are those of the records; otherwise `make check` fails."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tables import documents, rewritten
from gaze_core.errors import BadInput
from tasks.measurements import record_values

ROOT = Path(__file__).parents[2]
UNITS = re.compile(r"\d (ms|s|min|minutes|dB|deg|degrees|MB)\b")


@pytest.mark.parametrize("document", documents(ROOT), ids=lambda path: path.name)
def test_each_document_matches_its_records(document):
    assert rewritten(document, ROOT) is None, f"{document} differs from its records; run: python benchmarks/tables.py"


@pytest.fixture
def copy(tmp_path):
    """A copy of the documents, for changes."""
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("images"))
    return tmp_path


@pytest.mark.parametrize("name", ["README.md", "docs/benchmarks.md", "docs/driver.md"])
def test_a_number_that_was_edited_is_found_and_put_right(copy, name):
    document = copy / name
    true = document.read_text()
    number = re.search(r"<!-- measured: \w+ -->\n(?:.*\n)*?.*?(\d+\.\d+)", true)
    document.write_text(true[: number.start(1)] + "99.9" + true[number.end(1) :])
    assert rewritten(document, copy) == true
    document.write_text(true)
    assert rewritten(document, copy) is None


def test_a_new_record_changes_the_table(copy):
    document = copy / "docs" / "benchmarks.md"
    record_values(copy / "docs/measured/waiting_threads", "x", {"active_s": [7.25, 8.5], "passive_s": 0.125})
    text = rewritten(document, copy)
    assert "took 7.25 to 8.5 s with torch's threads spinning and\n0.125 s" in text


@pytest.mark.parametrize("edited", [True, False])
def test_the_command_fails_where_a_document_differs_and_mends_it(copy, edited):
    shutil.copytree(ROOT / "benchmarks", copy / "benchmarks")
    document = copy / "docs" / "benchmarks.md"
    true = document.read_text()
    if edited:
        document.write_text(true.replace("5k @ 128", "6k @ 128"))
    command = [sys.executable, copy / "benchmarks" / "tables.py"]
    done = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == edited, done.stderr
    assert ("docs/benchmarks.md: differs" in done.stdout) == edited
    assert ("run: python benchmarks/tables.py" in done.stderr) == edited
    if edited:
        subprocess.run(command, capture_output=True, check=True)
        assert document.read_text() == true


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda text: text.replace("<!-- /measured -->", "", 1), "expected each measured block as two marks"),
        (lambda text: text.replace("measured: demo -->", "measured: nothing -->"), "'nothing', but there is no"),
    ],
    ids=["half a block", "no template"],
)
def test_a_mark_that_cannot_be_filled_is_refused(copy, spoil, expected):
    document = copy / "docs" / "benchmarks.md"
    document.write_text(spoil(document.read_text()))
    with pytest.raises(BadInput, match=expected):
        rewritten(document, copy)


def test_a_record_without_the_number_that_a_table_shows_is_refused(copy):
    record_values(copy / "docs/measured/waiting_threads", "x", {"active_s": [7.25, 8.5]})
    with pytest.raises(BadInput, match=r"waiting_threads.md: .*passive_s"):
        rewritten(copy / "docs" / "benchmarks.md", copy)


def test_every_record_is_shown():
    links = " ".join(document.read_text() for document in documents(ROOT))
    for folder in (ROOT / "docs" / "measured").iterdir():
        assert f"measured/{folder.name}/" in links, f"no document shows {folder}"


@pytest.mark.parametrize("name", ["README.md", "docs/benchmarks.md"])
def test_a_measured_number_stands_in_a_block_or_is_marked_as_published(name):
    outside = re.sub(r"<!-- measured.*?/measured -->", "", (ROOT / name).read_text(), flags=re.DOTALL)
    loose = [
        paragraph
        for paragraph in outside.split("\n\n")
        if UNITS.search(paragraph) and "published" not in paragraph and not paragraph.startswith(("![", "```"))
    ]
    assert not loose
