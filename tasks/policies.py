"""Task policies: a limit on concurrent runs on a GPU, and whether a task must compute again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext
from prefect.settings import get_current_settings

from gaze_core.config import Runtime

GPU_LIMIT_VARIABLE = "GAZEWORKS_GPU_LIMIT"
# The slot of a killed owner stays taken until its lease ends; a Prefect server grants no shorter one.
GPU_LEASE_S = 60


@contextmanager
def gpu_slot(runtime: Runtime) -> Iterator[None]:
    """Holds a slot of the concurrency limit `$GAZEWORKS_GPU_LIMIT`; nothing without it, or on a CPU.

    Deployments set the variable. Strict: a limit that nobody created stops the run instead of being ignored.
    """
    limit = os.environ.get(GPU_LIMIT_VARIABLE)
    if not limit or runtime.device == "cpu":
        yield
        return
    with concurrency(limit, occupy=1, lease_duration=GPU_LEASE_S, strict=True):
        yield


def is_refreshing() -> bool:
    """Whether the running task must compute again, by its options or by Prefect's setting."""
    context = TaskRunContext.get()
    if context is None or context.task.refresh_cache is None:
        return bool(get_current_settings().tasks.refresh_cache)
    return bool(context.task.refresh_cache)
