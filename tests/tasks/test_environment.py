import os
import urllib.request
from pathlib import Path

import pytest
import requests

from gaze_core.errors import BadInput
from tasks import environment


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize("before", ["", "corp.example", "localhost,127.0.0.1"])
def test_loopback_never_goes_through_a_proxy(name: str, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, before)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    environment.set_defaults()
    environment.set_defaults()
    for host in ("127.0.0.1:5000", "localhost:5000"):
        assert requests.utils.get_environ_proxies(f"http://{host}/") == {}
        assert urllib.request.proxy_bypass(host)
    assert requests.utils.get_environ_proxies("http://example.org/")["http"] == "http://127.0.0.1:9"
    names = os.environ["NO_PROXY"].split(",")
    assert sorted(names) == sorted({*filter(None, before.split(",")), *environment.LOOPBACK})


def test_no_proxy_at_all_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    environment.set_defaults()
    assert os.environ["no_proxy"] == "*"


def test_a_relative_database_is_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, expected in {
        "sqlite:///a.db": f"sqlite:///{tmp_path}/a.db",
        "sqlite:////b/a.db": "sqlite:////b/a.db",
        "sqlite:///:memory:": "sqlite:///:memory:",
        "http://h:1": "http://h:1",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        assert environment.tracking_uri() == expected


def test_a_home_that_no_database_could_lie_in_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(environment.HOME_VARIABLE, str(tmp_path / "what?"))
    with pytest.raises(BadInput, match=r"what\?: expected a path without '\?'"):
        environment.require_home()
    monkeypatch.setenv(environment.HOME_VARIABLE, str(tmp_path / "a:b"))
    assert environment.require_home() == tmp_path / "a:b"
