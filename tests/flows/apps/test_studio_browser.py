"""The studio's page in a headless Chromium: what a person does with it. The models are pretended, the rest is real."""

import json
import threading
import time

import cv2
import numpy as np
import pytest

from benchmarks import chromium
from benchmarks.chromium import until
from flows.apps.studio import talk
from gaze_core.talker.film import read_sound
from tests.flows.apps.studio_server import PretendedTalker, PretendedView, pretended_studio, running

pytestmark = pytest.mark.skipif(chromium.executable() is None, reason="no Chromium on the PATH")
PICTURE = "document.querySelector('figure')?.dataset.full === 'true'"


@pytest.fixture(scope="module")
def browser():
    with chromium.chromium() as browser:
        yield browser


@pytest.fixture
def studio():
    return pretended_studio(PretendedView("one"), PretendedView("two"))


@pytest.fixture
def url(studio, tmp_path):
    with running(studio, tmp_path) as url:
        yield url


@pytest.fixture
def page(browser, url):
    page = browser.page()
    page.open(url)
    page.until(PICTURE)
    yield page
    page.open("about:blank")


def colour(page, number=0):
    """The colour in the middle of a picture: pitch and yaw that it was drawn with."""
    canvas = f"[...document.querySelectorAll('figure canvas')][{number}]"
    red, green = page.value(f"[...{canvas}.getContext('2d').getImageData(20, 20, 1, 1).data].slice(0, 2)")
    return (red - 128) / 2, (green - 128) / 2


def looks(page, pitch, yaw, number=0, tolerance=2.0):
    until(
        lambda: np.abs(np.subtract(colour(page, number), (pitch, yaw))).max() <= tolerance, 20, f"gaze {pitch}, {yaw}"
    )


def test_a_drag_moves_the_gaze_and_the_readings_follow(page):
    page.drag("#gaze-pad", [(0.5, 0.5), (0.4, 0.4), (0.25, 0.25)], 0.03)
    looks(page, 22.5, 22.5)
    page.until(f"{PICTURE} && document.querySelector('td[data-reading]:not(.stale)')")
    reading = json.loads(page.value("document.querySelector('td[data-reading]').dataset.reading"))
    asked = page.value("[studio.gaze.pitch, studio.gaze.yaw]")
    assert reading["gaze_deg"] == [asked[0] + 3, asked[1]]
    assert "full" in page.value("document.querySelector('.corner').textContent")
    assert page.value("studio.live.stats.drafts") >= 1
    page.click("#reset")
    looks(page, 0, 0)


def test_the_eyes_look_at_the_pointer_only_if_asked(page):
    x, y = page.place("figure .frame", 0.1, 0.45)
    page.pointer("mouseMoved", x, y)
    time.sleep(0.3)
    looks(page, 0, 0)
    page.click("#follow")
    x, y = page.place("figure .frame", 0.1, 0.45)
    page.pointer("mouseMoved", x, y)
    looks(page, 0, 26.6)  # atan(0.4 / 0.8)


def test_keys_move_the_pads_in_the_order_of_tab(page):
    page.value("document.getElementById('gaze-pad').focus()")
    for _ in range(4):
        page.key("ArrowRight")
    page.key("ArrowUp")
    assert page.value("document.activeElement.getAttribute('aria-valuetext')") == "pitch 1 degrees, yaw -4 degrees"
    page.key("Tab")
    assert page.value("document.activeElement.id") == "head-pad"
    page.key("Home")
    looks(page, 1, -4)
    unnamed = page.value("""[...document.querySelectorAll('button, input, canvas[tabindex]')].filter((e) => e.offsetParent &&
        !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.getAttribute('aria-labelledby'))).length""")
    assert unnamed == 0


def test_two_models_stand_side_by_side_with_one_gaze(page):
    page.until("!document.querySelector('#show-m1').disabled")  # the second model is opened after the first picture
    page.click("#show-m1")
    page.until("document.querySelectorAll('figure').length === 2")
    page.drag("#gaze-pad", [(0.5, 0.5), (0.75, 0.5)])
    looks(page, 0, -22.5, 0)
    looks(page, 0, -22.5, 1)


def test_a_picture_is_taken(page, browser):
    before = set(browser.downloads.iterdir())
    page.drag("#gaze-pad", [(0.5, 0.5), (0.25, 0.5)])
    looks(page, 0, 22.5)
    page.click("#take")
    file = until(
        lambda: next((f for f in set(browser.downloads.iterdir()) - before if f.suffix == ".png"), None), 20, "a file"
    )
    assert file.name.startswith("one_")
    until(lambda: cv2.imread(str(file)) is not None, 5, "a whole picture")
    image = cv2.imread(str(file))
    assert image.shape == (48, 48, 3)
    assert abs(int(image[20, 20, 1]) - 128 - 45) <= 3


def test_a_film_of_the_drag_is_recorded(page, browser):
    before = set(browser.downloads.iterdir())
    page.click("#film")
    page.drag("#gaze-pad", [(0.5 - 0.02 * n, 0.5) for n in range(12)], 0.05)
    page.click("#film")
    ends = {".webm", ".mp4"}
    file = until(
        lambda: next((f for f in set(browser.downloads.iterdir()) - before if f.suffix in ends), None), 20, "a film"
    )
    until(lambda: file.stat().st_size > 500, 10, "its content")
    film = cv2.VideoCapture(str(file))
    assert film.read()[1].shape == (480, 480, 3)


