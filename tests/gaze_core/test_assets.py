"""Where assets are found, and the errors when they are not."""

import hashlib
import http.server
import threading
from functools import partial

import pytest

from gaze_core import assets
from gaze_core.assets import Asset
from gaze_core.errors import BadInput, MissingArtifact

CONTENT = b"a model"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a log."""

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def served(tmp_path):
    """A folder and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/model.bin"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model(served, monkeypatch):
    """Makes `model` the only asset; gives the folder it would be downloaded from."""
    folder, url = served
    asset = Asset("model.bin", DIGEST, (url.replace("model.bin", "gone.bin"), url), "MIT", "tests")
    monkeypatch.setattr(assets, "ASSETS", {"model": asset})
    monkeypatch.delenv(assets.FOLDERS_VARIABLE, raising=False)
    return folder


def test_download_from_the_second_address_is_kept(model):
    (model / "model.bin").write_bytes(CONTENT)
    path = assets.resolve("model")
    assert path == assets.cache_folder() / "model.bin"
    assert path.read_bytes() == CONTENT
    (model / "model.bin").unlink()
    assert assets.resolve("model") == path  # from the cache


def test_download_of_something_else_is_refused_and_not_kept(model):
    (model / "model.bin").write_bytes(b"an impostor")
    with pytest.raises(MissingArtifact, match=rf"model\.bin.*{DIGEST}.*{assets.FOLDERS_VARIABLE}"):
        assets.resolve("model")
    assert not (assets.cache_folder() / "model.bin").exists()


def test_failed_download_explains_how_to_provide_the_file(model):
    with pytest.raises(MissingArtifact) as caught:
        assets.resolve("model")
    assert DIGEST in str(caught.value)
    assert str(assets.cache_folder()) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_corrupt_cache_is_downloaded_again(model):
    (model / "model.bin").write_bytes(CONTENT)
    assets.cache_folder().mkdir(parents=True)
    (assets.cache_folder() / "model.bin").write_bytes(b"half")
    assert assets.resolve("model").read_bytes() == CONTENT


def test_folders_of_the_user_come_first(model, tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    monkeypatch.setenv(assets.FOLDERS_VARIABLE, f"{first}:{second}")
    (second / "model.bin").write_bytes(CONTENT)
    assert assets.resolve("model") == second / "model.bin"
    (first / "model.bin").write_bytes(b"another version")
    with pytest.raises(BadInput, match=f"first.*expected {DIGEST}"):
        assets.resolve("model")
    assert "expected" in assets.status()[0].remedy


def test_explicit_path_is_the_only_place(model, tmp_path):
    path = tmp_path / "mine.bin"
    with pytest.raises(BadInput, match="no such file"):
        assets.resolve("model", path)
    path.write_bytes(b"something else")
    with pytest.raises(BadInput, match=DIGEST):
        assets.resolve("model", path)
    path.write_bytes(CONTENT)
    assert assets.resolve("model", path) == path


def test_status_searches_without_downloading(model):
    (model / "model.bin").write_bytes(CONTENT)
    (row,) = assets.status()
    assert (row.name, row.path) == ("model", None)
    assert "model.bin" in row.remedy
    assert not assets.cache_folder().exists()


def test_unknown_asset():
    with pytest.raises(BadInput, match="face_landmarker"):
        assets.resolve("face_landmarkr")


def test_face_landmarker_is_the_file_that_was_tested(shared_data):
    path = shared_data / "face_landmarker.task"
    assert assets.resolve("face_landmarker", path) == path


@pytest.mark.parametrize("name", ["a:b", "what?", "plain"])
def test_the_folder_of_the_recording_is_searched_whatever_its_name(model, tmp_path, monkeypatch, name):
    monkeypatch.setenv(assets._BESIDE_VARIABLE, "")  # and as it was, afterwards
    folder = tmp_path / name
    folder.mkdir()
    (folder / "model.bin").write_bytes(CONTENT)
    assets.search_beside(folder / "v.mp4")
    assert assets.resolve("model") == folder / "model.bin"
