"""Synthetic EVE that ships with the package: five people, three short recordings of each, in EVE's official layout.

`python -m gaze_core.estimation.packs FOLDER` renders it in FOLDER (an earlier folder of synthetic EVE goes on) and puts it
in place.
"""

import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from gaze_core.errors import BadInput
from gaze_core.estimation.synthetic_eve import SyntheticEveConfig, synthesize_eve

PACK = SyntheticEveConfig(train=2, val=1, test=2, rounds=1)


def pack_path() -> Path:
    """Folder of the shipped recordings, whose crops have the sizes of `PACK.render`; reading needs no renderer."""
    return Path(str(files("gaze_core.estimation") / "shipped"))


def main(arguments: list[str]) -> None:
    """Renders the shipped recordings again, in place."""
    if len(arguments) != 1:
        raise BadInput(f"{len(arguments)} arguments; expected one, a folder to render in, such as synthetic_eve")
    folder = synthesize_eve(PACK, Path(arguments[0]), os.cpu_count() or 1)
    for task in PACK.tasks():
        step = Path(task.participant) / task.step
        shutil.rmtree(pack_path() / step, ignore_errors=True)
        shutil.copytree(folder / step, pack_path() / step)


if __name__ == "__main__":
    main(sys.argv[1:])
