"""Stages through real flows: caching, loss of artifacts, waiting for another run, resuming."""

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect import flow

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Runtime
from gaze_core.errors import BadInput, ContractViolation
from tasks import environment
from tasks.stage_task import StageOutcome, tracked_flow
from tasks.store.artifacts import Store
from tasks.tracking import runs
from tasks.tracking.writer import PARENT_TAG
from tests.tasks.conftest import CountConfig, Counter

pytestmark = pytest.mark.usefixtures("prefect_api")


def run_pipeline(
    stages: SimpleNamespace, config: CountConfig, runtime: Runtime | None = None, **options: Any
) -> list[StageOutcome]:
    """Both stages in one flow run; returns their outcomes."""

    @flow(name="pipeline")
    def pipeline() -> list[StageOutcome]:
        with tracked_flow({"config": config.model_dump()}, **options) as ledger:
            head = stages.first(config, runtime or Runtime(progress=False))
            stages.second(head, config, runtime=runtime or Runtime(progress=False))
            return ledger.outcomes

    return pipeline()


def hows(outcomes: list[StageOutcome]) -> list[tuple[str, str]]:
    return [(outcome.stage, outcome.how) for outcome in outcomes]


def folder(ref: ArtifactRef) -> Path:
    return Store.from_environment().fetch(ref)


def test_a_second_flow_run_reuses_both_stages(
    stages: SimpleNamespace, counter: Counter, config: CountConfig, work_dir: Path
) -> None:
    computed = run_pipeline(stages, config)
    cached = run_pipeline(stages, config, Runtime(progress=False, num_workers=2, device="cpu"))
    assert hows(computed) == [("first", "computed"), ("second", "computed")]
    assert hows(cached) == [("first", "cached"), ("second", "cached")]
    assert [o.ref for o in computed] == [o.ref for o in cached]
    assert counter.runs == [0, 0]
    assert list(work_dir.iterdir()) == []  # neither work folders nor locks stay behind


def test_a_run_of_another_precision_is_given_no_result_of_full_precision(
    stages: SimpleNamespace, config: CountConfig
) -> None:
    full = run_pipeline(stages, config)
    half = run_pipeline(stages, config, Runtime(progress=False, precision="bf16-mixed"))
    again = run_pipeline(stages, config, Runtime(progress=False, precision="bf16-mixed"))
    assert [outcome.how for outcome in half] == ["computed", "computed"]
    assert [outcome.how for outcome in again] == ["cached", "cached"]
    manifests = [Store.from_environment().manifest(outcomes[0].ref) for outcomes in (full, half)]
    assert [manifest.precision for manifest in manifests] == ["32-true", "bf16-mixed"]
    assert {"torch", "timm", "ai-edge-litert"} <= set(manifests[0].packages)


def address(name: str) -> str:
    return f"file:///gone/store/{name}"


def in_the_old_form(home: Path) -> list[Path]:
    """Writes references in the earlier form, with the address of a store, which no longer exists."""

    def old(value: Any) -> Any:
        if isinstance(value, dict):
            if "name" in value and "sha256" in value:
                value = {"kind": value["kind"], "uri": address(value.pop("name"))} | value
            return {key: old(item) for key, item in value.items()}
        return value

    manifests, results = list((home / "store").rglob("manifest.json")), list((home / "results").iterdir())
    for path in manifests:
        path.chmod(0o644)
        path.write_text(json.dumps(old(json.loads(path.read_text()))))
    for path in results:
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"result": json.dumps(old(json.loads(record["result"])))}))
    return [*manifests, *results]


@pytest.mark.parametrize("what", ["stays", "is moved", "is moved without results"])
def test_a_home_of_addresses_is_still_all_hits(
    stages: SimpleNamespace,
    counter: Counter,
    config: CountConfig,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    before = run_pipeline(stages, config)
    written = in_the_old_form(home)
    assert len(written) == 4
    assert all(f"{address('')}{row.stage}/" in "".join(path.read_text() for path in written) for row in before)
    if what == "is moved without results":
        shutil.rmtree(home / "results")
    if what != "stays":
        home = home.rename(home.with_name("another name"))
    monkeypatch.setenv("GAZEWORKS_HOME", str(home))
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: home / "results"}):
        after = run_pipeline(stages, config)
    assert [(row.how, row.ref) for row in after] == [("cached", row.ref) for row in before]
    assert counter.runs == [0, 0]
    assert Store.from_environment().manifest(after[1].ref).parents == {"data": after[0].ref}


