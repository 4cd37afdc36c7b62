"""Driver gaze: extract -> fine-tune -> evaluate before and after -> compare -> report; also single steps as flows."""

import logging
import time
from pathlib import Path

from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.assets import resolve
from gaze_core.config import Runtime
from gaze_core.driver.extraction import ExtractConfig
from gaze_core.driver.shipped_files import BASE_FILE, shipped
from gaze_core.plans.driver import DriveFiles, DriverPlan
from gaze_core.plans.preflight import preflight
from gaze_core.stages.driver.pretrain import DriverPretrainConfig
from tasks import environment
from tasks.reports.driver import FILES, DriverReport, write_driver_report
from tasks.reports.result import finished
from tasks.stage_task import tracked_flow
from tasks.stages.driver import compare, evaluate, extract, finetune, import_estimator, pretrain
from tasks.store.recordings import import_recording, naming_users_file


@flow(name="driver", persist_result=False)
def driver(
    files: DriveFiles,
    weights: Path | None,
    plan: DriverPlan,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    force: tuple[str, ...] = (),
) -> DriverReport:
    """Fine-tunes an estimator on one drive and reports its errors before and after on held-out blocks of time.

    Without `weights` it is the one that ships with the package. If it became worse, the run ends in a completed state named
    `Regressed`.
    """
    started_s = time.monotonic()
    start = weights.name if weights else "the estimator that ships with the package"
    weights = weights or shipped(BASE_FILE)
    preflight(plan, {**dict(files), "weights": weights}, out, runtime)
    with tracked_flow({"plan": plan.model_dump(mode="json")}, force, out) as ledger:
        logging.getLogger(f"{environment.LOGGER}.driver").info("fine-tuning starts from %s", start)
        base = import_estimator(weights)
        data = _extracted(files, plan.extract, runtime)
        tuned = finetune(data, base, plan.finetune, runtime)
        before, after = (evaluate(data, estimator, plan.evaluate, runtime) for estimator in (base, tuned))
        comparison = compare(after, before, plan.tolerance)
        refs = {
            "data": data, "base": base, "finetuned": tuned, "before": before, "after": after, "comparison": comparison,
        }  # fmt: skip
        report = write_driver_report(refs, start, ledger.outcomes, time.monotonic() - started_s, out)
        ledger.run.log_summary(report.numbers)
        for name in FILES:
            ledger.run.artifact(out / name, "report")
    return finished(report, report.reasons)


@flow(name="driver-extract", persist_result=False)
def extract_only(
    files: DriveFiles,
    config: ExtractConfig,
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> ArtifactRef:
    """Extracts frames, faces and, if there is a table, labels of one drive."""
    with tracked_flow({"config": config.model_dump(mode="json")}, force):
        files.require_readable(config)
        resolve("face_landmarker")
        return _extracted(files, config, runtime)


@flow(name="driver-pretrain", persist_result=False)
def pretrain_only(
    people: Path,
    config: DriverPretrainConfig,
    runtime: Runtime = Runtime(),  # noqa: B008
    force: tuple[str, ...] = (),
) -> ArtifactRef:
    """Trains a face estimator on the subject files in a folder."""
    with tracked_flow({"config": config.model_dump(mode="json")}, force):
        imported = import_recording(people, "synthetic")
        with naming_users_file(people, imported):
            return pretrain(imported, config, runtime)


def _extracted(files: DriveFiles, config: ExtractConfig, runtime: Runtime) -> ArtifactRef:
    video, sensors, road = (path and import_recording(path) for path in (files.video, files.sensors, files.road))
    return extract(video, config, runtime, sensors, road)  # type: ignore[arg-type]
