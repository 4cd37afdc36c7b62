import pytest

from gaze_core.artifacts import ArtifactRef
from gaze_core.config import Config, Runtime
from gaze_core.errors import ContractViolation
from tasks.keys import stage_key


class Settings(Config):
    num_steps: int = 3


DATA = ArtifactRef(
    kind="dataset",
    name=f"preprocess/{16 * '0'}-{16 * 'a'}",
    sha256="a" * 64,
    stage="preprocess",
    stage_version=1,
    config_digest="c",
)
CALL = {"data": DATA, "config": Settings(), "runtime": Runtime()}


def test_where_and_how_fast_it_runs_is_not_in_the_key() -> None:
    elsewhere = {**CALL, "runtime": Runtime(device="cpu", num_workers=3, log_every_steps=1)}
    moved = {
        **CALL,
        "data": DATA.model_copy(update={"name": f"preprocess/{16 * '1'}-{16 * 'a'}", "mlflow_run_id": "1"}),
    }
    assert stage_key("fit", 1, elsewhere) == stage_key("fit", 1, moved) == stage_key("fit", 1, CALL)


def test_version_config_and_content_are_in_the_key() -> None:
    keys = {
        stage_key("fit", 1, CALL),
        stage_key("fit", 2, CALL),
        stage_key("fit", 1, {**CALL, "config": Settings(num_steps=4)}),
        stage_key("fit", 1, {**CALL, "data": DATA.model_copy(update={"sha256": "b" * 64})}),
    }
    assert len(keys) == 4


def test_precision_is_in_the_key() -> None:
    half = {**CALL, "runtime": Runtime(precision="bf16-mixed")}
    assert stage_key("fit", 1, half) != stage_key("fit", 1, CALL)


def test_the_key_of_a_computation_is_the_same_in_every_process() -> None:
    # A change of this value makes every stored result of every user unreachable: it must be on purpose.
    assert stage_key("fit", 1, CALL) == "fit-cc7232c16b1b5600"


@pytest.mark.parametrize("bad", [{"data": "/some/path"}, {"config": {"num_steps": 3}}, {"extra": 1.0}])
def test_arguments_without_identity_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ContractViolation):
        stage_key("fit", 1, {**CALL, **bad})
