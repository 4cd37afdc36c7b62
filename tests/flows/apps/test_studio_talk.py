"""Films of a talking head in the studio: text, sound, bounds, one at a time, forgotten with the tab."""

import json
import os
import stat
import threading
import time

import pytest
from starlette.testclient import TestClient

from flows.apps.studio import talk
from flows.apps.studio.app import make_app
from flows.apps.studio.catalog import newest_talker, openings
from gaze_core.artifacts import artifact_name
from gaze_core.config import Runtime
from gaze_core.errors import BadInput, MissingArtifact
from tests.flows.apps.studio_server import TOKEN, PretendedTalker, PretendedView, pretended_studio
from tests.flows.apps.test_studio import live, message, ready


@pytest.fixture
def view():
    return PretendedTalker()


@pytest.fixture
def studio(view):
    return pretended_studio(view, PretendedView("mute"))


@pytest.fixture
def client(studio, tmp_path):
    app = make_app(studio, TOKEN, "127.0.0.1", tmp_path)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client, live(client) as page:
        ready(page)
        yield client


def film(client, content=b"RIFF", view="m0", tab="a", **more):
    return client.post("/talk", params={"token": TOKEN, "tab": tab, "view": view, **more}, content=content)


def shown(client, name, tab="a"):
    return client.get("/film", params={"token": TOKEN, "tab": tab, "name": name})


def test_sound_becomes_a_film_with_the_gaze_that_was_asked_for(client):
    name = film(client, gaze="pad", pitch=3, yaw="-20.5").json()["film"]
    answer = shown(client, name)
    assert answer.content == b"pad (3.0, -20.5) RIFF"
    assert answer.headers["content-type"] == "video/mp4"
    part = client.get("/film", params={"token": TOKEN, "tab": "a", "name": name}, headers={"range": "bytes=0-2"})
    assert (part.status_code, part.content) == (206, b"pad")  # a browser seeks
    assert client.get("/film", params={"tab": "a", "name": name}).status_code == 403
    assert shown(client, name, tab="b").status_code == 404


def test_the_page_is_told_who_talks(client):
    with live(client, "b") as page:
        said = message(page, "views")["views"]
        while "loading" in {one["state"] for one in said}:
            said = message(page, "views")["views"]
    assert [one["talks"] for one in said] == [True, False]


@pytest.fixture
def speaker(tmp_path, monkeypatch):
    """A program that writes its input to the file it is told, in place of espeak-ng."""
    program = tmp_path / "espeak-ng"
    program.write_text('#!/bin/sh\nwhile [ "$1" != "-w" ]; do shift; done\ncat > "$2"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("speaker")
def test_text_is_spoken_and_never_an_option(client):
    assert client.get(f"/speech?token={TOKEN}").json() == {"absent": ""}
    name = film(client, "-v; grüß $(Gott)".encode(), text=1).json()["film"]
    assert shown(client, name).content == "generator (0.0, 0.0) -v; grüß $(Gott)".encode()


@pytest.mark.usefixtures("speaker")
@pytest.mark.parametrize(
    ("content", "more", "expected"),
    [(b"", {}, "nothing was sent"), (b"   ", {"text": 1}, "expected a sentence"), (b"a" * 301, {"text": 1}, "301 characters"),
     (b"\0\0", {}, "it is silent"), (b"x", {"view": "m1"}, "does not speak"), (b"x", {"view": "m9"}, "does not speak"),
     (b"x", {"gaze": "sideways"}, "not a gaze"), (b"x", {"gaze": "pad", "yaw": "nan"}, "not a gaze"),
     (b"x", {"yaw": "90"}, "not a gaze"), (b"0" * 20_000_001, {}, "sound of more than 20 MB")],
    ids=["nothing", "blank", "long", "silent", "mute", "unknown", "word", "nan", "far", "large"],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_in_words(client, content, more, expected):
    answer = film(client, content, **more)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]
    assert "film" in film(client).json()  # the studio lives


def test_without_a_synthesiser_the_page_says_how_to_get_one(client, monkeypatch):
    monkeypatch.setattr(talk, "synthesiser", lambda: None)
    monkeypatch.setattr("flows.apps.studio.app.synthesiser", lambda: None)
    assert "install espeak-ng" in client.get(f"/speech?token={TOKEN}").json()["absent"]
    assert "install espeak-ng" in film(client, b"hello", text=1).json()["error"]


def test_one_film_at_a_time_with_its_progress(client, view):
    view.going.clear()
    answers = []
    maker = threading.Thread(target=lambda: answers.append(film(client)))
    with live(client) as page:
        maker.start()
        while not (fits := message(page, "fits")["fits"]) or "rendering" not in fits[0]["stage"]:
            pass
        assert fits == [{"name": "film", "stage": "rendering frame 3 of 10", "share": 0.3, "fault": ""}]
        assert "already" in film(client).json()["error"]
        view.going.set()
        maker.join(10)
        assert message(page, "fits")["fits"] == []
    assert answers[0].status_code == 200


def test_two_films_are_kept_and_forgotten_with_the_tab(client, studio, monkeypatch):
    names = [film(client).json()["film"] for _ in range(3)]
    assert [shown(client, name).status_code for name in names] == [404, 200, 200]
    folders = [path.parent for path in studio.tabs["a"].films.values()]
    assert all(folder.is_dir() for folder in folders)
    studio.tabs["a"].sockets = 0
    monkeypatch.setattr("flows.apps.studio.tabs.KEPT_S", -1.0)
    studio.forget_old()
    assert not any(folder.exists() for folder in folders)


def test_a_film_ends_with_its_tab(client, studio, view):
    view.going.clear()
    maker = threading.Thread(target=film, args=(client,))
    maker.start()
    while not studio.tabs["a"].is_filming:
        time.sleep(0.01)
    studio.tabs["a"].is_gone = True
    maker.join(10)
    assert view.ended == "its tab was closed"


def write_report(folder, stage):
    """A report whose candidate is not in the store."""
    folder.mkdir()
    digest = "0" * 64
    ref = {"kind": "checkpoint", "name": artifact_name(stage, "0" * 16, digest), "sha256": digest, "stage": stage,
           "stage_version": 1, "config_digest": "0" * 12}  # fmt: skip
    (folder / "report.json").write_text(json.dumps({"artifacts": {"candidate": ref}}))


def test_the_newest_talking_head_is_opened_when_the_page_needs_it(tmp_path):
    write_report(tmp_path / "old", "talker_fine")
    write_report(tmp_path / "head", "gaze_gaussian")
    write_report(tmp_path / "new", "talker_fine")
    for number, name in enumerate(("old", "new", "head")):
        os.utime(tmp_path / name / "report.json", (number, number))
    (opening,) = newest_talker(tmp_path)
    assert opening.name == "new, candidate"
    with pytest.raises(MissingArtifact):  # only now it is looked for in the store
        opening.load(Runtime(device="cpu"))


def test_what_names_no_talking_head(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.json").write_text("[]")
    assert newest_talker(tmp_path) == []
    with pytest.raises(BadInput, match="not a report"):
        openings(tmp_path / "run")
