"""Validates a user's settings, from a file or as `mesh_head.fit.num_steps=100`, and applies them to a configuration."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from gaze_core.config import Config
from gaze_core.errors import BadInput

C = TypeVar("C", bound=Config)
T = TypeVar("T")


def overridden(plan: C, overrides: Sequence[str], file: Path | None = None) -> C:
    """The plan with the settings of a file, then with `dotted.key=value` overrides; values are JSON, or else plain text.

    Raises:
        BadInput: an unknown key or value; the message lists the known ones and suggests the nearest.
    """
    values = plan.model_dump(mode="json")
    if file is not None:
        _merge(values, read_settings(file), str(file), values)
        values = validated(type(plan), values).model_dump(
            mode="json"
        )  # with the defaults of objects that the file replaced
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise BadInput(f"--set {override!r}: expected KEY=VALUE, for example {_example(values)}")
        _set(values, key, text)
    return validated(type(plan), values)


def read_settings(file: Path) -> dict[str, Any]:
    """The settings in a YAML or JSON file.

    Raises:
        BadInput: it cannot be read, or contains anything but keys with values.
    """
    try:
        text = file.read_text()
        values = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{file}: no readable JSON or YAML ({reason}); expected settings by their keys") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise BadInput(
            f"{file}: expected an object or mapping of settings by their keys, found {type(values).__name__}"
        )
    return values


def validated(kind: type[C], values: Mapping[str, Any]) -> C:
    """A configuration with these plain values.

    Raises:
        BadInput: a value is not valid; the message has the first one and its key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where, found = ".".join(str(part) for part in first["loc"]), first["input"]
        if first["type"] == "literal_error":
            known = first["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            message = f"unknown {where} {found!r}; expected one of: {known}{nearest(str(found), known.split(', '))}"
        else:
            message = f"{where}: {first['msg'].removeprefix('Value error, ')} (found {found!r})"
        raise BadInput(message) from error


def lookup(what: str, name: str, known: Mapping[Any, T]) -> T:
    """The entry of a table, such as a preset.

    Raises:
        BadInput: the table has no such entry.
    """
    if name not in known:
        raise BadInput(f"unknown {what} {name!r}; expected one of: {', '.join(known)}{nearest(name, known)}")
    return known[name]


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion of the most similar name; empty if none is similar."""
    found = difflib.get_close_matches(name, [*known], n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _merge(values: dict[str, Any], given: Mapping[str, Any], where: str, plan: dict[str, Any]) -> None:
    for name, value in given.items():
        _require_known(name, values, where, plan)
        if isinstance(value, Mapping) and isinstance(values[name], dict):
            _merge(values[name], value, f"{where}: {name}", plan)
        else:
            values[name] = value


def _set(plan: dict[str, Any], key: str, text: str) -> None:
    *parents, last = key.split(".")
    node: Any = plan
    for name in [*parents, last]:
        _require_known(name, node, f"--set {key}", plan)
        parent, node = node, node[name]
    try:
        parent[last] = json.loads(text)
    except json.JSONDecodeError:
        parent[last] = text


def _require_known(name: str, node: Any, where: str, plan: dict[str, Any]) -> None:
    if isinstance(node, dict) and name in node:
        return
    known = [*node] if isinstance(node, dict) else []
    elsewhere = [key for key in _keys(plan) if key.rpartition(".")[2] == name]
    hint = nearest(name, known) or (f"; did you mean {elsewhere[0]}?" if elsewhere else "")
    raise BadInput(f"{where}: unknown key {name!r}; known here: {', '.join(known) or 'nothing below a value'}{hint}")


def _keys(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{below}" for below in _keys(value))


def _example(values: dict[str, Any]) -> str:
    """The first numeric setting of the plan, as KEY=VALUE."""
    for name, value in values.items():
        if isinstance(value, dict) and (below := _example(value)):
            return f"{name}.{below}"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"{name}={value}"
    return ""
