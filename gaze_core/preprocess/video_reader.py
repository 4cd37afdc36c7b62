"""Frames of a video file by number, each with its presentation time. The only module that decodes video.

A frame's number is its rank by presentation time among all frames that the file holds, so an undecodable frame does
not shift the numbers of other frames. The video is decoded from its start: seeking is inexact where key frames are far apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.frame import PictureType
from av.video.stream import VideoStream
from jaxtyping import Float
from numpy import ndarray

from gaze_core.errors import BadInput
from gaze_core.preprocess.images import RgbImage, require_pixels

# Why a frame has no image: its data cannot be decoded, or the decoder concealed lost frames.
FrameFault = Literal["", "not_decodable", "damaged"]
_PROGRESS_FRAMES = 50
_MAX_WAITING = 16  # some encoders mark every frame as bidirectional
_MIN_STRETCH = 0.01  # a smaller deviation from square pixels is a rounding error of scaling filters


@dataclass(frozen=True, eq=False)
class Video:
    """A video file with its packets listed and one frame decoded."""

    path: Path
    size_px: tuple[int, int]  # (width, height): upright, of square pixels
    frames_per_s: float  # mean
    times_s: Float[ndarray, " n"]  # of each frame, from the first one on
    timestamps: tuple[int, ...] | None  # in the file's time base; None if the file has no reliable ones
    decoded_px: tuple[int, int]  # before rotation to upright
    has_sound: bool = False

    @property
    def num_frames(self) -> int:
        """Number of frames in the file, decodable or not."""
        return len(self.times_s)


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A chosen frame: its image, or the reason why there is none."""

    number: int
    time_s: float
    rgb: RgbImage | None
    fault: FrameFault = ""


def open_video(path: Path) -> Video:
    """Lists the frames of a video file without decoding more than the first ones.

    Raises:
        BadInput: the file is missing, is not a video, has no decodable frame, or its frames are too large.
    """
    if not path.is_file():
        raise BadInput(f"{path.name}: no such file; expected a video")
    try:
        with opened(path) as container:
            stream = _video_stream(path, container)
            # Their times only: the packets themselves are the whole file.
            stamps = [p.pts for p in container.demux(stream) if p.size and not p.is_discard]
            unit_s, rate = stream.time_base or Fraction(1, 1000), stream.average_rate or stream.guessed_rate
            timestamps = _timestamps(stamps, container.format.name)
            num_frames = len(stamps)
            has_sound = bool(container.streams.audio)
        first, aspect = _first_frame(path)
    except av.FFmpegError as error:
        raise _not_a_video(path) from error
    declared = rate if rate and 0 < rate < 1000 else Fraction(30)
    if timestamps is None or num_frames < 2:
        times = [index / declared for index in range(num_frames)]
    else:
        times = [(stamp - timestamps[0]) * unit_s for stamp in timestamps]
        declared = (num_frames - 1) / times[-1]
    decoded_px = _square_px(first.width, first.height, aspect)
    upright = _upright(np.empty((decoded_px[1], decoded_px[0], 0), np.uint8), first).shape
    times_s = np.array([float(time) for time in times])
    return Video(path, (upright[1], upright[0]), float(declared), times_s, timestamps, decoded_px, has_sound)


def read_video(video: Video, wanted: Sequence[int]) -> Iterator[VideoFrame | int]:
    """Each wanted frame in order, one image in memory at a time; between them the number that decoding has reached."""
    remaining = sorted(set(wanted), reverse=True)
    reported = 0
    for number, frame, fault in _decoded(video):
        while remaining and remaining[-1] < number:
            yield _missing_frame(video, remaining.pop())
        if not remaining:
            return
        if remaining[-1] == number:
            rgb = None if fault else _rgb(frame, video.decoded_px)
            yield VideoFrame(remaining.pop(), float(video.times_s[number]), rgb, fault)
        elif number >= reported + _PROGRESS_FRAMES:
            reported = number
            yield number
    yield from (_missing_frame(video, number) for number in reversed(remaining))


def _missing_frame(video: Video, number: int) -> VideoFrame:
    time_s = float(video.times_s[number]) if number < video.num_frames else float("nan")
    return VideoFrame(number, time_s, None, "not_decodable")


