"""Sets up a new Prefect server for runs: work pools, and the concurrency limit of the GPU."""

import json
import logging
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from tasks.server.services import POOLS

GPU_LIMIT = "gpu"
FORMER_AUTOMATION = "runs without a heartbeat are crashed"  # of 0.1.0; the watcher replaces it

logger = logging.getLogger("gazeworks.server")


def set_up(num_gpus: int = 1) -> None:
    """Creates pools and limit if they do not exist; existing ones are not changed."""
    with get_client(sync_client=True) as client:
        for pool in POOLS:
            create_pool(pool, "process", None)
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=num_gpus))
        except ObjectAlreadyExists:
            logger.debug("the limit %s is there", GPU_LIMIT)
        for automation in client.read_automations_by_name(FORMER_AUTOMATION):
            client.delete_automation(automation.id)


def create_pool(name: str, kind: str, template: Path | None) -> None:
    """Creates a work pool, with the base job template of a file, or with Prefect's own if `template` is None."""
    with get_client(sync_client=True) as client:
        text = {} if template is None else {"base_job_template": json.loads(template.read_text())}
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type=kind, **text))
        except ObjectAlreadyExists:
            logger.debug("the pool %s is there", name)
