"""Both training stages at a size of seconds; as a script, it kills itself at a given step.

python -m tests.gaze_core.stages.redirection.tiny_run STAGE ROOT WORK_DIR STEP
"""

import os
import signal
import sys
from pathlib import Path

from gaze_core.config import Runtime
from gaze_core.data.splits import SPLITS_FILE, DatasetSplits, split_with_held_out, write_splits
from gaze_core.data.subjects import SUBJECT_FILE
from gaze_core.models.redirection.gaze_gaussian import GazeGaussianConfig
from gaze_core.models.redirection.mesh_head import MeshHeadConfig
from gaze_core.models.redirection.renderers import RendererConfig
from gaze_core.stages.context import StageContext
from gaze_core.stages.distributed import run_stage
from gaze_core.stages.redirection import gaze_gaussian, mesh_head
from gaze_core.training.loop import FitConfig
from tests.tiny_subject import write_tiny_subject

FIT = FitConfig(num_steps=7, batch_size=2, validate_every_steps=3, final_learning_rate_ratio=0.5)
RENDERER = RendererConfig(channels=8, token_width=16, depth=1, num_heads=2, patch_px=4)
CONFIGS = {
    "mesh_head": mesh_head.MeshHeadStageConfig(
        model=MeshHeadConfig(cell_m=0.03, hidden=16, feature_width=8, color_channels=4), fit=FIT
    ),
    "gaze_gaussian": gaze_gaussian.GazeGaussianStageConfig(
        model=GazeGaussianConfig(image_px=32, raster_px=16, cell_m=0.025, points_per_eye=40, renderer=RENDERER),
        fit=FIT,
    ),
}
STAGES = {"mesh_head": mesh_head, "gaze_gaussian": gaze_gaussian}


def write_dataset(root: Path) -> Path:
    """A folder as written by the preprocess stage."""
    folder = root / "data"
    folder.mkdir(parents=True)
    write_tiny_subject(folder / SUBJECT_FILE, num_images=12)
    splits = split_with_held_out("tiny", range(9), range(9, 12), 0.2, seed=0)
    write_splits(folder / SPLITS_FILE, DatasetSplits(subjects=(splits,)))
    return folder


def train(stage: str, root: Path, work_dir: Path, kill_at_step: int = 0, **runtime_changes):
    """Runs a stage on `root`; the process dies by SIGKILL after step `kill_at_step`."""

    def progress(step: int, num_steps: int, loss: float) -> None:
        if step == kill_at_step:
            os.kill(os.getpid(), signal.SIGKILL)

    work_dir.mkdir(parents=True, exist_ok=True)
    runtime = Runtime(device="cpu", checkpoint_every_steps=2, log_every_steps=1, **runtime_changes)
    context = StageContext(runtime, work_dir, progress=progress)
    inputs = {"data": root / "data", "mesh_head": root / "mesh_head"}
    return run_stage(STAGES[stage], CONFIGS[stage], inputs, context)


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
