"""Pictures of a recording, one at a time: a video file, an image, or a folder of images in the order of their names."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from gaze_core.errors import BadInput

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

Frame = tuple[int, UInt8[ndarray, "h w 3"]]  # (index in the recording, RGB)


class Recording:
    """A recording that can be read more than once. Only one picture is in memory.

    Raises:
        BadInput: the path is missing, holds no image, or cannot be decoded.
    """

    def __init__(self, path: Path, every_nth: int, max_frames: int | None) -> None:
        self.path, self.every_nth, self.max_frames = path, every_nth, max_frames
        if not path.exists():
            raise BadInput(f"{path}: no such file or folder; expected a video or a folder of images")
        self.is_video = path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES

    @property
    def expected_count(self) -> int:
        """How many pictures there should be, as far as the container tells."""
        if self.is_video:
            capture = cv2.VideoCapture(str(self.path))
            total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.release()
        else:
            total = len(self._images())
        count = max(0, -(-total // self.every_nth))
        return count if self.max_frames is None else min(count, self.max_frames)

    def frames(self) -> Iterator[Frame]:
        """Each chosen picture with its index in the recording."""
        frames = self._video_frames() if self.is_video else self._image_frames()
        for count, frame in enumerate(frames):
            if self.max_frames is not None and count >= self.max_frames:
                return
            yield frame

    def _video_frames(self) -> Iterator[Frame]:
        capture = cv2.VideoCapture(str(self.path))
        try:
            index = 0
            while capture.grab():
                if index % self.every_nth == 0:
                    decoded, image = capture.retrieve()
                    if not decoded:
                        break
                    yield index, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                index += 1
        finally:
            capture.release()
        if index == 0:
            raise BadInput(f"{self.path}: not a readable video; convert it to H.264 in MP4, or give a folder of images")

    def _image_frames(self) -> Iterator[Frame]:
        size: tuple[int, ...] | None = None
        for index, path in list(enumerate(self._images()))[:: self.every_nth]:
            image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise BadInput(f"{path}: not a readable image; remove it or convert it to PNG or JPEG")
            if size is not None and image.shape != size:
                raise BadInput(
                    f"{path}: {image.shape[1]} x {image.shape[0]} px, the images before it are "
                    f"{size[1]} x {size[0]} px; one folder holds the pictures of one camera"
                )
            size = image.shape
            yield index, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _images(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        images = sorted(path for path in self.path.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not images:
            raise BadInput(f"{self.path}: no images ({', '.join(IMAGE_SUFFIXES)}); expected one picture per file")
        return images
