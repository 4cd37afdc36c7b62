"""Reading of what a talker is made of: sound, features, films, published folders, and each way in which they are wrong."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from gaze_core.errors import BadInput
from gaze_core.synthesis.speech import speak
from gaze_core.talker.audio import features_of, read_features, windows_of
from gaze_core.talker.film import fitted_sound, open_film, read_sound, write_film
from gaze_core.talker.film_faces import TalkerPrepareConfig
from gaze_core.talker.frame_values import closing, held_between, nearest_valid
from gaze_core.talker.packs import shipped_talker
from gaze_core.talker.preparation import prepare_video
from gaze_core.talker.published import prepare_published
from gaze_core.talker.published_files import read_action_units, view_matrices
from gaze_core.talker.subject import TalkerSubject
from gaze_core.talker.subject_schema import TORSO, held_out_end

SIZE = 48


def _frames(count: int) -> list[np.ndarray]:
    """Grey frames that grow brighter, so that each tells its number."""
    return [np.full((SIZE, SIZE, 3), 40 + 2 * k, np.uint8) for k in range(count)]


def _published(folder: Path, count: int = 12, vertices: bool = True, rows: int | None = None) -> Path:
    """A small published subject: a pink disc on grey before a camera that looks along -z, 8 dm away."""
    rng = np.random.default_rng(0)
    for name in ("ori_imgs", "parsing", "torso_imgs"):
        (folder / name).mkdir(parents=True)
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    cv2.circle(image, (24, 24), 14, (180, 150, 230), -1)
    parsing = np.full((SIZE, SIZE, 3), 255, np.uint8)
    parsing[38:] = (0, 0, 255)
    cv2.circle(parsing, (24, 24), 14, (255, 0, 0), -1)
    lms = rng.uniform(20, 28, (68, 2))
    lms[36:42], lms[42:48] = [18, 20], [30, 20]
    lms[[36, 39, 42, 45], 0] += [-2, 2, -2, 2]
    lms[[37, 38, 43, 44], 1] -= 1
    lms[[40, 41, 46, 47], 1] += 1
    for k in range(count):
        cv2.imwrite(str(folder / "ori_imgs" / f"{k}.jpg"), image)
        np.savetxt(folder / "ori_imgs" / f"{k}.lms", lms)
        cv2.imwrite(str(folder / "parsing" / f"{k}.png"), parsing)
        cv2.imwrite(str(folder / "torso_imgs" / f"{k}.png"), np.zeros((SIZE, SIZE, 4), np.uint8))
    cv2.imwrite(str(folder / "bc.jpg"), np.full((SIZE, SIZE, 3), 120, np.uint8))
    cut = count * 10 // 11
    for name, part in (("train", range(cut)), ("val", range(cut, count))):
        frames = [{"img_id": k, "aud_id": k, "transform_matrix": np.eye(4).tolist()} for k in part]
        values = {"focal_len": 120.0, "cx": SIZE / 2, "cy": SIZE / 2, "frames": frames}
        (folder / f"transforms_{name}.json").write_text(json.dumps(values))
    rows = count if rows is None else rows
    track = {"euler": torch.zeros(rows, 3), "trans": torch.tensor([[0.0, 0.0, -8.0]]).repeat(rows, 1)}
    if vertices:
        track["vertices"] = torch.from_numpy(rng.normal(0, 0.5, (rows, 60, 3)))
    torch.save(track, folder / "track_params.pt")
    np.save(folder / "aud_eo.npy", rng.normal(size=(count + 3, 16, 44)))
    (folder / "au.csv").write_text("frame, AU45_r\n" + "\n".join(f"{k + 1}, {k % 3}" for k in range(count)))
    return folder


def test_windows_are_centred_as_published() -> None:
    stream = np.arange(1.0, 21.0)[:, None]
    windows = windows_of(stream, 50.0, 10)
    assert windows.shape == (10, 16, 1)
    padded = np.pad(stream[:, 0], 8)
    np.testing.assert_array_equal(windows[3, :, 0], padded[6:22])
    assert (windows[0, :8] == 0).all()


def test_log_mel_hears_pitch_loudness_and_silence() -> None:
    times = np.arange(16_000) / 16_000
    low, high = (features_of(np.sin(2 * np.pi * f * times), "log_mel").windows[12, 8] for f in (300, 3000))
    assert low.argmax() < high.argmax() - 5
    assert (features_of(np.zeros(16_000), "log_mel").windows[12] == -1).all()
    assert features_of(np.zeros(8_000), "log_mel", 25).windows.shape == (25, 16, 32)


def test_features_of_any_width_and_length(tmp_path: Path) -> None:
    for width in (29, 32, 44, 1024):
        np.save(tmp_path / "a.npy", np.ones((255, 16, width)))
        read = read_features(tmp_path / "a.npy", 250)
        assert read.windows.shape == (250, 16, width)
        assert "left out" in read.notes[0]
    np.save(tmp_path / "a.npy", np.ones((500, 384)))
    assert read_features(tmp_path / "a.npy", 250).rate_hz == 50
    np.save(tmp_path / "a.npy", np.ones((249, 16, 29)))
    assert read_features(tmp_path / "a.npy", 250).windows.shape == (250, 16, 29)
    np.save(tmp_path / "a.npy", np.ones((200, 16, 29)))
    with pytest.raises(BadInput, match="50 fewer"):
        read_features(tmp_path / "a.npy", 250)
    with pytest.raises(BadInput, match="expected one of: log_mel"):
        features_of(np.zeros(800), "bark")


def test_film_and_its_sound_come_back(tmp_path: Path) -> None:
    sound = speak(30, 1).sound
    path = write_film(tmp_path / "film.mp4", _frames(30), sound)
    film = open_film(path)
    means = [float(image.mean()) for _, image in film.frames() if image is not None]
    assert len(film) == 30
    np.testing.assert_allclose(means, 40 + 2 * np.arange(30), atol=3)
    heard = read_sound(path)
    assert abs(len(heard) - len(sound)) <= 0.05 * 16_000
    lag = np.correlate(heard[: len(sound)], sound[: len(heard)], "full").argmax() - (min(len(heard), len(sound)) - 1)
    assert abs(lag) < 0.02 * 16_000
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_thirty_frames_a_second_are_converted_by_time(tmp_path: Path) -> None:
    film = open_film(write_film(tmp_path / "film.mp4", _frames(60), rate_hz=30))
    assert film.is_converted
    assert len(film) == 50
    np.testing.assert_allclose(film.numbers / 30, np.arange(50) / 25, atol=0.5 / 30 + 1e-6)


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "mute.mp4", _frames(60))
    with pytest.raises(BadInput, match="no sound"):
        prepare_video(path, tmp_path / "out", TalkerPrepareConfig())
    assert not (tmp_path / "out").exists()


def test_a_short_film_is_refused(tmp_path: Path) -> None:
    path = write_film(tmp_path / "short.mp4", _frames(20), speak(20, 1).sound)
    with pytest.raises(BadInput, match="20 frames at 25 a second; expected 50"):
        prepare_video(path, tmp_path / "out", TalkerPrepareConfig())


def test_sound_that_is_longer_is_cut_and_shorter_refused() -> None:
    sound, notes = fitted_sound(np.ones(20_000), 25, "a.mp4")
    assert len(sound) == 16_000
    assert "left out" in notes[0]
    assert len(fitted_sound(np.ones(15_000), 25, "a.mp4")[0]) == 16_000
    with pytest.raises(BadInput, match="cut the picture to the sound"):
        fitted_sound(np.ones(4_000), 25, "a.mp4")


def test_sound_with_a_gap_in_its_clock_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as out:
        voice = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for start in (0, 1600, 6400):  # 0.2 s are missing
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, start
            out.mux(voice.encode(frame))
        out.mux(voice.encode())
    with pytest.raises(BadInput, match="drift apart by 200 ms"):
        read_sound(path)


def test_frames_without_a_face_shift_nothing() -> None:
    valid = np.array([False, True, True, False, False, True])
    np.testing.assert_array_equal(nearest_valid(valid), [1, 1, 2, 2, 5, 5])
    np.testing.assert_allclose(
        held_between(np.array([[0.0], [9], [2]]), np.array([True, False, True])), [[0], [1], [2]]
    )
    assert closing(np.array([0.1] * 50 + [0.6])).max() > 0.9
    assert closing(np.array([0.1] * 50 + [0.15])).max() < 0.2


def test_two_hundred_and_fifty_frames_split_as_published() -> None:
    assert int((held_out_end(250) == 0).sum()) == 227


def test_published_folder_is_converted_and_says_what_is_missing(tmp_path: Path) -> None:
    summary = prepare_published(
        _published(tmp_path / "May", vertices=False), tmp_path / "out", TalkerPrepareConfig(num_points=300)
    )
    subject = TalkerSubject(tmp_path / "out")
    assert len(subject) == 12
    assert subject.audio.shape == (12, 16, 44)
    assert any("vertices" in note for note in summary.notes)
    assert any("aud.wav" in note for note in summary.notes)
    np.testing.assert_allclose(subject.blink[:3, 0], [0, 0.5, 1])
    middle = subject.viewmat[0] @ [*subject.eye_centres_m.mean(axis=0), 1]
    pixel = subject.intrinsics @ middle[:3]
    np.testing.assert_allclose(pixel[:2] / pixel[2], [24, 20], atol=0.7)  # between the eyes of the landmarks
    assert 0.6 < middle[2] < 1.0
    assert (subject.labels[0][40:] == TORSO).all()


def test_published_pose_is_that_of_the_tracker() -> None:
    euler, trans = torch.tensor([[0.2, -0.3, 0.1]]), torch.tensor([[0.5, 0.2, -7.0]])
    view = view_matrices(euler, trans)[0]
    np.testing.assert_allclose(np.linalg.det(view[:3, :3]), 1)
    np.testing.assert_allclose(view[:3, 3], [0.05, -0.02, 0.7], atol=1e-6)  # before the camera, y down, metres


def test_tracker_that_lost_frames(tmp_path: Path) -> None:
    folder = _published(tmp_path / "lost", rows=11)
    with pytest.raises(BadInput, match="11 rows for 12 images"):
        prepare_published(folder, tmp_path / "out", TalkerPrepareConfig())
    (folder / "ori_imgs" / "4.lms").unlink()
    prepare_published(folder, tmp_path / "out", TalkerPrepareConfig(num_points=100))
    subject = TalkerSubject(tmp_path / "out")
    assert subject.frame_id.tolist() == list(range(12))
    assert subject.valid.tolist() == [k != 4 for k in range(12)]


def test_action_units_with_and_without_blanks_and_too_few(tmp_path: Path) -> None:
    path = tmp_path / "au.csv"
    path.write_text("frame, AU45_r\n1, 0.5\n2, 1.5\n")
    np.testing.assert_array_equal(read_action_units(path, 2)["AU45_r"], [0.5, 1.5])
    path.write_text("frame,AU45_r\n1,0.5\n2,1.5\n")
    np.testing.assert_array_equal(read_action_units(path, 2)["AU45_r"], [0.5, 1.5])
    with pytest.raises(BadInput, match="2 rows for 3 frames"):
        read_action_units(path, 3)
    assert read_action_units(tmp_path / "none.csv", 3) == {}


def test_shipped_talker_hears_what_it_shows() -> None:
    subject = TalkerSubject(shipped_talker())
    train = subject.split == 0
    heard = np.concatenate([subject.audio.reshape(len(subject), -1), np.ones((len(subject), 1))], axis=1)
    known = heard[train]
    weights = np.linalg.solve(known.T @ known + 5 * np.eye(known.shape[1]), known.T @ subject.mouth_open[train])
    assert np.corrcoef(heard[~train] @ weights, subject.mouth_open[~train])[0, 1] > 0.8  # other words
    truth = subject.truth()
    assert truth is not None
    shown = subject.images(truth.frame[:4])
    differs = np.abs(shown.astype(int) - truth.images[:4]).max(axis=-1) > 40
    rows = np.flatnonzero(differs.any(axis=(0, 2)))
    assert rows.size
    assert rows.min() > 30
    assert rows.max() < 75
