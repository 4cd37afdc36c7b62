"""The very frames that were asked for, and the tiles in them."""

import struct

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from gaze_core.driver.drive_files import write_video
from gaze_core.driver.drive_pictures import PANEL_PX, frame_number, panel_tile
from gaze_core.driver.footage import LAYOUTS, TileLayout, VideoFrame, open_footage, read_frames, tile
from gaze_core.errors import BadInput
from gaze_core.sampling import evenly_spaced


def write_numbered(path, count=90):
    write_video(path, (panel_tile(frame, "test") for frame in range(count)), 30)
    return path


def test_frames_are_those_that_were_asked_for(tmp_path):
    footage = open_footage(write_numbered(tmp_path / "v.mp4"), TileLayout())
    assert (footage.num_frames, footage.size_px, footage.frames_per_s) == (90, PANEL_PX, 30)
    wanted = evenly_spaced(90, 17)
    frames = [frame for frame in read_frames(footage, wanted) if isinstance(frame, VideoFrame)]
    assert [frame.index for frame in frames] == wanted
    assert [frame_number(frame.rgb) for frame in frames] == wanted
    np.testing.assert_allclose([frame.time_s for frame in frames], np.array(wanted) / 30, atol=1e-3)


def with_uneven_times(path, units):
    """Gives each frame of an MP4 a duration of its own, by a new table of times (stts) in its header."""
    data = bytearray(path.read_bytes())
    start = data.index(b"stts") - 4
    (old_size,) = struct.unpack_from(">I", data, start)
    _, unit = struct.unpack_from(">II", data, start + 16)
    rows = b"".join(struct.pack(">II", 1, unit * count) for count in units)
    table = struct.pack(">I4sII", 16 + len(rows), b"stts", 0, len(units)) + rows
    data[start : start + old_size] = table
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):  # the boxes around it
        at = data.index(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(table) - old_size)
    data[data.index(b"edts") : data.index(b"edts") + 4] = b"free"  # would cut the film at its old length
    path.write_bytes(data)


def test_frames_and_their_times_where_the_rate_varies(tmp_path):
    path = write_numbered(tmp_path / "v.mp4", 60)
    units = [1 if number % 7 else 5 for number in range(60)]
    with_uneven_times(path, units)
    footage = open_footage(path, TileLayout())
    assert footage.num_frames == 60
    wanted = [0, 6, 7, 8, 30, 59]
    frames = [frame for frame in read_frames(footage, wanted) if isinstance(frame, VideoFrame)]
    assert [frame_number(frame.rgb) for frame in frames] == wanted
    starts_s = np.cumsum([0, *units]) / 30
    np.testing.assert_allclose([frame.time_s for frame in frames], starts_s[wanted], atol=2e-3)


def test_samples_are_even_unique_and_reach_both_ends():
    chosen = evenly_spaced(23237, 500)
    assert (len(chosen), chosen[0], chosen[-1]) == (500, 0, 23236)
    assert set(np.diff(chosen)) <= {46, 47}
    assert evenly_spaced(3, 500) == [0, 1, 2]


def test_a_container_that_promises_too_much_gives_what_it_has(tmp_path):
    footage = open_footage(write_numbered(tmp_path / "v.mp4", 30), TileLayout())
    frames = [f for f in read_frames(footage, [5, 29, 40]) if isinstance(f, VideoFrame)]
    assert [frame.index for frame in frames] == [5, 29]


def test_the_layout_must_fit_the_video(tmp_path):
    path = write_numbered(tmp_path / "v.mp4", 3)
    with pytest.raises(BadInput, match=r"320 x 352 px, the layout is for 3008 x 1080; choose one of whole, dashgaze"):
        open_footage(path, LAYOUTS["dashgaze"])
    with pytest.raises(BadInput, match=r"tile driver \(300, 0, 50, 50\) reaches beyond its frames of 320 x 352"):
        open_footage(path, TileLayout(driver=(300, 0, 50, 50)))
    with pytest.raises(ValidationError, match="reaches beyond the frame"):
        TileLayout(frame_px=(100, 100), road=(50, 0, 51, 10))


def test_tiles_are_cut_where_the_layout_says():
    image = np.arange(1080 * 3008 * 3, dtype=np.uint32).reshape(1080, 3008, 3)
    layout = LAYOUTS["dashgaze"]
    road = tile(image, layout.road)
    assert road.shape == (1071, 955, 3)
    assert (road[0, 0] == image[6, 962]).all()
    assert tile(image, None) is image


def test_files_that_are_no_video_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file; expected a video"):
        open_footage(tmp_path / "absent.mp4", TileLayout())
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(BadInput, match="not a readable video"):
        open_footage(tmp_path / "text.mp4", TileLayout())


def test_a_video_that_cannot_be_written_leaves_nothing(tmp_path):
    def frames():
        yield np.zeros((32, 32, 3), np.uint8)
        raise BadInput("stopped")

    with pytest.raises(BadInput, match="stopped"):
        write_video(tmp_path / "v.mp4", frames(), 30)
    assert list(tmp_path.iterdir()) == []


def test_bars_survive_compression(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, (panel_tile(frame, "x") for frame in (1, 699050, 349525)), 30)
    capture = cv2.VideoCapture(str(path))
    read = [frame_number(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)) for _ in range(3)]
    assert read == [1, 699050, 349525]
