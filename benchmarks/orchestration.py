"""`python benchmarks/orchestration.py [--subjects 200]`: overhead of Prefect, the store and MLflow around a stage.

Starts a server of its own and ends it; prints JSON. A stage that does nothing is run once for each `--tasks`, then again
from the cache; then one task for each subject is distributed over threads; then metrics are logged step by step.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NUM_STEPS = 2000
TERMS = ("raw_l1", "final_l1", "eyes_l1", "silhouette", "total")


def main() -> None:
    """Measures in a temporary home."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=30)
    parser.add_argument("--subjects", type=int, default=200)
    parser.add_argument("--record", type=Path, help="folder of records, docs/measured/orchestration")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"GAZEWORKS_HOME": home, "PREFECT_LOGGING_LEVEL": "ERROR"}
        from tasks.server.own_server import prefect_server

        with prefect_server() as ready:
            ready()
            measured = {"stages_ms": _stages(options.tasks), "fan_out": _fan_out(options.subjects, Path(home))}
            measured |= {"metrics": _metrics()}
    if options.record:
        from tasks.measurements import record_values

        record_values(options.record, "what Prefect, the store and MLflow cost around a stage", measured)
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")


def _stages(count: int) -> dict[str, Any]:
    from prefect import flow

    from gaze_core.artifacts import ArtifactRef, Produced
    from gaze_core.config import Config, Runtime
    from tasks.stage_task import stage_task, tracked_flow

    class Number(Config):
        number: int

    def run(config: Number, inputs: Any, context: Any) -> Produced:
        path = context.work_dir / "number"
        path.write_text(str(config.number))
        return Produced("report", {"number": path})

    @stage_task("nothing", SimpleNamespace(VERSION=1, run=run))
    def nothing(config: Number, runtime: Runtime) -> ArtifactRef: ...  # type: ignore[empty-body]

    @flow(name="stages")
    def stages() -> list[float]:
        with tracked_flow({}):
            nothing(Number(number=-1), Runtime(progress=False))  # the first also makes MLflow's tables
            return [_ms(lambda n=n: nothing(Number(number=n), Runtime(progress=False))) for n in range(count)]  # type: ignore[misc]

    computed, cached = stages(), stages()
    return {
        "computed_median": statistics.median(computed), "cached_median": statistics.median(cached),
        "computed": computed, "cached": cached,
    }  # fmt: skip


def _fan_out(subjects: int, folder: Path) -> dict[str, float]:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    @task(cache_policy=NO_CACHE, persist_result=False)
    def subject(number: int) -> int:
        return number

    @flow(name="fan_out", task_runner=ThreadPoolTaskRunner(max_workers=8))
    def fan_out() -> int:
        return sum(future.result() for future in [subject.submit(number) for number in range(subjects)])

    total: list[int] = []
    elapsed_ms = _ms(lambda: total.append(fan_out()))
    assert total == [sum(range(subjects))]
    locked = (folder / "own_server.log").read_text().count("database is locked")
    return {"subjects": subjects, "ms_per_task": elapsed_ms / subjects, "database_is_locked": locked}


def _metrics() -> dict[str, float]:
    from tasks.tracking import runs

    with runs.stage_run("metrics", "metrics-0", "", {}) as run:
        elapsed_ms = _ms(lambda: _log_steps(run))
    return {"terms": len(TERMS), "ms_per_logged_step": elapsed_ms / NUM_STEPS}


def _log_steps(run: Any) -> None:
    for step in range(1, NUM_STEPS + 1):
        run.log(step, dict.fromkeys(TERMS, 1.0 / step))
    run.flush()


def _ms(work: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started_s)


if __name__ == "__main__":
    main()
