"""What must not be deleted: artifacts that MLflow's registry, a kept run or an unsent message names."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from gaze_core.errors import BadInput
from tasks import environment, outbox
from tasks.mlflow_runs import FLOW_RUN_TAG, Outage, noticing_outages
from tasks.tracking import ARTIFACT_TAG, KEY_TAG, USED_FILE

KEEP_TAG = "gazeworks.keep"  # set it to anything on a flow's run in MLflow, and its artifacts stay
_PAGE = 500


def kept_names(keep_last: int) -> list[str]:
    """Texts that name artifacts to keep, by their URI.

    Kept are those of each registered model version with an alias, of flow runs that are tagged `gazeworks.keep`, that
    have not ended, or that are among the `keep_last` newest of their flow and experiment, and of all that waits to be
    sent to MLflow.

    Raises:
        BadInput: MLflow is out of reach, so nobody knows what must be kept.
    """
    try:
        with noticing_outages():
            client = MlflowClient(environment.tracking_uri())
            names = [*_of_registry(client), *_of_flow_runs(client, keep_last)]
    except Outage as outage:
        raise BadInput(
            f"MLflow is out of reach, so what must be kept is not known and nothing is deleted: {outage}"
        ) from outage
    return names + [json.dumps(operation) for box in outbox.waiting() for operation in box.read()]


def _of_registry(client: MlflowClient) -> Iterator[str]:
    for model in client.search_registered_models(max_results=_PAGE):
        for number in {int(version) for version in model.aliases.values()}:
            yield from _of_version(client, client.get_model_version(model.name, str(number)))


def _of_version(client: MlflowClient, version: ModelVersion) -> Iterator[str]:
    yield from (str(version.source), *version.tags.values())
    if version.run_id:
        run = client.get_run(version.run_id)
        yield from run.data.tags.values()
        yield from _files_of(client, run)


def _of_flow_runs(client: MlflowClient, keep_last: int) -> Iterator[str]:
    seen: Counter[tuple[str, str]] = Counter()
    for run in _runs(client):
        tags = run.data.tags
        if KEY_TAG in tags and run.info.status == "RUNNING":
            yield tags.get(ARTIFACT_TAG, "")
        if FLOW_RUN_TAG in tags:
            flow = run.info.experiment_id, run.info.run_name
            seen[flow] += 1
            if seen[flow] <= keep_last or KEEP_TAG in tags or run.info.status == "RUNNING":
                yield from _files_of(client, run)


def _runs(client: MlflowClient) -> Iterator[Run]:
    """Of all experiments: one store may serve several."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    token = None
    while token != "":
        page = client.search_runs(experiments, order_by=["start_time DESC"], max_results=_PAGE, page_token=token)
        yield from page
        token = page.token or ""


def _files_of(client: MlflowClient, run: Run) -> Iterator[str]:
    """The list of artifacts that a flow's run used; a run that died before it could write one has none."""
    if USED_FILE in {file.path for file in client.list_artifacts(run.info.run_id)}:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(client.download_artifacts(run.info.run_id, USED_FILE, folder)).read_text()
