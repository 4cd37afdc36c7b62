"""The caching contract, line by line, on a pipeline of three stages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import finished, wait_for
from tests.faults.pipeline import MODULES, STAGES, counted

pytestmark = pytest.mark.usefixtures("prefect_api")
Diary = Callable[[], list[str]]


@pytest.fixture
def run(request: pytest.FixtureRequest, diary: Diary) -> Callable[..., dict[str, str]]:
    """Runs the pipeline; returns the outcome of each stage."""
    return lambda **parameters: counted(salt=request.node.name, **parameters)


def ran(*stages: str) -> dict[str, str]:
    """All stages cached, but for those named."""
    return {stage: "computed" if stage in stages else "cached" for stage in STAGES}


def files_of(home: Path, stage: str) -> list[Path]:
    return list((home / "store" / stage).glob("*/result.json"))


def test_unchanged_inputs_never_train_twice_not_even_in_another_process_at_the_same_time(
    run: Callable[..., Any], start_pipeline: Callable[..., Any], diary: Diary, request: pytest.FixtureRequest
) -> None:
    other = start_pipeline({"PIPELINE_STEP_S": "0.2"}, salt=request.node.name, num_steps=25)
    wait_for(lambda: "learn 0" in diary(), "the other process to be in its training")
    ours, theirs = run(num_steps=25), finished(other)
    assert (ours["learn"], theirs["learn"]) == ("cached", "computed")
    assert {ours["judge"], theirs["judge"]} == {"cached", "computed"}  # whoever came first
    assert run(num_steps=25) == ran()
    assert diary() == ["gather 0", "learn 0", "judge 0"]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"rate": 0.25}, ("learn", "judge")),
        ({"threshold": 2.0}, ("judge",)),
        ({"num_workers": 2, "checkpoint_every_steps": 1}, ()),  # the runtime
    ],
)
def test_a_change_runs_from_its_stage_on_and_nothing_before(
    run: Callable[..., Any], change: dict[str, Any], again: tuple[str, ...]
) -> None:
    run()
    assert run(**change) == ran(*again)
    assert run(**change) == ran()
    assert run() == ran()  # and what was there before still counts


def test_a_new_version_of_a_stage_runs_it_anew(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.faults import pipeline

    run()
    monkeypatch.setattr(MODULES["learn"], "VERSION", 2)
    renewed = pipeline.stage_task("learn", MODULES["learn"])(pipeline.learn.__wrapped__)
    monkeypatch.setattr(pipeline, "learn", renewed)
    # The new version writes the same bytes, so the stage after it has nothing to do.
    assert run() == ran("learn")
    assert run() == ran()


@pytest.mark.parametrize(("damage", "stage"), [("deleted", "learn"), ("one byte", "learn"), ("one byte", "judge")])
def test_what_rots_in_the_store_is_noticed_computed_again_and_said(
    run: Callable[..., Any], home: Path, caplog: pytest.LogCaptureFixture, damage: str, stage: str
) -> None:
    run()
    (file,) = files_of(home, stage)
    before = file.read_bytes()
    file.chmod(0o644)
    if damage == "deleted":
        file.unlink()
    else:
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with caplog.at_level("WARNING", logger="gazeworks"):
        assert run() == ran(stage)
    assert f"{stage}: the cached result was lost and is computed again" in caplog.text
    assert file.read_bytes() == before
    assert run() == ran()


def test_refresh_computes_everything_and_force_what_it_names(run: Callable[..., Any], diary: Diary) -> None:
    from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

    run()
    with temporary_settings({PREFECT_TASKS_REFRESH_CACHE: True}):
        assert run() == ran(*STAGES)
    assert run(force=("judge",)) == ran("judge")
    assert run() == ran()
    assert [line.split()[0] for line in diary()] == [*STAGES, *STAGES, "judge"]


def test_results_hold_no_address_and_nothing_large_is_in_prefect(run: Callable[..., Any], home: Path) -> None:
    run()
    records = [path for path in (home / "results").rglob("*") if path.is_file()]
    assert records
    assert max(path.stat().st_size for path in records) < 4096
    for path in records:
        assert str(home / "store") not in path.read_text()
        assert (home / "store" / json.loads(json.loads(path.read_text())["result"])["data"]["name"]).is_dir()
