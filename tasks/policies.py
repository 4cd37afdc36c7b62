"""House rules for tasks that use something scarce."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency

from gaze_core.config import Runtime

GPU_LIMIT_VARIABLE = "GAZEWORKS_GPU_LIMIT"
# A slot whose owner was killed stays taken until its lease ends; 60 s is the shortest that a Prefect server grants.
GPU_LEASE_S = 60


@contextmanager
def gpu_slot(runtime: Runtime) -> Iterator[None]:
    """Holds one slot of the concurrency limit named by `$GAZEWORKS_GPU_LIMIT`; without it, or on a CPU, holds nothing.

    Deployments set the variable. Strict, so a limit that nobody created stops the run instead of sharing the GPU.
    """
    limit = os.environ.get(GPU_LIMIT_VARIABLE)
    if not limit or runtime.device == "cpu":
        yield
        return
    with concurrency(limit, occupy=1, lease_duration=GPU_LEASE_S, strict=True):
        yield
