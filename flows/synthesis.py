"""Synthetic subjects as a flow: one task for each person, distributed by Prefect's task runner.

By default the tasks are threads of this process, each of which starts render processes. `$GAZEWORKS_TASK_RUNNER`, or the
deployment's form, distributes people over a Dask cluster instead (`tasks/runners.py`); all machines must see the folder.
`num_workers` is per person; 0 renders in the task's own process, for runners whose workers may start none.
"""

import os
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from gaze_core.config import Runtime
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject
from tasks.runners import RunnerName, task_runner, threads

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
    """Renders the subjects and returns their files below `out`.

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    out.mkdir(parents=True, exist_ok=True)
    chosen = task_runner(runner, CORES)
    # People and processes share the cores: with more people than cores, each is rendered by one process. The workers of
    # a cluster are processes already, and may have none of their own.
    num_workers = max(1, CORES // len(configs)) if isinstance(chosen, ThreadPoolTaskRunner) else 0
    return synthesis.with_options(task_runner=chosen)(configs, out.resolve(), Runtime(num_workers=num_workers))
