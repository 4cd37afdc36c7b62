"""Where drawn gaze goes: a video beside the table, or a PNG for each photograph."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import av
import cv2
import numpy as np

from gaze_core.atomic import replacing
from gaze_core.errors import BadInput
from gaze_core.preprocess.gaze_source import LiveCamera, Photographs, Picture, Source, VideoFile
from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.video_writer import VideoWriter

VIDEO_FILE = "gaze.mp4"
_ENCODER = "libx264"
_LIVE_CRF, _LIVE_BASE = "18", Fraction(1, 1000)


class Drawings(Protocol):
    """Takes pictures with gaze drawn into them; a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def write(self, picture: Picture, drawn: RgbImage) -> None:
        """Adds a picture."""


def drawings(source: Source, folder: Path) -> Drawings:
    """The drawings of a source.

    Raises:
        BadInput: a video cannot be encoded here.
    """
    if isinstance(source, Photographs):
        return PhotographDrawings(folder, source.paths)
    if _ENCODER not in av.codecs_available:
        raise BadInput(
            f"PyAV has no {_ENCODER} here, which writes {VIDEO_FILE}; install another build, or give --no-video"
        )
    return VideoDrawings(folder / VIDEO_FILE, source)


class PhotographDrawings:
    """`NAME_gaze.png` for each photograph; with its ending where two have one name."""

    def __init__(self, folder: Path, paths: Sequence[Path]) -> None:
        self._folder = folder
        self._counts = Counter(path.stem for path in paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write(self, picture: Picture, drawn: RgbImage) -> None:
        """Writes one file, whole or not at all."""
        stem = Path(picture.file).stem
        name = stem if self._counts[stem] < 2 else picture.file
        _, encoded = cv2.imencode(".png", drawn[:, :, ::-1])
        with replacing(self._folder / f"{name}_gaze.png") as partial:
            partial.write_bytes(encoded.tobytes())


class VideoDrawings:
    """`gaze.mp4`, under another name until the context ends without an error."""

    def __init__(self, path: Path, source: VideoFile | LiveCamera) -> None:
        self._path, self._partial = path, path.with_name(f"{path.stem}.partial{path.suffix}")
        self._writer: VideoWriter | _LiveWriter
        if isinstance(source, VideoFile):
            self._writer = VideoWriter(self._partial, source.video)
        else:
            self._writer = _LiveWriter(self._partial)
        self._is_empty = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_good = kind is None and not self._is_empty
        try:
            self._writer.__exit__(None if is_good else kind or BadInput, error, trace)
            if is_good:
                self._partial.replace(self._path)
        finally:
            self._partial.unlink(missing_ok=True)  # without its end no player opens it

    def write(self, picture: Picture, drawn: RgbImage) -> None:
        """Encodes one frame."""
        self._is_empty = False
        if isinstance(self._writer, VideoWriter):
            self._writer.write(picture.number, drawn)
        else:
            self._writer.write(picture.time_s or 0.0, drawn)


class _LiveWriter:
    """Frames with the time at which they came."""

    def __init__(self, path: Path) -> None:
        self._out = av.open(str(path), "w")
        self._stream: Any = self._out.add_stream(_ENCODER, rate=30)  # its type depends on the name
        self._stream.options = {"crf": _LIVE_CRF, "preset": "veryfast"}
        self._stream.time_base = self._stream.codec_context.time_base = _LIVE_BASE
        self._last = -1

    def write(self, time_s: float, image: RgbImage) -> None:
        image = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]  # colour at half resolution
        if self._last < 0:
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last = max(self._last + 1, round(time_s / _LIVE_BASE))
        frame.time_base, frame.pts = _LIVE_BASE, self._last
        self._out.mux(self._stream.encode(frame))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._out.mux(self._stream.encode())
        finally:
            self._out.close()
