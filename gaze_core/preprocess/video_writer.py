"""Frames to an H.264 video that keeps the times and the sound of the recording that they come from."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.stream import AudioStream
from jaxtyping import UInt8
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.preprocess.video_reader import Video, opened

_TIME_BASE = Fraction(1, 90_000)


class VideoWriter:
    """Writes frames as they come; a context manager. `sound` says whether the recording's sound is in the video.

    Args:
        path: the video (`.mp4`).
        recording: where times and sound come from.
        crf: quality of x264; 16 shows no difference by eye.
    """

    def __init__(self, path: Path, recording: Video, crf: int = 16) -> None:
        self._video, self._path = recording, path
        self._out = av.open(str(path), "w")
        self._stream = self._out.add_stream("libx264", rate=Fraction(recording.frames_per_s).limit_denominator(1001))
        self._stream.options = {"crf": str(crf), "preset": "fast"}
        # The encoder's too, or times would be rounded to whole frames of the mean rate, and two frames fall on one.
        self._stream.time_base = self._stream.codec_context.time_base = _TIME_BASE
        self._source = opened(recording.path)
        self._audio = self._audio_stream()
        self.sound = self._audio is not None
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for packet in self._stream.encode():
                    self._out.mux(packet)
                self._copy_sound()
        finally:
            self._out.close()
            self._source.close()

    def write(self, number: int, image: UInt8[ndarray, "h w 3"]) -> None:
        """Adds the frame with this number of the recording; numbers increase."""
        if not self._started:
            self._stream.height, self._stream.width = image.shape[:2]
            # Colour at half resolution needs even sizes.
            self._stream.pix_fmt = "yuv420p" if image.shape[0] % 2 == image.shape[1] % 2 == 0 else "yuv444p"
            self._started = True
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.time_base = _TIME_BASE
        frame.pts = round(float(self._video.times_s[number]) / _TIME_BASE)
        for packet in self._stream.encode(frame):
            self._out.mux(packet)

    def _audio_stream(self) -> AudioStream | None:
        source = self._source.streams.best("audio")
        if not isinstance(source, AudioStream):
            return None
        try:
            return self._out.add_stream_from_template(source)
        except (ValueError, av.FFmpegError):  # a codec that MP4 does not hold
            return None

    def _copy_sound(self) -> None:
        """Copies the packets of the recording's sound, moved by the time of its first frame."""
        source = self._source.streams.best("audio")
        if self._audio is None or source is None:
            return
        first_s = self._first_frame_s()
        try:
            for packet in self._source.demux(source):
                if packet.dts is None or packet.pts is None or packet.time_base is None:
                    continue
                moved = round(first_s / packet.time_base)
                packet.pts, packet.dts = packet.pts - moved, packet.dts - moved
                packet.stream = self._audio
                self._out.mux(packet)
        except av.FFmpegError as error:
            raise BadInput(
                f"{self._video.path.name}: its sound cannot be copied ({error}); take it out and run again"
            ) from error

    def _first_frame_s(self) -> float:
        """When the recording's first frame is shown, on the clock of its sound."""
        if self._video.timestamps is None:
            return 0.0
        base = self._source.streams.video[0].time_base
        return float(self._video.timestamps[0] * base) if base else 0.0
