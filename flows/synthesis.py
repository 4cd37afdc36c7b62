"""Synthetic subjects as a flow: one task for each person, spread by Prefect's task runner.

Threads of this process by default, each of which lets processes render. `$GAZEWORKS_TASK_RUNNER`, or the form of the
deployment, spreads people over a Dask cluster instead (`tasks/runners.py`), with a folder that all machines see.
`num_workers` is per person; 0 renders in the task's own process, for runners whose workers may have none.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from gaze_core.config import Runtime
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject
from gaze_core.synthesis.people import subject_configs
from gaze_core.synthesis.rig import RigName
from gaze_core.synthesis.scene import LightName
from tasks.runners import RunnerName, task_runner, threads
from tasks.store.roots import output_path

CORES = os.cpu_count() or 1


@task(persist_result=False, cache_policy=NO_CACHE, task_run_name="render {config.subject}")
def render_subject(config: SubjectConfig, out: Path, runtime: Runtime) -> Path:
    """Renders one person."""
    return synthesize_subject(config, out / f"{config.subject}.h5", runtime)


@flow(name="synthesis", persist_result=False, task_runner=threads(CORES))
def synthesis(configs: list[SubjectConfig], out: Path, runtime: Runtime = Runtime()) -> list[Path]:  # noqa: B008
    """Renders each person to its own subject file below `out`; `runtime.num_workers` processes for each."""
    futures = [render_subject.submit(config, out, runtime) for config in configs]
    return [future.result() for future in futures]


def subject_files(configs: list[SubjectConfig], out: Path, runner: RunnerName | None = None) -> list[Path]:
    """Their files below `out`.

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    out.mkdir(parents=True, exist_ok=True)
    chosen = task_runner(runner, CORES)
    # People and processes share the cores: with more people than cores, each is rendered by one process. The workers of
    # a cluster are processes already, and may have none of their own.
    num_workers = max(1, CORES // len(configs)) if isinstance(chosen, ThreadPoolTaskRunner) else 0
    return synthesis.with_options(task_runner=chosen)(configs, out.resolve(), Runtime(num_workers=num_workers))


@flow(name="synthesize", persist_result=False)
def synthesize(
    subjects: Annotated[int, Field(ge=1, le=10_000)] = 1,
    images: Annotated[int, Field(ge=2, le=100_000)] = 200,
    size_px: Annotated[int, Field(ge=32, le=2048)] = 128,
    seed: Annotated[int, Field(ge=0)] = 0,
    rig: RigName = "compact",
    lights: list[LightName] = ["studio"],  # noqa: B006 (the default of a form; nothing changes it)
    out: str = "reports/subjects",
    runner: Literal["threads", "dask"] = "threads",
) -> list[str]:
    """Renders synthetic subjects with exact labels, as a deployment: a form of plain values.

    Args:
        subjects: How many people.
        images: Images of each person; a fifth of them is held out.
        size_px: Side of an image.
        seed: The first person's; the next have the next numbers. The same seed gives the same files.
        rig: Where the cameras stand.
        lights: Lights, in turns.
        out: Folder of the files, below a folder of the worker's GAZEWORKS_OUTPUTS (or else: reports).
        runner: Where people are rendered: threads of the run's own process, or a Dask cluster.
    """
    configs = subject_configs(subjects, images, size_px, seed, rig, tuple(lights))
    files = subject_files(configs, output_path(out), runner)
    return [str(path) for path in files]
