"""Synthetic subjects shipped with the package. `python -m gaze_core.synthesis.packs` renders them again."""

import os
import sys
from importlib.resources import files
from pathlib import Path

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject

PACKS = {
    "synthetic_128": SubjectConfig(subject="synthetic_128", identity_seed=6, seed=2025),
}


def pack_path(name: str) -> Path:
    """Path of the shipped subject file of this name; reading it needs neither anny nor mitsuba."""
    if name not in PACKS:
        raise BadInput(f"no shipped subject named {name!r}; there are: {', '.join(PACKS)}")
    return Path(str(files("gaze_core.data") / "packs" / f"{name}.h5"))


def main(names: list[str]) -> None:
    """Renders the named packs (default: all) again, in place."""
    for name in names or list(PACKS):
        synthesize_subject(PACKS[name], pack_path(name), Runtime(num_workers=os.cpu_count() or 1))


if __name__ == "__main__":
    main(sys.argv[1:])
