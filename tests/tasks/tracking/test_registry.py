"""The alias champion moves only to a better model, and only from the model that was compared."""

import uuid

import pytest
from mlflow import MlflowClient
from mlflow.utils.uri import is_local_uri

from gaze_core.artifacts import ArtifactRef
from gaze_core.errors import BadInput, ContractViolation
from tasks import environment
from tasks.tracking.registry import CHAMPION, VERDICT_TAG, champion, model_name, promote, register


def checkpoint(kind="checkpoint"):
    return ArtifactRef(
        kind=kind, name=f"gaze_gaussian/{uuid.uuid4().hex[:16]}-{uuid.uuid4().hex[:16]}", sha256=uuid.uuid4().hex * 2,
        stage="gaze_gaussian", stage_version=1, config_digest="c",
    )  # fmt: skip


@pytest.fixture
def name():
    return f"redirection-{uuid.uuid4()}"


def test_a_better_model_becomes_the_champion_and_others_do_not(name):
    assert champion(name) is None
    first = register(name, checkpoint())
    assert champion(name) is None
    assert promote(first, "better", None)
    assert champion(name) == first
    for verdict in ("equal", "regressed"):
        other = register(name, checkpoint())
        assert not promote(other, verdict, first)
        assert champion(name) == first
        assert (
            MlflowClient(environment.tracking_uri()).get_model_version(name, other.version).tags[VERDICT_TAG] == verdict
        )
    better = register(name, checkpoint())
    assert promote(better, "better", first)
    assert champion(name).ref == better.ref


def test_the_same_checkpoint_is_one_version(name):
    ref = checkpoint()
    assert register(name, ref) == register(name, ref)


def test_the_champion_keeps_its_verdict_when_compared_with_itself(name):
    model = register(name, checkpoint())
    promote(model, "better", None)
    assert not promote(model, "equal", model)
    assert MlflowClient(environment.tracking_uri()).get_model_version(name, model.version).tags[VERDICT_TAG] == "better"


def test_a_champion_that_changed_meanwhile_is_not_replaced(name):
    first, second, third = (register(name, checkpoint()) for _ in range(3))
    promote(first, "better", None)
    promote(second, "better", first)
    with pytest.raises(ContractViolation, match="compared with version 1, but the champion is now version 2"):
        promote(third, "better", first)
    assert champion(name) == second


def test_only_checkpoints_are_registered(name):
    with pytest.raises(BadInput, match="expected a checkpoint to register"):
        register(name, checkpoint("report"))


def test_a_champion_of_someone_else_is_refused_by_name(name):
    client = MlflowClient(environment.tracking_uri())
    client.create_registered_model(name)
    version = client.create_model_version(name, "file:///elsewhere")
    client.set_registered_model_alias(name, CHAMPION, version.version)
    with pytest.raises(BadInput, match="was not registered by Gazeworks"):
        champion(name)


@pytest.mark.parametrize(
    ("system", "subjects", "expected"),
    [
        ("redirection", ["b", "a"], "redirection-a-b"),  # as registries of earlier versions have it
        ("driver", ["p 1/x:y"], "driver-p_1_x_y"),
        ("judge", list("dcba"), "judge-a-and-3-others"),
    ],
)
def test_a_registered_model_is_named_by_its_system_and_its_people(system, subjects, expected):
    assert model_name(system, subjects) == expected


def test_the_champion_that_an_earlier_version_registered_is_found():
    """It called each model `redirection-` and its people, and kept the reference in a tag."""
    subject, ref, client = uuid.uuid4().hex, checkpoint(), MlflowClient(environment.tracking_uri())
    client.create_registered_model(f"redirection-{subject}")
    tags = {"gazeworks.artifact_ref": ref.model_dump_json(), "gazeworks.sha256": ref.sha256}
    made = client.create_model_version(f"redirection-{subject}", f"gazeworks:/{ref.name}", tags=tags)
    client.set_registered_model_alias(made.name, "champion", made.version)
    assert champion(model_name("redirection", [subject])).ref == ref
    assert champion(model_name("driver", [subject])) is None


def test_a_server_of_mlflow_takes_the_source_of_a_version(name):
    """It refuses what it holds for a path of its own machine."""
    ref = checkpoint()
    source = MlflowClient(environment.tracking_uri()).get_model_version(name, register(name, ref).version).source
    assert not is_local_uri(source)
    assert ref.name in source
