"""The recipe of docs/operations.md, word for word but for ports and paths: nginx before the servers."""

import base64
import os
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import environment
from tasks.server.own_server import free_port
from tests.faults.conftest import ROOT, wait_for

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not NGINX or not shutil.which("openssl"), reason="nginx or openssl is not installed"),
]
NAME = "gaze.example.org"


@dataclass(frozen=True)
class Site:
    """Ports of nginx on loopback, and of MLflow behind it."""

    prefect: int
    mlflow: int
    mlflow_behind: int

    def get(self, port: int, path: str, login: str = "me:secret", body: bytes | None = None) -> tuple[int, str]:
        """Status and text, as a browser gets them by the public name."""
        headers = {"Host": f"{NAME}:{port}", "Origin": f"https://{NAME}:{port}", "Content-Type": "application/json"}
        if login:
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", body, headers)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
        )
        try:
            with opener.open(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def blocks(language: str) -> list[str]:
    """The code blocks of the section."""
    section = (ROOT / "docs/operations.md").read_text().split("## Behind a reverse proxy")[1].split("\n## ")[0]
    return [part.split("```")[0] for part in section.split(f"```{language}\n")[1:]]


def configuration(folder: Path, public: dict[str, int], behind: dict[str, int]) -> str:
    """nginx.conf around the block of the page."""
    (text,) = blocks("nginx")
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{public['prefect']} ssl"),
        ("listen 5443 ssl", f"listen 127.0.0.1:{public['mlflow']} ssl"),
        ("127.0.0.1:4200", f"127.0.0.1:{behind['prefect']}"),
        ("127.0.0.1:5000", f"127.0.0.1:{behind['mlflow']}"),
        ("/etc/ssl/", f"{folder}/"),
        ("/etc/nginx/", f"{folder}/"),
    ):
        assert old in text
        text = text.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"pid {folder}/pid; error_log {folder}/error.log; daemon off; user root;\nevents {{}}\n"
    return f"{head}http {{ access_log off; {temporary}\n{text}\n}}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("proxy")
    public, behind = ({name: free_port() for name in ("prefect", "mlflow")} for _ in range(2))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}",
         "-keyout", folder / "gazeworks.key", "-out", folder / "gazeworks.crt"], check=True, capture_output=True,
    )  # fmt: skip
    (folder / "gazeworks.htpasswd").write_text("me:{PLAIN}secret\n")
    (folder / "nginx.conf").write_text(configuration(folder, public, behind))
    (variables,) = blocks("bash")
    exported = [
        line.removeprefix("export ").split("=", 1) for line in variables.splitlines() if line.startswith("export ")
    ]
    ports = {"/api": f":{public['prefect']}/api", ":5443": f":{public['mlflow']}"}
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PREFECT", "MLFLOW", "GAZEWORKS")) and name not in environment.OWN_SERVER}  # fmt: skip
    for name, value in exported:
        for old, new in ports.items():
            value = value.replace(old, new)
        env[name] = value
    env |= {"GAZEWORKS_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from flows.cli.main import main; main()", "server"]
    options = ["--prefect-port", str(behind["prefect"]), "--mlflow-port", str(behind["mlflow"]), "--pool", "cpu"]
    nginx = subprocess.Popen(
        [str(NGINX), "-c", folder / "nginx.conf", "-e", folder / "error.log"], stderr=subprocess.PIPE
    )
    try:
        done = subprocess.run([*command, "start", *options], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = Site(public["prefect"], public["mlflow"], behind["mlflow"])
        wait_for(
            lambda: found.get(found.prefect, "/api/health")[0] == 200, lambda: (folder / "error.log").read_text(), 30
        )
        yield found
    finally:
        nginx.terminate()
        nginx.wait(10)
        subprocess.run([*command, "stop"], env=env, check=True, capture_output=True)


def test_nobody_gets_in_without_a_login(site: Site) -> None:
    for port in (site.prefect, site.mlflow):
        assert site.get(port, "/", login="")[0] == 401
        assert site.get(port, "/", login="me:wrong")[0] == 401


def test_prefects_page_asks_the_public_address(site: Site) -> None:
    assert site.get(site.prefect, "/")[0] == 200
    status, text = site.get(site.prefect, "/ui-settings")
    assert (status, f"https://{NAME}:{site.prefect}/api" in text) == (200, True), text
    assert site.get(site.prefect, "/api/flow_runs/filter", body=b"{}")[0] == 200


def test_mlflow_answers_the_public_name_and_our_own_runs(site: Site) -> None:
    assert site.get(site.mlflow, "/")[0] == 200
    search, body = "/api/2.0/mlflow/experiments/search", b'{"max_results": 10}'
    assert site.get(site.mlflow, search, body=body)[0] == 200
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.mlflow_behind}{search}", body, {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as response:
        assert response.status == 200
