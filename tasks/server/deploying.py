"""The deployments of prefect.yaml, put on a server by Prefect, with forms that take no unknown parameter."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.settings import get_current_settings

from gaze_core.errors import BadInput, GazeworksError

FILE = "prefect.yaml"
_PAGE = 200  # of deployments, the most that a server hands out at once


def deploy(folder: Path) -> None:
    """Deploys every row of the folder's prefect.yaml; deployments and schedules that somebody has paused stay paused.

    Raises:
        BadInput: no prefect.yaml there.
        GazeworksError: Prefect could not deploy; its output says why.
    """
    if not (folder / FILE).is_file():
        raise BadInput(f"{folder}: no {FILE}; call this in a checkout of Gazeworks, where the worker's runs will start")
    with get_client(sync_client=True) as client:
        paused = [deployment.id for deployment in client.read_deployments(limit=_PAGE) if deployment.paused]
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    settings = get_current_settings().to_environment_variables(exclude_unset=True)  # the server that is in use here
    environment = {**os.environ, **settings, "PWD": str(folder)}  # PWD: where prefect.yaml says runs start
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        raise GazeworksError("Prefect could not deploy; its output is above")
    with get_client(sync_client=True) as client:
        for deployment_id in paused:  # Prefect has woken them
            client.pause_deployment(deployment_id)
    rows = yaml.safe_load((folder / FILE).read_text())["deployments"]
    _close_forms({(row["name"], row["entrypoint"]) for row in rows})


def _close_forms(deployed: set[tuple[str, str]]) -> None:
    """Makes forms refuse unknown parameters; otherwise a run with a misspelt one would start and crash."""
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments(limit=_PAGE):
            if (deployment.name, deployment.entrypoint) in deployed:
                schema = {**(deployment.parameter_openapi_schema or {}), "additionalProperties": False}
                client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=schema))
