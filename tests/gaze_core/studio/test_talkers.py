"""A talking head in the studio: its picture follows the gaze, its film lasts as long as the sound."""

import av
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.stages.context import StageContext
from gaze_core.stages.talker import coarse, fine
from gaze_core.studio.talkers import MAX_FILM_S, TalkerView
from gaze_core.studio.wishes import FilmWish, Wish
from gaze_core.talker.audio import EXTRACTORS
from gaze_core.talker.film import read_sound
from gaze_core.talker.subject_files import write_wav
from tests.gaze_core.stages.talker.test_render import NETWORK, QUIET
from tests.talking_head import write_talking_head

WIDTH = EXTRACTORS["log_mel"](np.zeros(16_000, np.float32)).shape[1]


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    root = tmp_path_factory.mktemp("talker")
    data = write_talking_head(root / "data", count=44, size_px=32, audio_width=WIDTH, audio_extractor="log_mel")
    contexts = [StageContext(Runtime(device="cpu"), root / name) for name in ("coarse", "fine")]
    for context in contexts:
        context.work_dir.mkdir()
    coarse.run(coarse.TalkerCoarseConfig(network=NETWORK, num_steps=2, **QUIET), {"data": data}, contexts[0])
    inputs = {"data": data, "coarse": contexts[0].work_dir}
    fine.run(fine.TalkerFineConfig(num_steps=2, **QUIET), inputs, contexts[1])
    return TalkerView("talker", "drawn", contexts[1].work_dir, data, Runtime(device="cpu"))


def test_its_picture_follows_the_wish(view):
    left, right = view.draw(Wish(gaze_deg=(0, 20))), view.draw(Wish(gaze_deg=(0, -20)))
    assert left.drawn_deg == pytest.approx((0, 20), abs=0.1)
    assert right.drawn_deg == pytest.approx((0, -20), abs=0.1)
    assert left.image.shape == (32, 32, 3)
    assert left.face.shape == (1, 3, 32, 32)
    assert (left.image != right.image).any()
    assert (view.draw(Wish(gaze_deg=(0, 20))).image == left.image).all()
    assert view.draw(Wish(gaze_deg=(45, 0))).drawn_deg[0] < 45  # eyes turn no further


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 25), (MAX_FILM_S + 2, 25 * MAX_FILM_S)])
def test_its_film_lasts_as_long_as_the_sound_and_not_longer_than_allowed(view, tmp_path, seconds, frames):
    sound = np.sin(np.arange(round(16_000 * seconds)) / 20).astype(np.float32) / 2
    told = []
    write_wav(tmp_path / "sound", sound)
    film = view.film(
        tmp_path / "sound", FilmWish(gaze="camera"), tmp_path / "film.mp4",
        lambda done, total: told.append((done, total)),
    )  # fmt: skip
    with av.open(str(film)) as opened:
        assert sum(1 for _ in opened.decode(video=0)) == frames
        assert opened.streams.audio
    assert told[-1] == (frames, frames)


def test_of_long_sound_no_more_is_decoded_than_a_film_says(tmp_path):
    write_wav(tmp_path / "sound", np.zeros(16_000 * 300, np.float32))
    assert len(read_sound(tmp_path / "sound", MAX_FILM_S)) < 16_000 * (MAX_FILM_S + 5)


def test_what_ends_a_film_and_what_is_no_sound(view, tmp_path):
    write_wav(tmp_path / "sound", np.zeros(16_000, np.float32))

    def end(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        view.film(tmp_path / "sound", FilmWish(), tmp_path / "film.mp4", end)
    assert not (tmp_path / "film.mp4").exists()
    (tmp_path / "words.txt").write_text("no sound")
    with pytest.raises(BadInput):
        view.film(tmp_path / "words.txt", FilmWish(), tmp_path / "film.mp4", lambda done, total: None)
