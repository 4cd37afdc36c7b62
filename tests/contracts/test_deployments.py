"""prefect.yaml against the code: entry points, parameters, forms, pools and schedules. A new deployment is a new row there."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import PrefectHTTPStatusError

from flows import references
from gaze_core.errors import BadInput
from tasks import environment
from tasks.policies import GPU_LIMIT_VARIABLE
from tasks.server.deploying import deploy
from tasks.server.services import POOLS
from tasks.server.setup import GPU_LIMIT

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = FILE["deployments"]
WANTED = {
    "redirect",
    "synthesize",
    "evaluate",
    "compare",
    "augment",
    "driver_gaze",
    "estimate_gaze",
    "one_shot",
    "talker",
}  # flows that have at least one deployment
each_deployment = pytest.mark.parametrize(
    "deployment", DEPLOYMENTS, ids=lambda d: f"{d['entrypoint'].rpartition(':')[2]}/{d['name']}"
)


def flow_of(deployment):
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))


@each_deployment
def test_each_names_a_flow_and_parameters_that_it_takes(deployment):
    flow = flow_of(deployment)
    defaults = {name: schema.get("default") for name, schema in flow.parameters.properties.items()}
    assert set(deployment["parameters"]) <= set(defaults)
    flow.validate_parameters(defaults | deployment["parameters"])
    assert deployment["description"]
    assert deployment["tags"]
    assert deployment["concurrency_limit"]["collision_strategy"] == "ENQUEUE"


@each_deployment
def test_each_field_of_the_form_is_explained_and_filled_in(deployment):
    for name, schema in flow_of(deployment).parameters.properties.items():
        assert schema.get("description"), name
        assert "default" in schema, name
        kinds = {option.get("type") for option in schema.get("anyOf", [schema])}
        assert kinds <= {"string", "integer", "number", "boolean", "array"}, f"{name}: a form cannot show {kinds}"
        assert "minimum" in schema or "integer" not in kinds, f"{name}: a number without a lower bound"


@each_deployment
def test_each_goes_to_a_pool_that_is_there_and_shares_the_gpu(deployment):
    pool = deployment["work_pool"]
    assert pool["name"] in POOLS
    assert pool["work_queue_name"] == ("scheduled" if deployment.get("schedules") else "default")
    if pool["name"] == "gpu":
        assert deployment["parameters"]["device"] == "cuda"
        assert pool["job_variables"]["env"][GPU_LIMIT_VARIABLE] == GPU_LIMIT


@each_deployment
def test_the_page_of_a_run_shows_our_lines(deployment):
    env = deployment["work_pool"]["job_variables"]["env"]
    assert env["PREFECT_LOGGING_EXTRA_LOGGERS"] == environment.LOGGER


@each_deployment
def test_schedules_are_valid_and_named(deployment):
    for schedule in deployment.get("schedules", []):
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
        assert schedule["slug"]
        assert "scheduled" in deployment["tags"]


def test_every_pipeline_is_deployed_and_names_are_unique():
    names = [(flow_of(d).name, d["name"]) for d in DEPLOYMENTS]
    assert len(names) == len(set(names))
    assert {flow for flow, _ in names} == WANTED
    assert any(d.get("schedules") for d in DEPLOYMENTS if "evaluation" in d["tags"])


def test_choices_and_bounds_reach_the_form():
    from typing import get_args

    from gaze_core.plans.redirection import PRESETS
    from gaze_core.plans.requests.redirection import PresetName

    forms = {flow_of(d).name: flow_of(d).parameters.properties for d in DEPLOYMENTS}
    assert set(get_args(PresetName)) == set(PRESETS) == set(forms["redirect"]["preset"]["enum"])
    assert forms["redirect"]["device"]["enum"] == ["auto", "cpu", "cuda"]
    assert "gaze_gaussian" in forms["redirect"]["force"]["items"]["enum"]
    assert forms["synthesize"]["subjects"]["minimum"] == 1
    assert "studio" in forms["synthesize"]["lights"]["items"]["enum"]


def test_the_stages_of_the_form_are_stages():
    offered = {name: flow.parameters.properties.get("force", {}) for name, flow in FORMS.items()}
    stages = {
        name: schema["items"].get("enum", [schema["items"].get("const")]) for name, schema in offered.items() if schema
    }
    assert stages["redirect"] == [
        "preprocess",
        "head_prior",
        "invert",
        "mesh_head",
        "gaze_gaussian",
        "evaluate",
        "compare",
    ]
    assert stages["driver_gaze"] == ["driver_extract", "driver_finetune", "driver_evaluate", "driver_compare"]
    assert stages["estimate_gaze"] == [
        f"estimation_{name}" for name in ("convert", "single", "features", "temporal", "evaluate", "compare")
    ]
    assert stages["one_shot"] == ["one_shot_prepare", "one_shot_adapt", "one_shot_evaluate", "one_shot_compare"]
    assert stages["talker"] == [
        f"talker_{name}" for name in ("prepare", "coarse", "fine", "render", "evaluate", "compare")
    ]
    assert (stages["evaluate"], stages["compare"]) == (["evaluate"], ["evaluate", "compare"])


NO_PATHS = {"protocol", "person"}  # texts of a form that name something in a table of ours
FORMS = {flow_of(row).name: flow_of(row) for row in DEPLOYMENTS}
FREE_TEXTS = [
    (form, name)
    for form, flow in FORMS.items()
    for name, schema in flow.parameters.properties.items()
    if schema.get("type") == "string" and "enum" not in schema and name not in NO_PATHS
]


@pytest.mark.parametrize(("form", "name"), FREE_TEXTS)
def test_each_path_of_a_form_stays_below_its_roots(form, name, tmp_path, monkeypatch):
    """A free text is a path unless it is named above, so a new one cannot be forgotten."""
    outside = tmp_path / "outside"
    outside.write_text("secret")
    monkeypatch.chdir(ROOT)
    for needless in ("find_reference", "data_of"):  # the other texts name nothing here
        monkeypatch.setattr(references, needless, lambda *_: None)
    with pytest.raises(BadInput, match=f"{outside}: runs on this worker may"):
        FORMS[form].fn(**{name: str(outside)})


@pytest.mark.parametrize("form", [form for form in FORMS if "changes" in FORMS[form].parameters.properties])
def test_a_changed_setting_of_a_form_tells_nothing_of_other_files(form, tmp_path, monkeypatch):
    (tmp_path / "outside").write_text("secret")
    monkeypatch.chdir(ROOT)
    critic = json.dumps({"path": str(tmp_path / "outside"), "sha256": "0" * 64})
    settings = {"redirect": f"gaze_gaussian.critic={critic}"}  # no setting of the others is a path
    if form not in settings:
        monkeypatch.setitem(FORMS[form].fn.__globals__, "require_inputs", refuse)
    with pytest.raises(BadInput, match="runs on this worker may read from") as raised:
        FORMS[form].fn(changes=[settings[form]] if form in settings else [])
    assert hashlib.sha256(b"secret").hexdigest()[:12] not in str(raised.value)


def refuse(plan):
    raise BadInput(f"{type(plan).__name__}: runs on this worker may read from nowhere")


def test_the_file_knows_no_machine():
    text = (ROOT / "prefect.yaml").read_text()
    assert not re.search(r"/(home|root|work|tmp)/", text)


@pytest.mark.usefixtures("prefect_api")
def test_prefect_deploys_them_all_to_a_fresh_server():
    from tasks.server.setup import set_up

    set_up()
    set_up()  # changes nothing
    deploy(ROOT)
    with get_client(sync_client=True) as client:
        for row in DEPLOYMENTS:
            made = client.read_deployment_by_name(f"{flow_of(row).name}/{row['name']}")
            assert (made.work_pool_name, made.tags) == (row["work_pool"]["name"], row["tags"])
            assert made.parameters == row["parameters"]
            assert made.pull_steps[0]["prefect.deployments.steps.set_working_directory"]["directory"] == str(ROOT)
            assert [schedule.active for schedule in made.schedules] == [True] * len(row.get("schedules", []))
            assert made.global_concurrency_limit.limit == 1
            _require_refusal(client, made)
        _require_that_pauses_stay(client)


def _require_refusal(client, deployment):
    for parameters in ({"no_such_field": 1}, {"out": {}}):
        with pytest.raises(PrefectHTTPStatusError, match="Error creating flow run: Validation failed"):
            client.create_flow_run_from_deployment(deployment.id, parameters=parameters)


def _require_that_pauses_stay(client):
    paused = client.read_deployment_by_name("redirect/nightly")
    client.update_deployment_schedule(paused.id, paused.schedules[0].id, active=False)
    client.pause_deployment(client.read_deployment_by_name("evaluate/nightly").id)
    deploy(ROOT)
    (schedule,) = client.read_deployment_by_name("redirect/nightly").schedules
    assert not schedule.active
    assert client.read_deployment_by_name("evaluate/nightly").paused
