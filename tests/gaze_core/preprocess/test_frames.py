"""Reading recordings: order, thinning, and one clear line for each thing that can be wrong."""

from collections import Counter

import cv2
import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.preprocess.frames import Recording


@pytest.fixture
def video(tmp_path):
    """Ten frames whose grey value is 20 x index."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for index in range(10):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


def test_thinned_video_keeps_the_recordings_own_indices(video):
    recording = Recording(video, every_nth=3, max_frames=3)
    frames = list(recording.frames())
    assert recording.expected_count == 3
    assert [index for index, _ in frames] == [0, 3, 6]
    assert [round(image.mean() / 20) for _, image in frames] == [0, 3, 6]
    assert [index for index, _ in recording.frames()] == [0, 3, 6]  # a second pass


def test_images_come_in_the_order_of_names_as_rgb(folder_of):
    blue, red = (np.full((8, 8, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    frames = list(Recording(folder_of([blue, red]), 1, None).frames())
    assert [tuple(image[0, 0]) for _, image in frames] == [(0, 0, 255), (255, 0, 0)]


def test_missing_path(tmp_path):
    with pytest.raises(BadInput, match="no such file or folder"):
        Recording(tmp_path / "nothing.mp4", 1, None)


def test_folder_without_images(tmp_path):
    with pytest.raises(BadInput, match="no images"):
        list(Recording(tmp_path, 1, None).frames())


def test_file_that_is_no_video(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("not a video")
    with pytest.raises(BadInput, match="not a readable video"):
        list(Recording(path, 1, None).frames())


def test_unreadable_images_are_counted_and_skipped(folder_of, tmp_path):
    folder = folder_of([np.full((8, 8, 3), 20 * index, np.uint8) for index in range(5)])
    (folder / "0001.png").write_bytes(b"\x89PNG broken")
    (folder / "0002.png").write_bytes(b"")
    (folder / "0003.png").rename(folder / "0003.heic")
    (folder / "0009.png").mkdir()
    (folder / "._0004.png").write_bytes(b"of a file browser")
    recording, faults, ticks = Recording(folder, 1, None), Counter(), []
    frames = list(recording.frames(faults, lambda: ticks.append(1)))
    assert [index for index, _ in frames] == [0, 4]
    assert faults == {"unreadable_image": 2, "heic_image": 1}
    assert len(ticks) == recording.expected_count == 5
    with pytest.raises(BadInput, match=r"0001\.png: not a readable image"):  # all that there is
        list(Recording(folder / "0001.png", 1, None).frames())


def test_images_of_two_sizes(folder_of):
    folder = folder_of([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)])
    with pytest.raises(BadInput, match="9 x 8 px"):
        list(Recording(folder, 1, None).frames())
