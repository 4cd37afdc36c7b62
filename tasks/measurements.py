"""Records of measurements: what a command measured, on which machine and by which code, as one JSON file each.

All records of one measurement lie in one folder (`docs/measured/demo`), one file per measurement; nothing is
overwritten: the newest file is the current record, and all files are its history. The numbers in the documents are
made from these files (`benchmarks/tables.py`).
"""

import json
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, JsonValue, StringConstraints, ValidationError

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.machine import Machine, this_machine
from tasks.store.provenance import git_commit, package_versions

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
BY_COMMAND = "the command, by --record"
_IN_A_STORE = ("artifacts",)  # fields of a report that are valid in one store only
# A path of a machine, at the start of a word: with any folders, and with what it names.
_PLACE = re.compile(r"""(?<![^\s"'`=(\[,;])~?/(?:[^\s"'`,;:/]*/)*([^\s"'`,;:/]+)""")
_SHORT = re.compile(r"\[\s+([^\[\]{}\"]*?)\s+\]")  # a list of numbers


class Record(Config):
    """One measurement. `commit` is None outside a git checkout: then `versions` names the installed package."""

    what: Text
    command: Text
    commit: Text | None
    date: AwareDatetime
    machine: Machine
    versions: dict[Text, Text] = Field(min_length=1)
    seeds: dict[str, int]
    values: dict[str, JsonValue] = Field(min_length=1)
    recorded_from: Text = BY_COMMAND

    @property
    def code(self) -> str:
        """The short commit, with `+changes` where the code was edited; the version where there was no checkout."""
        commit, plus, changes = (self.commit or "").partition("+")
        return f"{commit[:7]}{plus}{changes}" or f"v{self.versions.get('gazeworks', '')}"


def record_values(folder: Path, what: str, values: Mapping[str, Any], config: Config | None = None) -> Path:
    """Writes the values that the running command has measured as a new file in `folder`, and returns its path.

    `config` is the measurement's configuration, of which the seeds are recorded.
    """
    seeds = dict(seeds_in(config.model_dump(mode="json"))) if config else {}
    versions = {"python": platform.python_version(), **package_versions()}
    return write(
        folder,
        Record(
            what=what, command=_command(), commit=git_commit() or None, date=datetime.now(UTC).replace(microsecond=0),
            machine=this_machine(), versions=versions, seeds=seeds, values=dict(values),
        ),
    )  # fmt: skip


def record_report(folder: Path, what: str, page: Path, config: Config) -> Path:
    """Records the content of a flow's report, which lies as JSON beside its page."""
    facts = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    return record_values(folder, what, {name: facts[name] for name in facts if name not in _IN_A_STORE}, config)


def write(folder: Path, made: Record) -> Path:
    """Writes a record, named by its time and its code.

    Paths in it are reduced to file names: a record shows no folders of a machine.

    Raises:
        FileExistsError: the file is there.
    """
    path = folder / f"{made.date.astimezone(UTC):%Y-%m-%d-%H%M%S}-{made.code}.json"
    text = _PLACE.sub(r"\1", _SHORT.sub(_on_one_line, made.model_dump_json(indent=1))) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:  # a record that is there stays
        file.write(text)
    return path


def read(path: Path) -> Record:
    """Reads a record.

    Raises:
        BadInput: it is no whole record, or names a place of a machine.
    """
    text = path.read_text(encoding="utf-8")
    if place := _PLACE.search(text):
        raise BadInput(
            f"{path}: expected a record without paths of a machine, but found {place[0]}; name the file alone"
        )
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "JSON"
        raise BadInput(f"{path}: expected a record of a measurement, but {field}: {first['msg']}") from error


def history(folder: Path) -> dict[Path, Record]:
    """All records of a measurement by file, the newest last.

    Raises:
        BadInput: there is none, or one that is no record.
    """
    records = {path: read(path) for path in sorted(folder.glob("*.json"))}
    if not records:
        raise BadInput(f"{folder}: holds no record; make one with --record {folder.name}")
    return dict(sorted(records.items(), key=lambda item: item[1].date))


def seeds_in(value: Any, at: str = "") -> Iterator[tuple[str, int]]:
    """Each seed of a configuration, by its dotted key."""
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        key = f"{at}.{name}".lstrip(".")
        if name == "seed" or name.endswith("_seed"):
            yield key, inner
        yield from seeds_in(inner, key)


def _command() -> str:
    program = Path(sys.argv[0])
    words = ["python", f"benchmarks/{program.name}"] if program.suffix == ".py" else ["gazeworks"]
    return shlex.join([*words, *sys.argv[1:]])


def _on_one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[1].split())}]"
