"""The page, run by streamlit's own test runner, on a tiny drive."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
import torch

from gaze_core.driver.checkpoints import estimator_card, save_estimator
from gaze_core.driver.predictions import Drive
from gaze_core.driver.record import DRIVE_FILE, DriveRecord
from gaze_core.driver.view import DRIVER_FACE
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig
from tasks.server.own_server import free_port, wait_for_url
from tests.flows.apps.driver.browser import browser
from tests.gaze_core.driver.conftest import *  # noqa: F403 (fixtures)

pytest.importorskip("streamlit")
PAGE = Path(__file__).parents[4] / "flows" / "apps" / "driver" / "page.py"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two estimators with different predictions."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        model = FaceEstimator(FaceEstimatorConfig(image_px=32, hidden=8))
        torch.nn.init.normal_(model.head[3].bias, std=0.3)
        card = estimator_card(model, "test", 1, None, DRIVER_FACE.model_dump(mode="json"), {})
        save_estimator(folder / f"{name}.safetensors", model, card)
    return folder


def open_page(monkeypatch, data, *weights):
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    from flows.apps.driver.serve import SOURCE_VARIABLE, sources

    st.cache_resource.clear()
    monkeypatch.setenv(SOURCE_VARIABLE, json.dumps(sources(None, data, weights)))
    return AppTest.from_file(str(PAGE), default_timeout=60).run()


def metrics(page):
    return {metric.label: metric.value for metric in page.metric}


def test_choosing_another_estimator_or_time_changes_the_numbers(extracted, weights, monkeypatch):
    page = open_page(monkeypatch, extracted, weights / "first.safetensors", weights / "second.safetensors")
    assert not page.exception
    second = metrics(page)
    assert set(second) == {"Azimuth", "Elevation", "Angle between them", "Spread of the tracker's rows"}
    table = page.dataframe[0].value
    assert list(table.iloc[:, 0]) == ["second", "first"]
    page.sidebar.radio(key="estimator").set_value("first").run()
    assert not page.exception
    first = metrics(page)
    assert first["Azimuth"] != second["Azimuth"]
    slider = page.select_slider[0]
    slider.set_value(Drive.open(extracted).splits.test[-1]).run()
    assert not page.exception
    assert page.metric[0].delta != ""
    drive = Drive.open(extracted)
    chosen = drive.record.frames[drive.splits.test[-1]]
    assert page.metric[0].delta == f"true {chosen.azimuth_deg:+.1f}°"


def test_a_path_can_be_typed_and_a_wrong_one_is_reported(extracted, weights, monkeypatch):
    page = open_page(monkeypatch, extracted, weights / "first.safetensors")
    page.sidebar.radio(key="estimator").set_value("Another file ...").run()
    assert "Give the path" in page.info[0].value
    page.sidebar.text_input(key="own_file").set_value("absent.pth").run()
    assert "absent.pth: no such file" in page.error[0].value
    page.sidebar.text_input(key="own_file").set_value(str(weights / "second.safetensors")).run()
    assert not page.exception
    assert not page.error
    assert page.metric


def test_a_drive_without_labels_shows_the_gaze_alone(extracted, weights, monkeypatch, tmp_path):
    folder = tmp_path / "unlabelled"
    shutil.copytree(extracted, folder)
    record = DriveRecord.read(extracted)
    (folder / DRIVE_FILE).unlink()
    record.model_copy(update={"labelled": False}).write(folder)
    page = open_page(monkeypatch, folder, weights / "first.safetensors")
    assert not page.exception
    assert len(page.metric) == 2
    assert not page.dataframe


@pytest.fixture
def served(extracted, weights, tmp_path):
    """The address of the page, started by its command; and the process."""
    port, log = free_port(), tmp_path / "log"
    files = [weights / "first.safetensors", weights / "second.safetensors"]
    command = [sys.executable, "-c", "from flows.cli.main import main; main()", "app", "driver", "--headless"]
    command += ["--data", str(extracted), "--port", str(port)]
    command += [part for file in files for part in ("--weights", str(file))]
    env = os.environ | {"PYTHONPATH": str(PAGE.parents[2]), "GAZEWORKS_HOME": str(tmp_path / "home")}
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=env, cwd=tmp_path, stdout=output, stderr=output) as page,
    ):
        try:
            wait_for_url(f"http://127.0.0.1:{port}/_stcore/health", lambda: page.poll() is None, log)
            yield f"http://127.0.0.1:{port}", page
        finally:
            page.terminate()


def test_the_page_in_a_browser_and_its_end(served, tmp_path):
    url, process = served
    angle = re.compile(r"Angle between them\s+([\d.]+)°")
    with browser(tmp_path) as page:
        page.open(url)
        expected = ("Azimuth", "Angle between them", "Errors on the blocks of time held out", "second", "first")
        before = page.wait_for(*expected, "● second")
        page.click("label", "first")
        # What is chosen shows at once, the numbers when the server has answered.
        after = page.wait_for(*expected, "● first", without=angle.search(before)[0])
        assert page.run("document.querySelectorAll('img').length") >= 2  # driver and road
    assert angle.search(before)[1] != angle.search(after)[1]
    assert "Traceback" not in after
    process.terminate()
    process.wait(timeout=20)
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{url}/_stcore/health", timeout=5)
