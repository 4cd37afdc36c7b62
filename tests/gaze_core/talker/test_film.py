"""Films with sound, written and read again."""

import av
import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.talker.film import read_sound, write_film


def frames(count):
    for number in range(count):
        image = np.zeros((64, 48, 3), np.uint8)
        image[:, :, 0], image[: number + 1] = 200, 255
        yield image


def test_pictures_and_sound_come_back_and_end_together(tmp_path):
    sound = (0.5 * np.sin(np.arange(20_000) * 2 * np.pi * 440 / 16_000)).astype(np.float32)
    path = write_film(tmp_path / "film.mp4", frames(25), sound)
    with av.open(str(path)) as film:
        assert film.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert film.streams.audio[0].codec_context.name == "aac"
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(shown) == 25
    assert abs(int(shown[10][40, 20, 0]) - 200) < 12
    assert shown[20][10].mean() > 230
    heard = read_sound(path)
    assert len(heard) == pytest.approx(16_000, abs=2100)
    middle = heard[4000:12_000]
    assert np.abs(np.fft.rfft(middle)).argmax() * 2 == pytest.approx(440, abs=4)
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")


def test_what_has_no_sound_says_so(tmp_path):
    path = write_film(tmp_path / "silent.mp4", frames(3))
    with pytest.raises(BadInput, match="no sound in it"):
        read_sound(path)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(BadInput, match="no readable sound"):
        read_sound(tmp_path / "text.wav")
    with pytest.raises(BadInput, match="no frames to write"):
        write_film(tmp_path / "none.mp4", iter(()))
    assert not list(tmp_path.glob("none*"))