def _decoded(video: Video) -> Iterator[tuple[int, av.VideoFrame, FrameFault]]:
    """All decoded frames by number; after a loss they count as damaged up to the next key frame.

    Bidirectional frames wait for the following frame, since they are predicted from it as well.
    """
    waiting: list[tuple[int, av.VideoFrame]] = []
    broken, last = False, -1
    for frame, num_errors in _results(video):
        number = _number(video, frame, last + 1 + num_errors)
        if number is None or number <= last:
            continue  # returned a second time
        lost_before, intact = number > last + 1, not frame.is_corrupt
        before: FrameFault = "damaged" if broken or lost_before or not intact else ""
        if frame.pict_type == PictureType.B:
            broken = broken or lost_before or not intact
            waiting.append((number, frame))
            if len(waiting) > _MAX_WAITING:
                yield (*waiting.pop(0), "damaged" if broken else "")
        else:
            yield from ((*one, before) for one in waiting)
            waiting = []
            broken = not intact or (not frame.key_frame and (broken or lost_before))
            yield number, frame, "damaged" if broken else ""
        last = number
    yield from ((*one, "damaged" if broken else "") for one in waiting)


def _results(video: Video) -> Iterator[tuple[av.VideoFrame, int]]:
    """Frames in presentation order, each with the number of packets that failed since the previous frame."""
    num_errors = 0
    with opened(video.path) as container:
        stream = _video_stream(video.path, container)
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except av.FFmpegError:
                num_errors += 1
                continue
            for frame in frames:
                yield frame, num_errors
                num_errors = 0


def _number(video: Video, frame: av.VideoFrame, next_number: int) -> int | None:
    """The frame's rank by time; without timestamps, frames are numbered in decoding order."""
    if video.timestamps is None:
        return next_number if next_number < video.num_frames else None
    if frame.pts is None:
        return None
    return min(int(np.searchsorted(video.timestamps, frame.pts)), video.num_frames - 1)


def _timestamps(stamps: Sequence[int | None], container_format: str) -> tuple[int, ...] | None:
    """Sorted presentation times; None unless every frame has a unique one. AVI stores decoding times only."""
    known = {stamp for stamp in stamps if stamp is not None}
    return tuple(sorted(known)) if len(known) == len(stamps) and container_format != "avi" else None


def opened(path: Path) -> av.container.InputContainer:
    """A video file, open for reading; no other file and no network is read for it."""
    # With a file: scheme, so that a colon in a name is not taken for one; only this protocol is allowed (playlists).
    return av.open(f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"})


def _video_stream(path: Path, container: av.container.InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise _not_a_video(path)
    require_pixels(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def _first_frame(path: Path) -> tuple[av.VideoFrame, float]:
    """The first frame that can be decoded, and the width of its pixels over their height."""
    with opened(path) as container:
        stream = _video_stream(path, container)
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    return frame, float(stream.sample_aspect_ratio or 1)
            except av.FFmpegError:
                continue
    raise _not_a_video(path)


def _not_a_video(path: Path) -> BadInput:
    return BadInput(f"{path.name}: not a readable video; convert it to H.264 in MP4, or give a folder of images")


def _square_px(width: int, height: int, aspect: float) -> tuple[int, int]:
    """The size in square pixels; pixels are stretched along their shorter side, so that no detail is lost."""
    if abs(aspect - 1) < _MIN_STRETCH:
        return width, height
    return round(width * max(aspect, 1)), round(height * max(1 / aspect, 1))


def _rgb(frame: av.VideoFrame, size_px: tuple[int, int]) -> RgbImage:
    rgb = frame.to_ndarray(format="rgb24", width=size_px[0], height=size_px[1], interpolation="BICUBIC")
    return np.ascontiguousarray(_upright(rgb, frame))


def _upright(image: ndarray, frame: av.VideoFrame) -> ndarray:
    """The image transformed by the file's display matrix: rotation by multiples of 90 degrees, mirroring."""
    side_data: Any = frame.side_data  # the type stub only has motion vectors
    data = side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return image
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32)  # (x, y) -> (a x + c y, b x + d y)
    if abs(int(b)) > abs(int(a)):
        image, a, d = image.swapaxes(0, 1), c, b
    image = image[:, ::-1] if a < 0 else image
    return image[::-1] if d < 0 else image
