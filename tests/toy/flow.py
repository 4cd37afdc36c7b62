"""The toy system's pipeline: import, count, report."""

import json
from pathlib import Path

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.plans.preflight import preflight
from tasks.reports.result import RunResult, finished
from tasks.stage_task import stage_task, tracked_flow
from tasks.store.artifacts import Store
from tasks.store.recordings import import_recording
from tests.toy import stage
from tests.toy.plan import CountConfig, ToyPlan


@stage_task("toy_count", stage)
def count(text: ArtifactRef, config: CountConfig) -> ArtifactRef: ...


@flow(name="toy_pipeline", persist_result=False)
def toy(text: Path, plan: ToyPlan, out: Path, runtime: Runtime, force: tuple[str, ...] = ()) -> RunResult:
    preflight(plan, {"text": text}, out, runtime)
    with tracked_flow({"plan": plan.model_dump(mode="json")}, force) as ledger:
        counted = count(import_recording(text), plan.count)
        numbers = Store.from_environment().manifest(counted).metrics
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps({"numbers": numbers, "how": [o.how for o in ledger.outcomes]}))
        ledger.run.artifact(out / "report.json", "report")
    verdict = "better" if numbers["letters"] > 2 else "regressed"
    return finished(RunResult(report=out / "report.json", verdict=verdict, numbers=numbers))
