"""Images of a recording, one at a time: a video file, an image, or a folder of images in the order of their names."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from gaze_core.artifacts import content_sha256, file_sha256
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

Frame = tuple[int, RgbImage]  # (index in the recording, RGB)


class Recording:
    """A recording that can be read several times. Only one image is in memory.

    Raises:
        BadInput: the path is missing, holds no image, or cannot be decoded.
    """

    def __init__(self, path: Path, every_nth: int = 1) -> None:
        self.path, self.every_nth = path, every_nth
        if not path.exists():
            raise BadInput(f"{path}: no such file or folder; expected a video or a folder of images")
        self.is_video = path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES + UNREAD_SUFFIXES

    @property
    def expected_count(self) -> int:
        """Number of requested images."""
        return len(self._chosen)

    @property
    def frames_per_s(self) -> float | None:
        """Mean frame rate of a video; None for images."""
        return self._video.frames_per_s if self.is_video else None

    @property
    def step_s(self) -> float | None:
        """Time between two chosen frames of a video, seconds; None for images."""
        return self.every_nth / self.frames_per_s if self.frames_per_s else None

    @property
    def video(self) -> Video:
        """The video. Only of a recording that is one."""
        return self._video

    def sha256(self) -> str:
        """Digest of the content, which identifies the recording independently of its file name."""
        if self.path.is_file():
            return file_sha256(self.path)
        return content_sha256({path.name: file_sha256(path) for path in self._images})

    def frames(
        self, faults: Counter[str] | None = None, advance: Callable[[], None] = lambda: None
    ) -> Iterator[Frame]:  # fmt: skip
        """Each chosen image that can be read, with its index in the recording.

        `faults` counts the others by reason; `advance` is called after each chosen image, readable or not.
        """
        read = self._video_frames if self.is_video else self._image_frames
        for frame in read():
            if isinstance(frame, str):
                if faults is not None:
                    faults[frame] += 1
            else:
                yield frame
            advance()

    @property
    def _chosen(self) -> range:
        total = self._video.num_frames if self.is_video else len(self._images)
        return range(0, total, self.every_nth)

    def _video_frames(self) -> Iterator[Frame | str]:
        for frame in read_video(self._video, self._chosen):
            if not isinstance(frame, int):
                yield frame.fault if frame.rgb is None else (frame.number, frame.rgb)

    def _image_frames(self) -> Iterator[Frame | str]:
        size: tuple[int, ...] | None = None
        for index in self._chosen:
            path = self._images[index]
            try:
                image = read_image(path)
            except UnreadableImage as error:
                if path == self.path:  # the whole recording
                    raise
                yield error.reason
                continue
            if size is not None and image.shape != size:
                raise BadInput(
                    f"{path}: {image.shape[1]} x {image.shape[0]} px, the images before it are "
                    f"{size[1]} x {size[0]} px; one folder holds the images of one camera"
                )
            size = image.shape
            yield index, image

    @cached_property
    def _video(self) -> Video:
        return open_video(self.path)

    @cached_property
    def _images(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        images = images_in(self.path)
        if not images:
            raise BadInput(f"{self.path}: no images ({', '.join(IMAGE_SUFFIXES)}); expected one image per file")
        return images
