"""A stage without a model, which counts its runs and writes one file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from gaze_core.artifacts import ArtifactRef, Produced
from gaze_core.config import Config, Runtime
from gaze_core.stages.context import Inputs, StageContext
from tasks.store.artifacts import Store


class CountConfig(Config):
    """Steps to count; `crash_at` dies there once, like a killed process would."""

    num_steps: int = 4
    name: str = ""


@dataclass
class Counter:
    """A stage like a stage module: `VERSION`, `run`, and records for the tests."""

    VERSION: int = 1
    crash_at: int = -1
    runs: list[int] = field(default_factory=list)  # the first step of each run

    def run(self, config: CountConfig, inputs: Inputs, context: StageContext) -> Produced:
        state = context.work_dir / "last"
        first = int(state.read_text()) if state.exists() else 0
        self.runs.append(first)
        for step in range(first, config.num_steps):
            if step == self.crash_at:
                self.crash_at = -1
                raise RuntimeError("killed")
            context.log.log(step, {"loss": 1.0 / (step + 1)})
            context.progress(step + 1, config.num_steps, 1.0 / (step + 1))
            if step % 2 == 1:  # a checkpoint each other step
                state.write_text(str(step + 1))
        result = context.work_dir / "result.txt"
        result.write_text(f"{config.num_steps} {config.name} {sorted(inputs)}")
        return Produced("checkpoint", {"result.txt": result}, {"final": 0.25}, subjects={"train": ("s1",)})


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def config(request: pytest.FixtureRequest) -> CountConfig:
    """A config that no other test uses, because all tests share one MLflow file."""
    return CountConfig(name=request.node.name)


@pytest.fixture
def stages(counter: Counter) -> SimpleNamespace:
    """`stages.first(config, runtime)` and `stages.second(data, config, runtime)`, both made of `counter`."""
    from tasks.stage_task import stage_task

    @stage_task("first", counter)
    def first(config: CountConfig, runtime: Runtime) -> ArtifactRef: ...  # type: ignore[empty-body]

    @stage_task("second", counter)
    def second(data: ArtifactRef, config: CountConfig, runtime: Runtime) -> ArtifactRef: ...  # type: ignore[empty-body]

    return SimpleNamespace(first=first, second=second)


@pytest.fixture
def work_dir(home: Path) -> Path:
    return home / "work"


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store on disk, and one in a bucket: both must behave the same."""
    if request.param == "disk":
        yield Store((tmp_path / "store folder").as_uri(), tmp_path / "cache")
    else:
        yield request.getfixturevalue("bucket")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store in a bucket that is not shared with other tests."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="gaze")
        yield Store("s3://gaze/some/prefix", tmp_path / "cache")
