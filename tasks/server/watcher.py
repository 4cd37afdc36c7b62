"""Marks runs as crashed if their process and worker died together, so that they do not stay Running for ever.

Prefect's automations see events, not states, so an automation would also end runs that wait or have ended. The watcher
queries the Running runs and counts its own heartbeats since a run's last one. Both take the same way: while the server is
away or slow, neither arrives, and no run is marked.

A service of `gazeworks server start`:  python -m tasks.server.watcher
"""

import logging
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.events import EventPage
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Crashed

from tasks.server.services import HEARTBEAT_S

NUM_BEATS = 4  # training that holds the interpreter's lock delays a run's beat now and then
STATE_NAME = "Zombie"
_WATCHER, _RUN = "gazeworks.watcher", "prefect.flow-run"
_RUNNING = FlowRunFilter.model_validate({"state": {"type": {"any_": [StateType.RUNNING]}}})
_PAGE = 200

logger = logging.getLogger("gazeworks.watcher")


def watch(beat_s: float = HEARTBEAT_S, num_beats: int = NUM_BEATS) -> None:
    """Checks all runs once per heartbeat, for ever; waits for a server that is away."""
    while True:
        try:
            with get_client(sync_client=True) as client:
                mark_silent_runs(client, num_beats, f"no heartbeat for {num_beats * beat_s:g} s")
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            logger.warning("Prefect's server cannot be reached (%s: %s)", type(error).__name__, error)
        time.sleep(beat_s)


def mark_silent_runs(client: SyncPrefectClient, num_beats: int, why: str) -> None:
    """Marks each Running run as crashed that sent no heartbeat while `num_beats` of the watcher's arrived.

    A run that has never sent a heartbeat, such as one of the command line, is left alone.
    """
    runs = list(_running(client))
    if runs:
        emit_event(f"{_WATCHER}.heartbeat", resource={"prefect.resource.id": _WATCHER})
    for run in runs:
        received = _beats(client, f"{_RUN}.heartbeat", f"{_RUN}.{run.id}").events
        if not received or run.state is None:
            continue
        since = max(received[0].received, run.state.timestamp)
        if _beats(client, f"{_WATCHER}.heartbeat", _WATCHER, since).total >= num_beats:
            logger.warning("%s (%s): %s", run.name, run.id, why)
            # Not forced: the server refuses if the run has ended meanwhile.
            state: State[Any] = Crashed(name=STATE_NAME, message=f"{why}; a retry goes on from its last checkpoint")
            client.set_flow_run_state(run.id, state)


def _running(client: SyncPrefectClient) -> Iterator[FlowRun]:
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=_RUNNING, limit=_PAGE, offset=offset):
        yield from page
        offset += len(page)


def _beats(client: SyncPrefectClient, event: str, resource: str, since: datetime | None = None) -> EventPage:
    """Heartbeat events of a resource, the newest first."""
    occurred = EventOccurredFilter() if since is None else EventOccurredFilter(since=since)
    about = {"event": EventNameFilter(name=[event]), "resource": EventResourceFilter(id=[resource])}
    return client.read_events(EventFilter(occurred=occurred, **about), limit=1)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s")
    watch()
