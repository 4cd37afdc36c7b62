"""The watcher against a real server: only Running runs without heartbeats are marked as crashed."""

import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.states import AwaitingConcurrencySlot, AwaitingRetry, Cancelling, Completed, Failed, Running, State

from tasks.server import watcher
from tests.faults.cluster import Cluster
from tests.faults.conftest import wait_for

pytestmark = pytest.mark.faults
NUM_BEATS = 3
STATES = {
    "silent": Running(),
    "beating": Running(),
    "never beat": Running(),  # a command line's
    "waits for a slot": AwaitingConcurrencySlot(),
    "waits for its retry": AwaitingRetry(),
    "is cancelled": Cancelling(),
    "regressed": Completed(name="Regressed"),
    "completed": Completed(),
    "failed": Failed(),
}


@flow
def nothing() -> None:
    """Never called: its runs are made by hand."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncPrefectClient]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    with cluster.settings():
        try:
            cluster.start_server()
            EventsWorker.drain_all(at_exit=False)  # of earlier tests, which would go on telling their own server
            with cluster.client() as client:
                yield client
        finally:
            cluster.close()


def beat(run: UUID) -> None:
    emit_event("prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run}"})


def look(client: SyncPrefectClient) -> None:
    """One check, whose heartbeat arrives before the next one."""
    before = watcher._beats(client, "gazeworks.watcher.heartbeat", "gazeworks.watcher").total
    watcher.mark_silent_runs(client, NUM_BEATS, "silent")
    wait_for(
        lambda: watcher._beats(client, "gazeworks.watcher.heartbeat", "gazeworks.watcher").total > before, "a beat", 30
    )


def test_only_running_runs_that_have_fallen_silent_are_crashed(client: SyncPrefectClient) -> None:
    runs = {name: client.create_flow_run(nothing, name=name).id for name in STATES}
    for name, run in runs.items():
        client.set_flow_run_state(run, Running(), force=True)
        if name != "never beat":
            beat(run)
    for name in set(STATES) - {"never beat"}:
        resource = f"prefect.flow-run.{runs[name]}"
        wait_for(lambda r=resource: watcher._beats(client, "prefect.flow-run.heartbeat", r).total > 0, "its beat", 30)
    for name, state in STATES.items():
        if state.name != "Running":
            client.set_flow_run_state(runs[name], state, force=True)

    def now() -> dict[str, State | None]:
        return {name: client.read_flow_run(run).state for name, run in runs.items()}

    expected = {name: state.name for name, state in STATES.items()}
    for _ in range(NUM_BEATS):
        look(client)
        assert {name: state and state.name for name, state in now().items()} == expected
        beat(runs["beating"])
        time.sleep(0.1)
    wait_for(lambda: watcher._beats(client, "prefect.flow-run.heartbeat", f"prefect.flow-run.{runs['beating']}").total
             == NUM_BEATS + 1, "its last beat", 30)  # fmt: skip
    look(client)
    assert {name: state and state.name for name, state in now().items()} == expected | {"silent": "Zombie"}
    assert client.read_flow_run(runs["silent"]).state_type == "CRASHED"


def test_a_run_that_has_ended_meanwhile_stays_as_it_ended(client: SyncPrefectClient, monkeypatch) -> None:
    run = client.create_flow_run(nothing)
    client.set_flow_run_state(run.id, Running(), force=True)
    beat(run.id)
    resource = f"prefect.flow-run.{run.id}"
    wait_for(lambda: watcher._beats(client, "prefect.flow-run.heartbeat", resource).total > 0, "its beat", 30)
    for _ in range(NUM_BEATS):
        look(client)
    as_it_was = client.read_flow_run(run.id)
    client.set_flow_run_state(run.id, Completed())
    monkeypatch.setattr(watcher, "_running", lambda client: [as_it_was])
    watcher.mark_silent_runs(client, NUM_BEATS, "silent")
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.name == "Completed"
