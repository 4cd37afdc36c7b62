"""A canary in every variable that holds a secret: no log, record, manifest, report or message repeats it."""

import json
import logging
from pathlib import Path

import boto3
import pytest
from prefect.client.orchestration import get_client

from flows.cli.doctor import examine
from gaze_core.errors import BadInput
from tasks import environment
from tasks.redaction import SECRET_VARIABLES, redacted
from tasks.store import permitted_paths
from tasks.store.artifacts import Store
from tasks.tracking import runs
from tests.faults.bad_network import BadNetwork
from tests.faults.pipeline import STAGES, counted

CANARY = "canary-8f3a-not-to-be-seen"


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRET_VARIABLES:
        if not name.startswith("PREFECT"):
            monkeypatch.setenv(name, CANARY)


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def is_shown(record: logging.LogRecord) -> bool:
    """Our own lines of every level; lines of libraries above DEBUG."""
    return record.levelno >= logging.INFO or record.name.startswith(("gazeworks", "prefect", "mlflow"))


@pytest.mark.usefixtures("prefect_api", "canaries", "diary")
def test_a_run_over_s3_repeats_no_secret_anywhere(
    bucket: BadNetwork, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)  # the fixture has its own
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    caplog.set_level("DEBUG")
    assert counted(salt=request.node.name) == dict.fromkeys(STAGES, "computed")
    bucket.spoil(1000, "unavailable", lambda method, path: "/judge/" in path)
    with pytest.raises(BadInput) as raised:
        counted(salt=request.node.name, threshold=3.0)
    bucket.spoil(0, "unavailable")

    client = boto3.client("s3")
    stored = client.list_objects_v2(Bucket="gaze", Prefix=tmp_path.name)["Contents"]
    objects = b"".join(client.get_object(Bucket="gaze", Key=row["Key"])["Body"].read() for row in stored)
    with get_client(sync_client=True) as api:
        told = [api.request("POST", f"/{kind}/filter", json={}).text for kind in ("flow_runs", "task_runs", "logs")]
    printed = capfd.readouterr()
    places = {
        "bucket": objects.decode(),
        "home": everything_below(home).decode(errors="replace"),
        "mlflow": everything_below(tmp_path).decode(errors="replace"),
        "api": "".join(told),
        "output": printed.out + printed.err,
        "log": "\n".join(record.getMessage() for record in caplog.records if is_shown(record)),
        "error": repr(raised.value) + repr(raised.value.__cause__),
    }
    assert "manifest" in json.dumps(sorted(row["Key"] for row in stored))
    assert [place for place, text in places.items() if CANARY in text] == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GAZEWORKS_STORE", f"s3://key:{CANARY}@gaze/prefix"),
        ("AWS_ENDPOINT_URL", f"http://key:{CANARY}@127.0.0.1:9"),
    ],
)
def test_a_secret_in_an_address_is_refused_without_being_repeated(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAZEWORKS_STORE", "s3://gaze/prefix")
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput, match=f"{variable} holds a user name or password.*AWS_SECRET_ACCESS_KEY") as raised:
        Store.from_environment().find("fit", "0" * 16)
    assert CANARY not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_addresses_are_shown_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://gaze:{CANARY}@db/mlflow")
    shown = " ".join(finding.detail for finding in examine())
    assert CANARY not in shown
    assert "postgresql://***@db/mlflow" in shown
    assert redacted("http://127.0.0.1:4200/api") == "http://127.0.0.1:4200/api"


def test_a_parameter_that_holds_a_secret_is_blanked(canaries: None) -> None:
    with runs.flow_run("flow", "", {"note": f"used {CANARY}"}) as run:
        pass
    from mlflow import MlflowClient

    assert MlflowClient(environment.tracking_uri()).get_run(run.run_id).data.params == {"note": "used ***"}


@pytest.mark.parametrize("text", ["/etc/passwd", "inside/../../outside", "link/secret", "../outside"])
def test_paths_of_a_form_stay_below_their_roots(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root" / "inside").mkdir(parents=True)
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    monkeypatch.chdir(tmp_path / "root")
    for variable, check in (
        (permitted_paths.INPUTS_VARIABLE, permitted_paths.input_path),
        (permitted_paths.OUTPUTS_VARIABLE, permitted_paths.output_path),
    ):
        monkeypatch.setenv(variable, str(tmp_path / "root"))
        assert check("inside/new.mp4") == tmp_path / "root" / "inside" / "new.mp4"
        with pytest.raises(BadInput, match=f"runs on this worker may.*{variable}"):
            check(text)


@pytest.mark.usefixtures("prefect_api")
def test_a_deployed_run_reads_and_writes_nothing_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.forms.redirection import redirect

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="/etc/passwd: runs on this worker may read from"):
        redirect(recording="/etc/passwd")
    with pytest.raises(BadInput, match="may write to .*reports only"):
        redirect(out=str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


def test_the_servers_listen_at_loopback_unless_told_otherwise() -> None:
    from tasks.server import services

    commands = [services._prefect(services.Addresses()), services._mlflow(services.Addresses())]
    assert all(command[command.index("--host") + 1] == "127.0.0.1" for command in map(list, commands))
