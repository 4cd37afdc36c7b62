"""Synthetic EVE as a whole, with plain pictures instead of renders: files, order of work, and what a second run does."""

import h5py
import numpy as np
import pytest

from gaze_core.estimation import synthetic_eve
from gaze_core.estimation.conversion import ConvertConfig, convert
from gaze_core.estimation.recordings import Recording
from gaze_core.estimation.synthetic_eve import SyntheticEveConfig, synthesize_eve
from gaze_core.estimation.viewing.images import Face
from tests.gaze_core.estimation.viewed import CLEAN, RENDER, plain_images, points

CONFIG = SyntheticEveConfig(
    train=2, val=1, test=1, rounds=1, image_s=0.5, video_s=0.5, wikipedia_s=0.5, render=RENDER, film=CLEAN
)


@pytest.fixture(autouse=True)
def renders(monkeypatch):
    """Stands in for the renderer; lists the recordings that were rendered."""
    done = []

    def render(path, viewing, identity_seed, camera, config, seed):
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"rendered")
            done.append(path.name.rsplit("__", 1)[0])
        return plain_images(len(viewing.moments), config)

    monkeypatch.setattr(synthetic_eve, "render_viewing", render)
    monkeypatch.setattr(synthetic_eve, "face_of", lambda identity, folder: Face(points(), 0.016, 0.12))
    monkeypatch.setattr(synthetic_eve, "load_mitsuba", lambda: None)
    monkeypatch.setattr(synthetic_eve, "load_anny", lambda: None)
    return done


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_people_of_all_splits_come_in_turn_and_their_labels_arrive(tmp_path, renders):
    synthesize_eve(CONFIG, tmp_path / "eve")
    assert [name.split("__")[0] for name in renders[::3]] == ["train01", "val01", "test01", "train02"]
    index = convert(tmp_path / "eve", tmp_path / "out", ConvertConfig(face_px=48, eye_px=32))
    assert index.problems == ()
    assert len(index.recordings) == 12
    recording = Recording(tmp_path / "out" / "test01__step002__basler.h5")
    assert recording.info.stimulus == "video"
    assert recording.info.source == "synthetic"
    assert len(recording) == 30
    assert set(recording["kind"]) <= {1, 2, 3, 4}
    assert set(recording["kind"]) & {1, 3}
    np.testing.assert_allclose(recording["pupil_m"], 2 * 0.016 * np.sin(0.12), rtol=0.13)


def test_a_second_run_changes_nothing_and_more_people_change_no_other(tmp_path, renders):
    out = synthesize_eve(CONFIG, tmp_path / "eve")
    before = contents(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    synthesize_eve(CONFIG, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")} == times
    (out / "train01/step001_image_free-viewing/basler.h5").unlink()  # an interrupted run
    synthesize_eve(CONFIG.model_copy(update={"train": 3}), out)
    after = contents(out)
    assert {path: after[path] for path in before} == before
    assert len(renders) == 15


def test_another_noise_films_again_without_rendering(tmp_path, renders):
    out = synthesize_eve(CONFIG, tmp_path / "eve")
    film = out / "val01/step001_image_free-viewing/basler_face.mp4"
    before = film.read_bytes()
    synthesize_eve(CONFIG.model_copy(update={"film": CLEAN.model_copy(update={"noise": (9.0, 9.0)})}), out)
    assert film.read_bytes() != before
    assert len(renders) == 12


def test_files_have_the_official_names_and_groups(tmp_path):
    out = synthesize_eve(CONFIG.model_copy(update={"cameras": ("basler", "webcam_l")}), tmp_path / "eve")
    folder = out / "val01/step003_wikipedia_reading"
    names = {path.name for path in folder.iterdir()}
    endings = (".h5", ".timestamps.txt", "_face.mp4", "_eyes.mp4")
    assert names == {camera + ending for camera in ("basler", "webcam_l") for ending in endings}
    with h5py.File(folder / "webcam_l.h5") as file:
        assert file["head_rvec/data"].shape == (15, 3, 1)
        assert file["face_g_tobii/validity"].dtype == bool
        np.testing.assert_array_equal(file["left_R/data"][()], file["face_R/data"][()])
        to_camera, back = file["camera_transformation"][()], file["inv_camera_transformation"][()]
        np.testing.assert_allclose(to_camera @ back, np.eye(4), atol=1e-9)
        # Millimetres: the left webcam stands next to the screen's upper left corner, both to the person's left.
        assert np.linalg.norm(to_camera[:3, 3]) == pytest.approx(1000 * np.hypot(0.28 - 0.2765, 0.18 - 0.1555))
    stamps = [int(line) for line in (folder / "webcam_l.timestamps.txt").read_text().split()]
    assert np.diff(stamps) == pytest.approx(1e9 / 30)
