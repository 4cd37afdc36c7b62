"""Downstream test of a redirector: does adding redirected images to few real ones make a better gaze estimator?"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from prefect import flow
from prefect.artifacts import create_markdown_artifact

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config, Runtime
from gaze_core.evaluation.downstream_page import markdown, write_downstream_page
from gaze_core.stages.redirection.downstream import IMAGES_FILE, DownstreamConfig, read_downstream
from tasks.stage_task import tracked_flow
from tasks.stages.redirection import downstream
from tasks.store.artifacts import Store


class AugmentationResult(Config):
    """Path of the report, verdict, main numbers and digests."""

    report: Path
    verdict: str
    caveat: str
    numbers: dict[str, float]
    digests: dict[str, str]


@flow(name="augmentation", persist_result=False)
def augmentation(
    checkpoint: ArtifactRef,
    data: ArtifactRef,
    config: DownstreamConfig,
    out: Path,
    runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    force: tuple[str, ...] = (),
) -> AugmentationResult:
    """Trains an estimator with and without redirected images and reports the difference with its interval."""
    store = Store.from_environment()
    with tracked_flow({"downstream": config.model_dump(mode="json")}, force, out) as ledger:
        measured = downstream(data, checkpoint, config, runtime)
        folder, manifest = store.fetch(measured), store.manifest(measured)
        report = read_downstream(folder)
        title = f"Downstream: {', '.join(manifest.subjects['test'])}"
        with np.load(folder / IMAGES_FILE, allow_pickle=False) as images:
            page = write_downstream_page(report, images, title, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", out)
        ledger.run.log_summary(manifest.metrics)
        ledger.run.artifact(page, "report")
        link = f"MLflow run: [{ledger.run.run_id}]({ledger.run.url})"
        create_markdown_artifact(f"# {title}\n\n{markdown(report)}\n\n{link}", key="augmentation-report")
    return AugmentationResult(
        report=page, verdict=report.verdict, caveat=report.caveat, numbers=manifest.metrics,
        digests={"data": data.digest(), "checkpoint": checkpoint.digest(), "downstream": measured.digest()},
    )  # fmt: skip