def test_a_dropped_photo_is_fitted_and_moved(page, monkeypatch, tmp_path):
    going = threading.Event()

    def fitted(name, image, runtime, progress):
        while not going.is_set():
            progress("fit", 0.5)
            time.sleep(0.01)
        return PretendedView(f"{name}, drawn")

    monkeypatch.setattr("gaze_core.studio.photos.photo_view", lambda name, image: PretendedView(name))
    monkeypatch.setattr("gaze_core.studio.photos.fitted_view", fitted)
    photo = tmp_path / "me.png"
    cv2.imwrite(str(photo), np.full((60, 60, 3), 99, np.uint8))
    page.drop("body", photo)
    page.until("document.querySelectorAll('figure').length === 2 && document.querySelector('progress')?.value > 0.5")
    page.drag("#gaze-pad", [(0.5, 0.5), (0.75, 0.5)])
    looks(page, 0, -22.5, 1)  # its own eyes, while the head is fitted
    going.set()
    page.until("!document.querySelector('progress') && !document.getElementById('kind-p1b').disabled")
    page.value("document.getElementById('kind-p1b').click()")
    page.until("document.querySelector('figure[data-view=p1b]')")
    (tmp_path / "no.png").write_text("no photo")
    page.drop("body", tmp_path / "no.png")
    page.until("document.getElementById('alarm-text').textContent.includes('not a photo')")


def test_two_tabs_look_to_two_sides(page, browser, url):
    other = browser.page()
    other.open(url)
    other.until(PICTURE)
    page.drag("#gaze-pad", [(0.5, 0.5), (0.25, 0.5)])
    other.drag("#gaze-pad", [(0.5, 0.5), (0.75, 0.5)])
    looks(page, 0, 22.5)
    looks(other, 0, -22.5)
    other.open("about:blank")


def test_a_killed_connection_comes_back(page):
    page.value("studio.live.socket.close()")
    page.until(
        "studio.live.stats.reconnects === 1 && document.getElementById('connection').textContent === 'connected'"
    )
    page.drag("#gaze-pad", [(0.5, 0.5), (0.25, 0.5)])
    looks(page, 0, 22.5)


def test_a_fault_of_a_model_is_shown_and_goes_by(page, studio):
    view = studio.views["m0"]
    view.fault = ZeroDivisionError("the raster broke")
    page.drag("#gaze-pad", [(0.5, 0.5), (0.25, 0.5)])
    page.until("document.getElementById('alarm-text').textContent.includes('the raster broke')")
    view.fault = None
    page.drag("#gaze-pad", [(0.5, 0.5), (0.75, 0.5)])
    looks(page, 0, -22.5)


def test_with_a_wrong_token_there_is_no_page(browser, url):
    page = browser.page()
    page.open(url[:-1])
    page.until("document.body?.textContent.includes('wrong token')")
    assert page.value("typeof studio") == "undefined"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_window(page, width):
    page.window(width, 800)
    page.until("!document.querySelector('#show-m1').disabled")  # the second model is opened after the first picture
    page.click("#show-m1")
    assert page.value("document.documentElement.scrollWidth") <= width
    page.click("#to-gallery")
    page.until("document.querySelector('#reports td')")
    assert page.value("document.documentElement.scrollWidth") <= width


def test_a_sentence_becomes_a_film(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(talk, "spoken", lambda text, out: out.write_bytes(text.encode()) and out)
    monkeypatch.setattr("flows.apps.studio.app.synthesiser", lambda: "pretended")
    with running(pretended_studio(PretendedTalker()), tmp_path) as url:
        page = browser.page()
        page.open(url)
        page.until(PICTURE)
        page.until("!document.querySelector('#talk').hidden && document.querySelector('#talk-none').hidden")
        page.value("document.querySelector('#talk-text').value = 'Good morning'")
        page.value("document.querySelector('#talk-gaze').value = 'camera'")
        page.click("#talk-make")
        page.until("!document.querySelector('#talk-film').hidden")
        said = "fetch(document.querySelector('#talk-film').src).then((answer) => answer.text())"
        page.value(f"{said}.then((text) => {{ window.said = text }})")
        page.until("window.said")
        assert page.value("window.said") == "camera (0.0, 0.0) Good morning"
        page.open("about:blank")


def test_what_the_microphone_records_can_be_heard(browser, tmp_path):
    studio = pretended_studio(PretendedTalker())
    with running(studio, tmp_path) as url:
        page = browser.page()
        page.open(url)
        page.until(PICTURE)
        page.until("!document.querySelector('#talk').hidden")
        page.click("#talk-record")
        page.until("document.querySelector('#talk-record').getAttribute('aria-pressed') === 'true'")
        time.sleep(1.5)
        page.click("#talk-record")
        page.until("document.querySelector('#talk-help').textContent.startsWith('the recording will be heard')")
        page.click("#talk-make")
        page.until("!document.querySelector('#talk-film').hidden")
        (film,) = (path for tab in studio.tabs.values() for path in tab.films.values())
        (tmp_path / "heard").write_bytes(film.read_bytes().removeprefix(b"generator (0.0, 0.0) "))
        page.open("about:blank")
    sound = read_sound(tmp_path / "heard", 30.0)
    assert 0.8 < len(sound) / 16_000 < 4
    assert np.abs(sound).max() > 0.01
