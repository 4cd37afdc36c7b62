"""The chosen frames, and the tiles in them."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from gaze_core.driver.drive_files import write_video
from gaze_core.driver.drive_images import panel_tile
from gaze_core.driver.tiles import LAYOUTS, TileLayout, open_drive_video, tile
from gaze_core.errors import BadInput
from gaze_core.sampling import evenly_spaced
from tests.numbered_video import frame_number


def write_numbered(path, count=90):
    write_video(path, (panel_tile(frame, "test") for frame in range(count)), 30)
    return path


def test_samples_are_even_unique_and_reach_both_ends():
    chosen = evenly_spaced(23237, 500)
    assert (len(chosen), chosen[0], chosen[-1]) == (500, 0, 23236)
    assert set(np.diff(chosen)) <= {46, 47}
    assert evenly_spaced(3, 500) == [0, 1, 2]


def test_the_layout_must_fit_the_video(tmp_path):
    path = write_numbered(tmp_path / "v.mp4", 3)
    with pytest.raises(BadInput, match=r"320 x 352 px, the layout is for 3008 x 1080; choose one of whole, dashgaze"):
        open_drive_video(path, LAYOUTS["dashgaze"])
    with pytest.raises(BadInput, match=r"tile driver \(300, 0, 50, 50\) reaches beyond its frames of 320 x 352"):
        open_drive_video(path, TileLayout(driver=(300, 0, 50, 50)))
    with pytest.raises(ValidationError, match="reaches beyond the frame"):
        TileLayout(frame_px=(100, 100), road=(50, 0, 51, 10))


def test_tiles_are_cut_where_the_layout_says():
    image = np.arange(1080 * 3008 * 3, dtype=np.uint32).reshape(1080, 3008, 3)
    layout = LAYOUTS["dashgaze"]
    road = tile(image, layout.road)
    assert road.shape == (1071, 955, 3)
    assert (road[0, 0] == image[6, 962]).all()
    assert tile(image, None) is image


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
