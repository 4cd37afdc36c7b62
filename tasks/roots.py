"""Paths that come from a form stay below folders that this worker's owner has named.

Who may start a run on a server may name any path in it, and what a run reads ends in the store for all to see.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from gaze_core.errors import BadInput
from tasks import environment

INPUTS_VARIABLE, OUTPUTS_VARIABLE = "GAZEWORKS_INPUTS", "GAZEWORKS_OUTPUTS"


def input_path(text: str) -> Path:
    """A path that a run may read: below a folder of `$GAZEWORKS_INPUTS`, or else below this folder or the home.

    Raises:
        BadInput: it leads elsewhere, also by way of `..` or of a link.
    """
    return _below(text, _roots(INPUTS_VARIABLE, [Path(), environment.home()]), INPUTS_VARIABLE, "read from")


def output_path(text: str) -> Path:
    """A path to which a run may write: below a folder of `$GAZEWORKS_OUTPUTS`, or else below `reports` here.

    Raises:
        BadInput: it leads elsewhere, also by way of `..` or of a link.
    """
    return _below(text, _roots(OUTPUTS_VARIABLE, [Path("reports")]), OUTPUTS_VARIABLE, "write to")


def _roots(variable: str, default: Sequence[Path]) -> list[Path]:
    named = [Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part]
    return [root.resolve() for root in named or default]


def _below(text: str, roots: Sequence[Path], variable: str, what: str) -> Path:
    path = Path(text).resolve()
    if not any(path.is_relative_to(root) for root in roots):
        allowed = ", ".join(map(str, roots))
        raise BadInput(f"{text}: runs on this worker may {what} {allowed} only; its owner can name more in {variable}")
    return path
