"""prefect.yaml against the code: entry points, parameters, forms and schedules."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = FILE["deployments"]


def flow_of(deployment):
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"]))


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_each_deployment_names_a_flow_and_parameters_that_it_takes(deployment):
    flow = flow_of(deployment)
    defaults = {name: schema.get("default") for name, schema in flow.parameters.properties.items()}
    assert set(deployment.get("parameters", {})) <= set(defaults)
    flow.validate_parameters(defaults | deployment.get("parameters", {}))
    assert deployment["description"]
    assert deployment["work_pool"]["name"] in ("cpu", "gpu")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_each_field_of_the_form_is_explained(deployment):
    for name, schema in flow_of(deployment).parameters.properties.items():
        assert schema.get("description"), name


def test_names_are_unique_and_schedules_have_five_fields():
    names = [(d["entrypoint"], d["name"]) for d in DEPLOYMENTS]
    assert len(names) == len(set(names))
    for deployment in DEPLOYMENTS:
        for schedule in deployment.get("schedules", []):
            assert len(schedule["cron"].split()) == 5
            assert schedule["slug"]


def test_the_presets_of_the_form_are_those_of_the_table():
    from typing import get_args

    from gaze_core.presets import PRESETS, PresetName

    assert set(get_args(PresetName)) == set(PRESETS)


def test_the_file_knows_no_machine():
    text = (ROOT / "prefect.yaml").read_text()
    assert not re.search(r"/(home|root|work|tmp)/", text)
