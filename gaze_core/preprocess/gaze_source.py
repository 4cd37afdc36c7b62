"""What gaze is read from: a photograph or a folder of them, a video, or a camera. One picture is in memory at a time."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gaze_core.errors import BadInput
from gaze_core.preprocess.images import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    RgbImage,
    UnreadableImage,
    images_in,
    read_image,
)
from gaze_core.preprocess.video_reader import Video, open_video, read_video
from gaze_core.sampling import evenly_spaced

CAMERA = "camera"  # as an input


@dataclass(frozen=True, eq=False)
class Picture:
    """A photograph or a frame: its image, or the reason why there is none."""

    file: str
    number: int  # in the folder, the video or since the camera's start
    time_s: float | None
    image: RgbImage | None
    why_none: str = ""


class Photographs:
    """The images of a folder in the order of their names, or one image. They may differ in size."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self.count: int | None = len(self.paths)

    def pictures(self) -> Iterator[Picture]:
        """All, with those that cannot be read.

        Raises:
            BadInput: there is only one, and it cannot be read.
        """
        for number, path in enumerate(self.paths):
            try:
                yield Picture(path.name, number, None, read_image(path))
            except UnreadableImage as error:
                if len(self.paths) == 1:
                    raise
                yield Picture(path.name, number, None, None, error.reason)


class VideoFile:
    """The frames of a video file."""

    def __init__(self, video: Video) -> None:
        self.video = video
        self.count: int | None = video.num_frames

    def pictures(self, wanted: Sequence[int] | None = None) -> Iterator[Picture]:
        """All frames, or those of these numbers, with those that cannot be decoded."""
        for frame in read_video(self.video, range(self.video.num_frames) if wanted is None else wanted):
            if not isinstance(frame, int):
                yield Picture(self.video.path.name, frame.number, frame.time_s, frame.rgb, frame.fault)

    def spread(self, count: int) -> Iterator[RgbImage]:
        """Up to this many evenly spaced frames that can be decoded."""
        for picture in self.pictures(evenly_spaced(self.video.num_frames, count)):
            if picture.image is not None:
                yield picture.image


class LiveCamera:
    """The frames of the first camera, until it ends, the time is over, or the caller stops."""

    def __init__(self, seconds: float | None = None) -> None:
        self.count: int | None = None
        self._seconds = seconds

    def pictures(self) -> Iterator[Picture]:
        """The frames as they come; what comes while one is read is skipped by the driver.

        Raises:
            BadInput: there is no camera, or it gives no picture.
        """
        cv2.utils.logging.setLogLevel(
            cv2.utils.logging.LOG_LEVEL_SILENT
        )  # or OpenCV warns about each place where there is no camera
        capture = cv2.VideoCapture(0)
        try:
            start_s = time.monotonic()
            number = 0
            while self._seconds is None or time.monotonic() - start_s < self._seconds:
                is_read, bgr = capture.read()
                if not is_read:
                    break
                rgb = np.ascontiguousarray(bgr[:, :, ::-1])
                yield Picture(CAMERA, number, time.monotonic() - start_s, rgb)
                number += 1
            if number == 0:
                raise BadInput(
                    "camera: no picture came from the first camera; connect one, let this user read /dev/video0, "
                    "or give a video with --input"
                )
        finally:
            capture.release()


Source = Photographs | VideoFile | LiveCamera


def open_source(text: str, seconds: float | None = None) -> Source:
    """The source that a user named: a path, or `camera`.

    Raises:
        BadInput: there is no such file, it is neither an image nor a video, or the folder holds no image.
    """
    path = Path(text)
    if text == CAMERA and not path.exists():
        return LiveCamera(seconds)
    if not path.exists():
        raise BadInput(
            f"{path}: no such file or folder; expected a video, a photograph, a folder of them, or: {CAMERA}"
        )
    if path.is_dir():
        if not (images := images_in(path)):
            raise BadInput(
                f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}); give a video or photographs"
            )
        return Photographs(images)
    if path.suffix.lower() in IMAGE_SUFFIXES + UNREAD_SUFFIXES:
        return Photographs([path])
    return VideoFile(open_video(path))
