"""Synthetic subjects as a flow: one task for each person, spread by Prefect's task runner."""

import os
from pathlib import Path

from prefect import flow, task

from gaze_core.config import Runtime
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject
from gaze_core.synthesis.rig import View

PX_AT_STANDARD_FOCAL, STANDARD_FOCAL_PX = 128, 264.0


@task(persist_result=False)
def render_subject(config: SubjectConfig, out: Path, runtime: Runtime) -> Path:
    """Renders one person."""
    return synthesize_subject(config, out / f"{config.subject}.h5", runtime)


@flow(name="synthesis", persist_result=False)
def synthesis(configs: list[SubjectConfig], out: Path, runtime: Runtime = Runtime()) -> list[Path]:  # noqa: B008
    """Renders each person to its own subject file below `out`."""
    return [render_subject(config, out, runtime) for config in configs]


def subject_files(subjects: int, images: int, size_px: int, seed: int, out: Path) -> list[Path]:
    """Files of `subjects` people, of whom the first has `seed`, framed as the shipped pack is."""
    view = View(size_px=size_px, focal_px=STANDARD_FOCAL_PX * size_px / PX_AT_STANDARD_FOCAL)
    configs = [
        SubjectConfig(
            subject=f"synthetic_{seed + i:04d}",
            identity_seed=seed + i,
            seed=seed + i,
            num_images=images - images // 5,
            num_held_out=images // 5,
            view=view,
        )
        for i in range(subjects)
    ]
    out.mkdir(parents=True, exist_ok=True)
    return synthesis(configs, out.resolve(), Runtime(num_workers=os.cpu_count() or 1))
