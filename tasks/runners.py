"""Where the tasks of a fan-out run: in threads of this process, or on a Dask cluster (`pip install gazeworks[dask]`)."""

import importlib.util
import os
from typing import Any, Literal, cast, get_args

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from gaze_core.errors import BadInput

RunnerName = Literal["threads", "dask"]
RUNNER_VARIABLE, CLUSTER_VARIABLE = "GAZEWORKS_TASK_RUNNER", "GAZEWORKS_DASK_ADDRESS"


def threads(max_workers: int) -> TaskRunner[Any]:
    """Threads of this process."""
    return ThreadPoolTaskRunner(max_workers=max_workers)


def task_runner(name: str | None, max_workers: int) -> TaskRunner[Any]:
    """The runner of this name, or that of `$GAZEWORKS_TASK_RUNNER`, or threads.

    Dask uses the cluster at `$GAZEWORKS_DASK_ADDRESS`, or makes one on this machine with `max_workers` processes.
    Dask pickles the data between its processes, so the cluster must be as trusted as this machine.

    Raises:
        BadInput: no such runner, or its library is not installed.
    """
    given = name or os.environ.get(RUNNER_VARIABLE) or "threads"
    if given not in get_args(RunnerName):
        raise BadInput(f"{RUNNER_VARIABLE} {given!r}: expected one of: {', '.join(get_args(RunnerName))}")
    if given == "threads":
        return threads(max_workers)
    if importlib.util.find_spec("prefect_dask") is None:
        raise BadInput("the task runner dask needs prefect-dask; run: pip install 'gazeworks[dask]'")
    from prefect_dask.task_runners import DaskTaskRunner

    address = os.environ.get(CLUSTER_VARIABLE)
    local = {"n_workers": max_workers, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    runner = DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=local)
    return cast(TaskRunner[Any], runner)
