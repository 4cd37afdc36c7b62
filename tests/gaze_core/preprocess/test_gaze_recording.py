"""Whole sources: one picture in memory at a time, calibrations, drawings that are complete or absent."""

import weakref

import av
import cv2
import numpy as np
import pytest

from gaze_core.errors import BadInput
from gaze_core.preprocess.camera_model import Camera, read_camera, require_fits
from gaze_core.preprocess.gaze_pictures import VideoDrawings
from gaze_core.preprocess.gaze_recording import GazeOptions, readings_of
from gaze_core.preprocess.gaze_source import LiveCamera, Photographs, Picture, VideoFile, open_source
from gaze_core.preprocess.video_reader import open_video
from tests.numbered_video import write_numbered


class Counted:
    """A source without an end, whose images are watched."""

    def __init__(self):
        self.alive = weakref.WeakSet()
        self.made = 0

    def pictures(self):
        while True:
            image = np.zeros((60, 80, 3), np.uint8).view(Watched)
            self.alive.add(image)
            self.made += 1
            yield Picture("endless", self.made, 0.0, image)


class Watched(np.ndarray):
    """An array that can be in a WeakSet."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class Blind:
    def next(self, image, camera):
        return []


def test_an_endless_source_is_read_a_picture_at_a_time():
    source = Counted()
    pictures = readings_of(source, Blind(), GazeOptions())
    for number in range(1, 30):
        picture, readings = next(pictures)
        assert (picture.number, readings, source.made) == (number, [], number)
        del picture
        assert len(source.alive) <= 2


def test_sources_are_told_apart(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "b.png"), image)
    cv2.imwrite(str(tmp_path / "a.jpg"), image[:10])
    assert [path.name for path in open_source(str(tmp_path)).paths] == ["a.jpg", "b.png"]
    assert isinstance(open_source(str(tmp_path / "a.jpg")), Photographs)
    video = write_numbered(tmp_path / "v.mp4", 4)
    assert isinstance(open_source(str(video)), VideoFile)
    assert isinstance(open_source("camera"), LiveCamera)


def test_a_folder_may_hold_an_unreadable_photograph(tmp_path):
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "a.png").write_text("no image")
    bad, good = Photographs(sorted(tmp_path.iterdir())).pictures()
    assert (bad.image, bad.why_none) == (None, "unreadable_image")
    assert good.image.shape == (20, 30, 3)
    with pytest.raises(BadInput, match="not a readable image"):
        list(Photographs([tmp_path / "a.png"]).pictures())


def test_a_drawn_video_has_the_frames_and_times_of_the_recording(tmp_path):
    source = VideoFile(open_video(write_numbered(tmp_path / "v.mp4", 6)))
    with VideoDrawings(tmp_path / "out.mp4", source) as drawings:
        for picture in source.pictures():
            drawings.write(picture, picture.image)
        assert not (tmp_path / "out.mp4").exists()
    made = open_video(tmp_path / "out.mp4")
    assert made.size_px == source.video.size_px
    np.testing.assert_allclose(made.times_s, source.video.times_s, atol=2e-3)
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.streams.video[0].codec_context.name == "h264"
        assert file.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_a_video_of_uneven_times_keeps_them(tmp_path):
    times_s = [*np.arange(8) / 15, *(8 + np.arange(8) / 15)]  # far denser than the mean rate
    source = VideoFile(open_video(write_numbered(tmp_path / "v.mp4", len(times_s), times_s=times_s)))
    with VideoDrawings(tmp_path / "out.mp4", source) as drawings:
        for picture in source.pictures():
            drawings.write(picture, picture.image)
    np.testing.assert_allclose(open_video(tmp_path / "out.mp4").times_s, source.video.times_s, atol=1e-3)


def test_what_a_camera_gave_keeps_its_times(tmp_path):
    times_s = [0.0, 0.01, 0.05, 0.4, 0.41, 1.0]
    with VideoDrawings(tmp_path / "out.mp4", LiveCamera()) as drawings:
        for number, time_s in enumerate(times_s):
            image = np.full((51, 64, 3), 40 * number, np.uint8)
            drawings.write(Picture("camera", number, time_s, image), image)
    made = open_video(tmp_path / "out.mp4")
    assert made.size_px == (64, 50)
    np.testing.assert_allclose(made.times_s, times_s, atol=2e-3)


def test_a_drawn_video_that_fails_leaves_no_file(tmp_path):
    source = VideoFile(open_video(write_numbered(tmp_path / "v.mp4", 6)))

    def fail():
        with VideoDrawings(tmp_path / "out.mp4", source) as drawings:
            for picture in source.pictures([0]):
                drawings.write(picture, picture.image)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_the_camera_of_a_file(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "intrinsics_px: [[900, 0, 320], [0, 910, 180], [0, 0, 1]]\ndistortion: [0.1, 0, 0, 0]\n"
    )
    camera = read_camera(tmp_path / "c.yaml")
    np.testing.assert_array_equal(np.diag(camera.intrinsics_px), [900, 910, 1])
    np.testing.assert_array_equal(camera.distortion, [0.1, 0, 0, 0])
    require_fits(camera, (640, 360), "v.mp4")
    with pytest.raises(BadInput, match="200 x 100 px, but the camera's principal point is 320, 180"):
        require_fits(camera, (200, 100), "v.mp4")
    assert Camera.of_focal((640, 360)).intrinsics_px[0, 0] == pytest.approx(768)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.json", "{", "not a readable JSON or YAML file"),
        ("c.yaml", "a: [", "not a readable JSON or YAML file"),
        ("c.json", "[1, 2]", "no `intrinsics_px`"),
        ("c.json", '{"intrinsics_px": [[1, 0], [0, 1]]}', "intrinsics_px is"),
        ("c.json", '{"intrinsics_px": [[-9, 0, 1], [0, 9, 1], [0, 0, 1]]}', "intrinsics_px is"),
        ("c.json", '{"intrinsics_px": [["a", 0, 1], [0, 9, 1], [0, 0, 1]]}', "not a table of numbers"),
        ("c.json", '{"intrinsics_px": [[9, 0, 1], [0, 9, 1], [0, 0, 1]], "distortion": [1, 2]}', "distortion has 2"),
    ],
)
def test_a_bad_camera_file_is_refused(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=expected):
        read_camera(tmp_path / name)


def test_an_absent_camera_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="not a readable"):
        read_camera(tmp_path / "none.json")
