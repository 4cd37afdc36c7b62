"""Changes of a configuration by dotted keys, as a user writes them: `mesh_head.fit.num_steps=100`."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from gaze_core.config import Config
from gaze_core.errors import BadInput

C = TypeVar("C", bound=Config)


def changed(plan: C, changes: Sequence[str]) -> C:
    """The plan with `dotted.key=value` changes; values are JSON, or else plain text.

    Raises:
        BadInput: an unknown key or value; the message lists what is known.
    """
    values = plan.model_dump(mode="json")
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise BadInput(f"--set {change!r}: expected KEY=VALUE, for example {_example(values)}")
        _set(values, key, text)
    return validated(type(plan), values)


def validated(kind: type[C], values: dict[str, Any]) -> C:
    """A configuration of these plain values.

    Raises:
        BadInput: the first value that is not what it must be, and where it stands.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{where}: {first['msg']} (found {first['input']!r})") from error


def _example(values: dict[str, Any]) -> str:
    """The first setting of the plan that is a number, as it would be written."""
    for name, value in values.items():
        if isinstance(value, dict) and (below := _example(value)):
            return f"{name}.{below}"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"{name}={value}"
    return ""


def _set(plan: dict[str, Any], key: str, text: str) -> None:
    *parents, last = key.split(".")
    node: Any = plan
    for name in [*parents, last]:
        if not isinstance(node, dict) or name not in node:
            known = ", ".join(node) if isinstance(node, dict) else "nothing below a value"
            raise BadInput(f"--set {key}: unknown key {name!r}; known here: {known}")
        parent, node = node, node[name]
    try:
        parent[last] = json.loads(text)
    except json.JSONDecodeError:
        parent[last] = text
