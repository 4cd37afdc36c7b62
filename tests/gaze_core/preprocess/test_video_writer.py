"""A written video keeps the times of its frames and the sound of the recording."""

from fractions import Fraction

import av
import numpy as np
import pytest

from gaze_core.preprocess.video_reader import open_video, read_video
from gaze_core.preprocess.video_writer import VideoWriter

NUM_FRAMES, RATE = 12, 10


def record(path, size=(64, 48), sound=True):
    """A video of gray frames that get lighter, with a tone of the same length."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = *size, "yuv444p"
        audio = out.add_stream("aac", rate=16000, layout="mono") if sound else None
        for number in range(NUM_FRAMES):
            image = np.full((size[1], size[0], 3), 20 * number, np.uint8)
            for packet in video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                out.mux(packet)
        out.mux(video.encode())
        if audio:
            tone = np.sin(np.arange(16000 * NUM_FRAMES // RATE) / 5).astype(np.float32)[None] * 0.5
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
            for packet in [*audio.encode(frame), *audio.encode()]:
                out.mux(packet)
    return path


@pytest.mark.parametrize("size", [(64, 48), (63, 49)], ids=["even", "odd"])
def test_frames_come_back_at_their_times_and_sizes(tmp_path, size):
    source = open_video(record(tmp_path / "source.mp4", size))
    written = [n for n in range(NUM_FRAMES) if n != 5]
    with VideoWriter(tmp_path / "out.mp4", source) as writer:
        for number in written:
            writer.write(number, np.full((size[1], size[0], 3), 240 - 15 * number, np.uint8))
    result = open_video(tmp_path / "out.mp4")
    assert result.size_px == size
    assert result.times_s == pytest.approx(source.times_s[written], abs=0.002)
    frames = [frame.rgb for frame in read_video(result, range(result.num_frames)) if not isinstance(frame, int)]
    shades = [float(image.mean()) for image in frames]
    assert shades == pytest.approx([240 - 15 * number for number in written], abs=4)


def test_the_sound_of_the_recording_is_copied(tmp_path):
    source = open_video(record(tmp_path / "source.mp4"))
    assert source.has_sound
    with VideoWriter(tmp_path / "out.mp4", source) as writer:
        assert writer.sound
        for number in range(NUM_FRAMES):
            writer.write(number, np.zeros((48, 64, 3), np.uint8))

    def samples(path):
        with av.open(str(path)) as file:
            return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])

    assert np.array_equal(samples(tmp_path / "out.mp4"), samples(tmp_path / "source.mp4"))
    assert np.abs(samples(tmp_path / "out.mp4")).max() > 0.3


def test_a_silent_recording_gives_a_silent_video(tmp_path):
    source = open_video(record(tmp_path / "source.mp4", sound=False))
    with VideoWriter(tmp_path / "out.mp4", source) as writer:
        writer.write(0, np.zeros((48, 64, 3), np.uint8))
    assert not source.has_sound
    assert not open_video(tmp_path / "out.mp4").has_sound
