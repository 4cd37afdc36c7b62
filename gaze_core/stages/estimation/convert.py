"""Stage: converts a folder in a layout of EVE to chunked recordings (`gaze_core/estimation/recordings.py`)."""

from gaze_core.artifacts import Produced, files_in, only_entry
from gaze_core.estimation.conversion import MANIFEST, ConvertConfig, convert
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "estimation_convert", 1
_ROLES = {"train": "train", "validation": "val", "test": "test"}


def run(config: ConvertConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Reads the folder `inputs["recording"]`; the artifact holds the recordings and their index.

    Raises:
        BadInput: it is no layout of EVE, or no recording can be used.
    """
    out = context.work_dir / "recordings"

    def advance(done: int, total: int) -> None:
        context.progress(done, total, float("nan"))

    index = convert(only_entry(inputs["recording"]), out, config, advance)
    for problem in index.problems:
        context.logger.warning("%s", problem)
    people = {role: {entry.info.participant for entry in index.of(split)} for role, split in _ROLES.items()}
    return Produced(
        kind="dataset",
        # The manifest names files by the times of their change, which differ from machine to machine.
        files={name: path for name, path in files_in(out).items() if name != MANIFEST},
        metrics={
            "num_recordings": float(len(index.recordings)),
            "num_frames": float(sum(entry.num_frames for entry in index.recordings)),
            "num_valid": float(sum(entry.num_valid for entry in index.recordings)),
            "num_problems": float(len(index.problems)),
        },
        notes=index.problems,
        subjects={role: tuple(sorted(names)) for role, names in people.items() if names},
    )
