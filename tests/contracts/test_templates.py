"""Base job templates of the Docker and Kubernetes pools, against Prefect's own and against what they must ask for."""

import json
import re
from pathlib import Path
from typing import Any

import prefect
import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import apply_values, find_placeholders
from prefect.workers.base import BaseJobConfiguration

ROOT = Path(__file__).parents[2]
PREFECTS = json.loads(
    (Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json").read_text()
)
KINDS = ("docker", "kubernetes")
HOME = "/var/lib/gazeworks"


def template_of(kind: str) -> dict[str, Any]:
    return json.loads((ROOT / "deployments" / f"{kind}.json").read_text())


def prefects_of(kind: str) -> dict[str, Any]:
    return PREFECTS[f"prefect-{kind}"][kind]["default_base_job_configuration"]


def filled(kind: str, **variables: Any) -> dict[str, Any]:
    """The job configuration with the defaults and these values, as a worker fills it in."""
    template = template_of(kind)
    defaults = BaseJobConfiguration._get_base_config_defaults(template["variables"]["properties"])
    return apply_values(template["job_configuration"], defaults | variables)


@pytest.mark.parametrize("kind", KINDS)
def test_prefect_accepts_the_template(kind: str) -> None:
    WorkPoolCreate(name="gpu", type=kind, base_job_template=template_of(kind))


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("kind", KINDS)
def test_the_server_makes_a_pool_of_it(kind: str) -> None:
    from prefect.client.orchestration import get_client

    from tasks.server.setup import create_pool

    create_pool(f"pool-{kind}", kind, ROOT / "deployments" / f"{kind}.json")
    with get_client(sync_client=True) as client:
        pool = client.read_work_pool(f"pool-{kind}")
    assert (pool.type, pool.base_job_template) == (kind, template_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_prefects_own_template_is_lost(kind: str) -> None:
    ours, theirs = template_of(kind), prefects_of(kind)
    assert set(theirs["job_configuration"]) <= set(ours["job_configuration"])
    assert set(theirs["variables"]["properties"]) <= set(ours["variables"]["properties"])
    assert theirs["variables"]["definitions"] == ours["variables"]["definitions"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_variable_is_used_and_explained(kind: str) -> None:
    template = template_of(kind)
    used = {placeholder.name for placeholder in find_placeholders(template["job_configuration"])}
    assert used == set(template["variables"]["properties"])
    for name, schema in template["variables"]["properties"].items():
        assert schema["description"], name


def test_a_container_gets_a_gpu_shared_memory_and_a_volume() -> None:
    job = filled("docker")
    assert job["container_create_kwargs"]["shm_size"] == "8g"
    assert job["volumes"] == [f"gazeworks:{HOME}"]
    assert job["env"] == {"GAZEWORKS_HOME": HOME}
    docker = pytest.importorskip("docker.types", reason="docker's client is not installed")
    host = docker.HostConfig(version="1.43", **job["container_create_kwargs"])
    assert host["ShmSize"] == 8 * 2**30
    assert host["DeviceRequests"][0]["Capabilities"] == [["gpu"]]
    assert filled("docker", device_requests=[])["container_create_kwargs"]["device_requests"] == []


def test_a_pod_gets_a_gpu_shared_memory_a_claim_and_a_secret() -> None:
    pod = filled("kubernetes", gpus=2, shm_size="4Gi")["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert container["resources"]["requests"]["nvidia.com/gpu"] == 2
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"shm": "/dev/shm", "gazeworks": HOME}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Gi"}
    assert volumes["gazeworks"]["persistentVolumeClaim"] == {"claimName": "gazeworks"}
    assert container["envFrom"] == [{"secretRef": {"name": "gazeworks", "optional": True}}]
    assert filled("kubernetes")["job_manifest"]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"][
        "nvidia.com/gpu"
    ] == 1  # fmt: skip


def test_the_dockerfile_makes_what_the_templates_name() -> None:
    text = (ROOT / "deployments" / "Dockerfile").read_text()
    images = set(re.findall(r"-t (\S+)", text))
    assert {template_of(kind)["variables"]["properties"]["image"]["default"] for kind in KINDS} <= images
    for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    user = re.search(r"--uid (\d+)", text)
    assert user is not None
    pod = template_of("kubernetes")["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert f"GAZEWORKS_HOME={HOME}" in text


@pytest.mark.parametrize("kind", KINDS)
def test_the_worker_of_the_library_understands_it(kind: str) -> None:
    worker = pytest.importorskip(f"prefect_{kind}.worker", reason=f"prefect-{kind} is not installed")
    configuration = getattr(worker, f"{kind.capitalize()}WorkerJobConfiguration")
    template = template_of(kind)
    made = configuration(**filled(kind))
    added = set(template["job_configuration"]) - set(prefects_of(kind)["job_configuration"])
    assert added <= set(configuration.model_fields)
    assert made.env["GAZEWORKS_HOME"] == HOME
