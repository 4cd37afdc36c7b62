"""Each frame under its own number and time, whatever the container, its damage, its pixels and its orientation."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.preprocess import images
from gaze_core.preprocess.frames import Recording
from gaze_core.preprocess.video_reader import VideoFrame, open_video, read_video
from tests.numbered_video import frame_number, turn, write_numbered, zero_packets


def read(path, wanted=None):
    video = open_video(path)
    numbers = range(video.num_frames) if wanted is None else wanted
    return video, [frame for frame in read_video(video, numbers) if isinstance(frame, VideoFrame)]


def assert_numbered(frames):
    assert [frame_number(frame.rgb) for frame in frames if frame.rgb is not None] == [
        frame.number for frame in frames if frame.rgb is not None
    ]


def test_frames_are_the_requested_ones(tmp_path):
    wanted = [0, 5, 17, 58, 59]
    video, frames = read(write_numbered(tmp_path / "v.mp4"), wanted)
    assert (video.num_frames, video.size_px, video.frames_per_s) == (60, (320, 352), 30)
    assert [frame.number for frame in frames] == wanted
    assert_numbered(frames)
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(wanted) / 30, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("v.avi", {"bidirectional": 2}),
        ("v.avi", {"codec": "libx264", "bidirectional": 2}),  # AVI has no presentation times
        ("v.h264", {"codec": "libx264"}),  # nor has a bare stream
        ("v.mkv", {"codec": "libx264"}),
        ("v.ts", {"codec": "libx264"}),
        ("v.webm", {"codec": "libvpx-vp9"}),
        ("v.mkv", {"codec": "ffv1", "pix_fmt": "yuv420p12le"}),
        ("a#b?c 100%.mp4", {}),
        ("no:scheme.mp4", {}),
    ],
)
def test_every_frame_of_every_container_has_its_number(tmp_path, monkeypatch, name, options):
    monkeypatch.chdir(tmp_path)  # so that nothing stands before a colon
    write_numbered(tmp_path / name, 30, **options)
    video, frames = read(Path(name))
    assert video.num_frames == len(frames) == 30
    assert Counter(frame.fault for frame in frames) == {"": 30}
    assert_numbered(frames)


@pytest.mark.parametrize("name", ["v.mkv", "v.mp4"])
def test_all_frames_of_a_variable_rate_have_their_times(tmp_path, name):
    starts_s = np.cumsum([0] + [1 if number % 7 else 6 for number in range(29)]) / 30
    video, frames = read(write_numbered(tmp_path / name, 30, "libx264", starts_s))
    assert video.num_frames == 30
    assert_numbered(frames)
    np.testing.assert_allclose([frame.time_s for frame in frames], starts_s, atol=2e-3)
    assert video.frames_per_s == pytest.approx(29 / starts_s[-1], rel=1e-3)


@pytest.mark.parametrize("options", [{"codec": "mpeg4"}, {"codec": "libx264", "bidirectional": 2}])
def test_lost_packets_damage_frames_up_to_the_next_key_frame_and_shift_no_other(tmp_path, options):
    path = zero_packets(write_numbered(tmp_path / "v.mp4", **options), range(28, 31))
    _, frames = read(path)
    assert [frame.number for frame in frames] == list(range(60))
    faults = Counter(frame.fault for frame in frames)
    assert faults["not_decodable"] == 3
    assert 5 <= faults["damaged"] <= 8  # to frame 36, at most three before the loss lean on what is lost
    assert_numbered(frames)  # none shows an earlier frame
    assert {frame.number for frame in frames if frame.rgb is None} <= set(range(25, 36))


def test_a_truncated_video_yields_its_readable_frames(tmp_path):
    path = write_numbered(tmp_path / "v.ts", codec="libx264")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video, frames = read(path)
    assert 10 < video.num_frames < 50
    assert_numbered(frames)


def test_frames_beyond_the_end_cannot_be_decoded(tmp_path):
    _, frames = read(write_numbered(tmp_path / "v.mp4", 10), [9, 40])
    assert [(frame.number, frame.fault) for frame in frames] == [(9, ""), (40, "not_decodable")]


def test_a_damaged_recording_is_read_on_and_the_rest_is_counted(shared_data):
    path = shared_data / "cases" / "damaged_portrait.mp4"
    if not path.is_file():
        pytest.skip(f"no {path}")
    recording = Recording(path, 1, None)
    faults = Counter()
    numbers = [number for number, _ in recording.frames(faults)]
    # 448 frames come out of a decoder; 24 of them are made up from the lost ones before them.
    assert recording.expected_count == len(numbers) + faults.total() == 472
    assert faults["not_decodable"] == 24
    assert len(numbers) == 472 - 48
    assert set(range(216, 472)) <= set(numbers)


def test_pixels_become_square(tmp_path):
    video, (frame,) = read(write_numbered(tmp_path / "wide.mp4", 2, "libx264", aspect=Fraction(2, 1)), [1])
    assert video.size_px == (640, 352)
    assert frame.rgb.shape == (352, 640, 3)
    assert frame_number(frame.rgb[:, ::2]) == 1
    video, (frame,) = read(write_numbered(tmp_path / "tall.mp4", 2, "libx264", aspect=Fraction(1, 2)), [1])
    assert video.size_px == (320, 704)
    video, _ = read(write_numbered(tmp_path / "rounded.mp4", 2, "libx264", aspect=Fraction(1280, 1281)), [1])
    assert video.size_px == (320, 352)


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # a quarter to the right
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((0, -1, 1, 0), lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    ],
)
def test_frames_follow_the_display_matrix(tmp_path, matrix, shown):
    _, (plain,) = read(write_numbered(tmp_path / "plain.mp4", 2), [1])
    video, (frame,) = read(turn(write_numbered(tmp_path / "v.mp4", 2), matrix), [1])
    np.testing.assert_array_equal(frame.rgb, shown(plain.rgb))
    assert video.size_px == (frame.rgb.shape[1], frame.rgb.shape[0])


@pytest.mark.parametrize("content", [b"", b"no video", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"])
def test_files_that_are_no_video_are_refused(tmp_path, content):
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(BadInput, match="v.mp4: not a readable video"):
        open_video(tmp_path / "v.mp4")
    with pytest.raises(BadInput, match="no such file; expected a video"):
        open_video(tmp_path / "absent.mp4")


def test_a_video_of_which_nothing_can_be_decoded_is_refused(tmp_path):
    path = zero_packets(write_numbered(tmp_path / "v.mp4", 5), range(5))
    with pytest.raises(BadInput, match="not a readable video"):
        open_video(path)


def test_frames_that_are_too_large_are_not_decoded(tmp_path, monkeypatch):
    path = write_numbered(tmp_path / "v.mp4", 2)
    monkeypatch.setattr(images, "MAX_PIXELS", 320 * 352 - 1)
    with pytest.raises(BadInput, match="320 x 352 px, expected"):
        open_video(path)
