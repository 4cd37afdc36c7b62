"""What a new Prefect server must know before runs can be started: pools, the GPU's slots, what to do with dead runs."""

import json
import logging
from datetime import timedelta
from pathlib import Path

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectAlreadyExists

from tasks.services import HEARTBEAT_S, POOLS

GPU_LIMIT = "gpu"
AUTOMATION = "runs without a heartbeat are crashed"
SILENCE_S = 4 * HEARTBEAT_S  # several beats: training that holds the interpreter's lock delays one now and then
_EVENT = "prefect.flow-run."

logger = logging.getLogger("gazeworks.server")


def set_up(num_gpus: int = 1) -> None:
    """Creates what is not there yet; what is there stays as its owner has made it."""
    with get_client(sync_client=True) as client:
        for pool in POOLS:
            create_pool(pool, "process", None)
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=num_gpus))
        except ObjectAlreadyExists:
            logger.debug("the limit %s is there", GPU_LIMIT)
        known = client.read_automations_by_name(AUTOMATION)
    if not known:
        silent_runs_crash(SILENCE_S).create()


def create_pool(name: str, kind: str, template: Path | None) -> None:
    """Creates a work pool, with the base job template of a file unless Prefect's own will do."""
    with get_client(sync_client=True) as client:
        text = {} if template is None else {"base_job_template": json.loads(template.read_text())}
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type=kind, **text))
        except ObjectAlreadyExists:
            logger.debug("the pool %s is there", name)


def silent_runs_crash(silence_s: float) -> Automation:
    """Marks a run as crashed when its process and its worker died together, so that it does not run for ever."""
    ends = {f"{_EVENT}{state}" for state in ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed")}
    trigger = EventTrigger(
        after={f"{_EVENT}heartbeat"},
        expect=ends,
        match=ResourceSpecification({"prefect.resource.id": [f"{_EVENT}*"]}),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=silence_s),
    )
    message = f"no heartbeat for {silence_s:g} s; a retry goes on from its last checkpoint"
    crash = ChangeFlowRunState(state=StateType.CRASHED, name="Zombie", message=message)
    return Automation(name=AUTOMATION, trigger=trigger, actions=[crash])
