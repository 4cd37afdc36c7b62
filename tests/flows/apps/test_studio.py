"""The studio's server: who may use it, the newest wish wins, faults stay small, uploads are bounded, it ends clean."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from flows.apps.studio import uploads
from flows.apps.studio.app import make_app
from flows.apps.studio.machine import Machine
from flows.apps.studio.serve import Address, serve
from flows.apps.studio.tabs import MAX_TABS, Tab
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from tests.flows.apps.studio_server import TOKEN, PretendedView, pretended_studio

ROOT = Path(__file__).parents[3]
OURS = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}


@pytest.fixture
def view():
    return PretendedView()


@pytest.fixture
def studio(view):
    return pretended_studio(view)


@pytest.fixture
def client(studio, tmp_path):
    with TestClient(make_app(studio, TOKEN, "127.0.0.1", tmp_path), base_url="http://127.0.0.1:8000") as client:
        yield client


def live(client, tab="a", token=TOKEN, headers=OURS):
    return client.websocket_connect(f"/live?token={token}&tab={tab}", headers=headers)


def wish(seq, yaw=0.0, full=False, views=("m0",)):
    return json.dumps({"kind": "wish", "seq": seq, "views": views, "wish": {"gaze_deg": [0, yaw]}, "full": full})


def message(page, kind):
    """The next message of a kind; others are passed over."""
    while True:
        got = page.receive()
        if got["type"] == "websocket.close":
            raise WebSocketDisconnect(got["code"])
        if (got.get("bytes") is not None) == (kind == "picture"):
            if kind == "picture":
                size = int.from_bytes(got["bytes"][:4], "big")
                head = json.loads(got["bytes"][4 : 4 + size])
                return head, cv2.imdecode(np.frombuffer(got["bytes"][4 + size :], np.uint8), cv2.IMREAD_COLOR)[
                    ..., ::-1
                ]
            content = json.loads(got["text"])
            if content["kind"] == kind:
                return content


def ready(page):
    while message(page, "views")["views"][0]["state"] != "ready":
        pass


@pytest.mark.parametrize(
    "path", ["/?token=wrong", "/", "/gallery?token=wrong", f"/?token={TOKEN}&token=x", "/report?name=x"]
)
def test_without_the_token_nothing_is_answered(client, path):
    assert client.get(path).status_code == 403
    assert "wrong token" in client.get(path).text


def test_with_the_token_there_is_the_page_and_it_says_where_scripts_may_come_from(client):
    page = client.get(f"/?token={TOKEN}")
    assert "Studio" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert page.headers["referrer-policy"] == "no-referrer"
    for name in ("studio.js", "live.js", "pads.js", "studio.css"):
        assert client.get(f"/static/{name}").status_code == 200
    assert client.get("/static/../app.py").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "127.0.0.1.evil.example:8000"}, {"host": "["}, {"origin": "http://evil.example"},
     {"origin": "null"}],
)  # fmt: skip
def test_another_host_or_origin_is_refused(client, headers):
    assert client.get(f"/?token={TOKEN}", headers=headers).status_code == 403
    assert client.get("/static/studio.js", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("token", "headers"),
    [("wrong", OURS), (TOKEN, {**OURS, "origin": "http://evil.example"}), (TOKEN, {"host": "127.0.0.1:8000"}),
     (TOKEN, {**OURS, "host": "evil.example"})],
)  # fmt: skip
def test_a_websocket_with_a_wrong_token_host_or_origin_is_refused(client, token, headers):
    with pytest.raises(WebSocketDisconnect) as refused, live(client, token=token, headers=headers):
        pass
    assert refused.value.code == 4403


def test_a_wish_becomes_a_picture_and_a_full_one_is_read(client):
    with live(client) as page:
        ready(page)
        page.send_text(wish(1, 20))
        head, image = message(page, "picture")
        assert (head["seq"], head["full"], head["type"]) == (1, False, "image/jpeg")
        page.send_text(wish(2, 30, full=True))
        head, image = message(page, "picture")
        assert (head["seq"], head["full"], head["type"]) == (2, True, "image/png")
        assert image[0, 0].tolist() == [128, 188, 0]
        assert message(page, "readers")["absent"] == {"openvino": "not on this machine"}
        reading = message(page, "reading")
        assert (reading["seq"], reading["gaze_deg"], reading["error_deg"]) == (2, [3.0, 30.0], 3.0)


def test_of_many_wishes_the_newest_is_drawn(client, view):
    with live(client) as page:
        ready(page)
        view.gate.clear()
        for seq in range(1, 60):
            page.send_text(wish(seq, seq / 2))
        time.sleep(0.3)
        view.gate.set()
        first, _ = message(page, "picture")
        last, image = message(page, "picture")
    assert last["seq"] == 59
    assert image[0, 0, 1] == 128 + 59
    assert len(view.drawn) <= 3


def test_a_page_that_shows_nothing_is_sent_two_pictures_and_no_more(client, view):
    with live(client) as page:
        ready(page)
        for seq in range(1, 30):
            page.send_text(wish(seq, 1))
            time.sleep(0.02)
        assert len(view.drawn) == 2
        page.send_text('{"kind": "seen"}')
        assert [message(page, "picture")[0]["seq"] for _ in range(3)][-1] == 29


def test_a_slow_model_starves_no_other(tmp_path):
    views = PretendedView("one"), PretendedView("two")
    with TestClient(make_app(pretended_studio(*views), TOKEN, "127.0.0.1", tmp_path)) as client, live(client) as page:
        while {one["state"] for one in message(page, "views")["views"]} != {"ready"}:
            pass
        for seq in range(1, 20):
            page.send_text(wish(seq, seq, views=("m0", "m1")))
            message(page, "picture")
            page.send_text('{"kind": "seen"}')
    assert min(len(view.drawn) for view in views) >= 7


def test_a_fault_is_told_and_the_next_wish_drawn(client, view, caplog):
    with live(client) as page:
        ready(page)
        view.fault = ZeroDivisionError("the raster broke")
        page.send_text(wish(1))
        error = message(page, "error")
        assert (error["view"], error["text"]) == ("m0", "ZeroDivisionError: the raster broke")
        view.fault = None
        page.send_text(wish(2))
        assert message(page, "picture")[0]["seq"] == 2
    assert "the raster broke" in caplog.text  # with its traceback, for whoever runs the studio


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"kind": "wish"}', '{"kind":"wish","seq":1,"wish":{"gaze_deg":[0,90]}}',
     '{"kind":"wish","seq":1,"wish":{"jaw":2}}', '{"kind":"wish","seq":1,"views":["a","b","c","d","e"],"wish":{}}'],
)  # fmt: skip
def test_what_is_no_wish_is_refused_in_words(client, text):
    with live(client) as page:
        ready(page)
        page.send_text(text)
        assert message(page, "error")["text"].startswith("not understood: ")
        page.send_text(wish(1))
        assert message(page, "picture")


def test_a_model_that_cannot_be_opened_says_why(tmp_path):
    studio = pretended_studio(PretendedView("whole"))

    def fail(runtime):
        raise FileNotFoundError("no weights")

    studio.openings["m1"] = type(studio.openings["m0"])("broken", fail)
    with TestClient(make_app(studio, TOKEN, "127.0.0.1", tmp_path)) as client, live(client) as page:
        said = message(page, "views")["views"]
        while "loading" in {one["state"] for one in said}:
            said = message(page, "views")["views"]
        assert [one["state"] for one in said] == ["ready", "fault"]
        assert said[1]["note"] == "FileNotFoundError: no weights"


def test_two_tabs_share_a_model_and_not_their_wishes(client, view):
    with live(client, "a") as one, live(client, "b") as two:
        ready(one), ready(two)
        one.send_text(wish(1, 10)), two.send_text(wish(1, -10))
        assert message(one, "picture")[0]["drawn_deg"] == [0, 10]
        assert message(two, "picture")[0]["drawn_deg"] == [0, -10]
    assert len(view.drawn) == 2


def test_tabs_are_bounded_and_forgotten_with_their_photos(client, studio, monkeypatch):
    for number in range(MAX_TABS):
        studio.tab(f"t{number}")
    with live(client, "more") as page:
        assert "16 tabs are open" in message(page, "error")["text"]
    monkeypatch.setattr("flows.apps.studio.tabs.KEPT_S", -1.0)
    tab = studio.tabs["t0"]
    with live(client, "more") as page:
        ready(page)
    assert tab.is_gone
    assert "t0" not in studio.tabs


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "nothing was sent"), (b"GIF89a" + b"0" * 100, "not a photo"), (b"\xff\xd8\xff" + b"0" * 100, "cannot be read"),
     (b"0" * 21_000_000, "more than 20 MB")],
    ids=["nothing", "gif", "damaged", "large"],
)  # fmt: skip
def test_what_is_no_photo_is_refused(client, content, expected):
    answer = client.post(f"/photo?token={TOKEN}&tab=a", content=content)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client):
    ok, png = cv2.imencode(".png", np.zeros((8000, 8000), np.uint8))
    answer = client.post(f"/photo?token={TOKEN}&tab=a", content=png.tobytes())
    assert "64 megapixels" in answer.json()["error"]


@pytest.fixture
def photos(monkeypatch):
    """Photos are pretended to be found and fitted; `going` lets the fit go on."""
    going = threading.Event()

    def fitted(name, image, runtime, progress):
        for stage in ("labels", "head", "fit"):
            progress(stage, 0.0)
        while not going.is_set():
            progress("fit", 0.5)
            time.sleep(0.005)
        return PretendedView(f"{name}, drawn")

    monkeypatch.setattr("gaze_core.studio.photos.photo_view", lambda name, image: PretendedView(name))
    monkeypatch.setattr("gaze_core.studio.photos.fitted_view", fitted)
    yield going
    going.set()


def png():
    return cv2.imencode(".png", np.full((60, 60, 3), 99, np.uint8))[1].tobytes()


def test_a_photo_is_moved_while_the_head_is_fitted_to_it(client, photos):
    with live(client) as page:
        ready(page)
        answer = client.post(f"/photo?token={TOKEN}&tab=a&name=me.png", content=png())
        assert answer.json() == {"view": "p1a"}
        while message(page, "fits")["fits"] != [
            {"name": "me", "stage": "fitting the known head", "share": 0.575, "fault": ""}
        ]:
            pass
        page.send_text(wish(1, 10, views=("m0", "p1a")))  # drawn while the fit runs
        assert {message(page, "picture")[0]["view"] for _ in range(2)} == {"m0", "p1a"}
        photos.set()
        assert message(page, "fits")["fits"] == []
        assert [one["key"] for one in message(page, "views")["views"]] == ["m0", "p1a", "p1b"]
    with live(client, "b") as other:
        assert len(message(other, "views")["views"]) == 1


def test_photos_of_a_tab_are_bounded(client, photos, studio):
    photos.set()
    with live(client) as page:
        ready(page)
        for _ in range(4):
            assert client.post(f"/photo?token={TOKEN}&tab=a", content=png()).status_code == 200
            while any(fit.is_at_work for fit in studio.tabs["a"].fits.values()):
                time.sleep(0.01)
    assert list(studio.tabs["a"].views) == ["p3a", "p3b", "p4a", "p4b"]


def test_a_third_photo_waits_until_there_is_room(client, photos):
    codes = [client.post(f"/photo?token={TOKEN}&tab=a", content=png()).status_code for _ in range(3)]
    assert codes == [200, 200, 400]


def test_the_gallery_lists_reports_and_shows_their_pages(client, tmp_path):
    folder = tmp_path / "mine" / "run"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(
        json.dumps({"title": "A run", "verdict": "better", "numbers": {"psnr_db": 31.25}})
    )
    (folder / "report.html").write_text("<h1>A run</h1><script>alert(1)</script>")
    (tmp_path / "report.json").write_text("[not ours]")
    found = client.get(f"/gallery?token={TOKEN}").json()
    assert [(row["title"], row["verdict"], row["numbers"]) for row in found["reports"]] == [
        ("A run", "better", {"psnr_db": 31.25})
    ]
    assert found["store"] == []
    page = client.get("/report", params={"token": TOKEN, "name": found["reports"][0]["page"]})
    assert "A run" in page.text
    assert page.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    for name in ("../..", "mine", "/etc", "mine/run/../../.."):
        assert client.get("/report", params={"token": TOKEN, "name": name}).status_code == 404


def test_a_fit_gives_way_to_drawings_and_ends_with_the_studio():
    machine, steps = Machine(), []

    def work(between_steps):
        while True:
            steps.append(1)
            time.sleep(0.002)
            between_steps()

    fit = machine.fit(work)
    assert [machine.draw(lambda n=n: n).result(5) for n in range(5)] == list(range(5))
    machine.close()
    assert "the studio ends" in str(fit.exception(1))
    assert steps


def test_a_photo_of_a_closed_tab_is_not_fitted_on(studio, photos):
    async def dropped():
        tab = Tab()
        await uploads.add_photo(studio, tab, "x", png())
        tab.is_gone = True
        while tab.fits[1].is_at_work:
            await asyncio.sleep(0.01)
        return tab

    tab = asyncio.run(dropped())
    assert "closed" in tab.fits[1].fault
    assert list(tab.views) == ["p1a"]
    studio.machine.close()


SERVE = """
import sys
from pathlib import Path
from flows.apps.studio.serve import Address, serve
from gaze_core.config import Runtime
serve([], Address(port=int(sys.argv[1])), Path("."), None, Runtime(device="cpu"))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_stays(tmp_path, number):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "t")}
    (tmp_path / "t").mkdir()
    process = subprocess.Popen([sys.executable, "-c", SERVE, "0"], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline().startswith("studio: http://127.0.0.1:")
    process.stdout.readline()
    assert [path.name[:17] for path in (tmp_path / "t").iterdir()] == ["gazeworks-studio-"]
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(20) == 0
    assert list((tmp_path / "t").iterdir()) == []


def test_a_port_in_use_is_refused_in_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port}: cannot listen there .*give another --port"):
            serve([], Address(port=port), Path(), None, Runtime(device="cpu"))