def test_a_cached_result_is_looked_up_in_the_store_of_now(
    stages: SimpleNamespace,
    counter: Counter,
    config: CountConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = run_pipeline(stages, config)
    monkeypatch.setenv("GAZEWORKS_STORE", str(tmp_path / "another"))
    after = run_pipeline(stages, config)
    assert hows(after) == [("first", "computed"), ("second", "computed")]
    assert [row.ref.sha256 for row in after] == [row.ref.sha256 for row in before]
    assert "computed again" in after[0].note
    assert {
        path.parent.relative_to(tmp_path / "another").as_posix() for path in tmp_path.glob("another/*/*/manifest.json")
    } == {row.ref.name for row in after}
    monkeypatch.setenv("GAZEWORKS_STORE", str((tmp_path / "another").rename(tmp_path / "moved")))
    assert [row.how for row in run_pipeline(stages, config)] == ["cached", "cached"]
    assert counter.runs == [0, 0, 0, 0]


def test_another_config_computes_again(stages: SimpleNamespace, counter: Counter, config: CountConfig) -> None:
    run_pipeline(stages, config)
    assert "computed" not in str(hows(run_pipeline(stages, config)))
    assert hows(run_pipeline(stages, config.model_copy(update={"num_steps": 5}))) == [
        ("first", "computed"),
        ("second", "computed"),
    ]


def test_force_computes_the_named_stage_only(stages: SimpleNamespace, counter: Counter, config: CountConfig) -> None:
    run_pipeline(stages, config)
    assert hows(run_pipeline(stages, config, force=("second",))) == [
        ("first", "cached"),
        ("second", "computed"),
    ]


def test_forcing_a_stage_that_is_none_is_refused(stages: SimpleNamespace, config: CountConfig) -> None:
    with pytest.raises(BadInput, match="no stage named frist; there are: .*first.*second"):
        run_pipeline(stages, config, force=("frist",))


@pytest.mark.parametrize("damage", ["deleted", "changed"])
def test_a_lost_artifact_is_computed_again_and_reported(
    stages: SimpleNamespace,
    counter: Counter,
    config: CountConfig,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    before = run_pipeline(stages, config)
    result = folder(before[0].ref) / "result.txt"
    if damage == "deleted":
        shutil.rmtree(result.parent)
    else:
        result.chmod(0o644)
        result.write_text("rot")
    with caplog.at_level(logging.WARNING, logger="gazeworks"):
        after = run_pipeline(stages, config)
    assert hows(after) == [("first", "computed"), ("second", "cached")]
    assert after[0].ref.sha256 == before[0].ref.sha256
    assert "computed again" in after[0].note
    assert "computed again" in caplog.text
    assert hows(run_pipeline(stages, config)) == [("first", "cached"), ("second", "cached")]


def test_without_prefects_records_the_store_is_asked(
    stages: SimpleNamespace, counter: Counter, config: CountConfig, home: Path
) -> None:
    run_pipeline(stages, config)
    shutil.rmtree(home / "results")
    assert hows(run_pipeline(stages, config)) == [("first", "cached"), ("second", "cached")]
    assert counter.runs == [0, 0]


def test_two_at_once_compute_once(stages: SimpleNamespace, counter: Counter, config: CountConfig) -> None:
    @flow(name="twice")
    def twice() -> tuple[list[ArtifactRef], list[StageOutcome]]:
        with tracked_flow({}) as ledger:
            pending = [stages.first.submit(config, Runtime(progress=False)) for _ in range(3)]
            return [one.result() for one in pending], ledger.outcomes

    refs, outcomes = twice()
    assert counter.runs == [0]
    assert len({ref.sha256 for ref in refs}) == 1
    assert sorted(outcome.how for outcome in outcomes) == ["cached", "cached", "computed"]


def test_a_killed_stage_goes_on_and_its_mlflow_run_has_each_step_once(
    stages: SimpleNamespace, counter: Counter, config: CountConfig, work_dir: Path
) -> None:
    counter.crash_at = 3
    with pytest.raises(RuntimeError, match="killed"):
        run_pipeline(stages, config)
    assert len(list(work_dir.iterdir())) == 1
    resumed = run_pipeline(stages, config)
    assert hows(resumed) == [("first", "resumed"), ("second", "computed")]
    assert counter.runs == [0, 2, 0]  # from the checkpoint after step 1, not from the start

    client = MlflowClient(environment.tracking_uri())
    key = resumed[0].ref.mlflow_run_id
    steps = [metric.step for metric in client.get_metric_history(key, "loss")]
    assert sorted(steps) == [0, 1, 2, 3]
    experiment = client.get_run(key).info.experiment_id
    tag = client.get_run(key).data.tags[runs.KEY_TAG]
    assert len(client.search_runs([experiment], f"tags.`{runs.KEY_TAG}` = '{tag}'")) == 1


def test_stages_are_children_of_the_flow_run(stages: SimpleNamespace, config: CountConfig) -> None:
    outcomes = run_pipeline(stages, config)
    client = MlflowClient(environment.tracking_uri())
    children = [client.get_run(outcome.ref.mlflow_run_id) for outcome in outcomes]
    parents = {child.data.tags[PARENT_TAG] for child in children}
    assert len(parents) == 1
    parent = client.get_run(parents.pop())
    assert parent.data.params == {"config.num_steps": "4", "config.name": config.name}
    assert parent.data.tags["gazeworks.how.first"] == "computed"
    assert children[0].data.metrics == {"loss": 0.25, "final": 0.25}
    assert children[0].data.tags["gazeworks.sha256"] == outcomes[0].ref.sha256
    assert children[0].data.params["config.num_steps"] == "4"
    assert {child.info.status for child in children} | {parent.info.status} == {"FINISHED"}
    assert [file.path for file in client.list_artifacts(children[0].info.run_id)] == ["manifest.json"]


def test_an_input_without_identity_stops_before_any_work(stages: SimpleNamespace, counter: Counter) -> None:
    with pytest.raises(ContractViolation, match="input 'data' is a str"):
        stages.second("/some/path", CountConfig(), Runtime())
    assert counter.runs == []


def test_without_a_flow_a_stage_still_works(stages: SimpleNamespace, counter: Counter, config: CountConfig) -> None:
    first = stages.first(config, Runtime(progress=False))
    assert stages.first(config, Runtime(progress=False)) == first
    assert counter.runs == [0]
