"""Films with sound: frames at 25 a second and 16 kHz mono sound out of any video, and an mp4 out of frames and sound.

Picture and sound share one clock, that of the file's presentation times. A video at another rate is converted by time: each
film frame shows the picture that is nearest in time. Lost frames stay gaps; nothing moves.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from gaze_core.atomic import replacing
from gaze_core.errors import BadInput
from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.video_reader import Video, VideoFrame, open_video, opened, read_video
from gaze_core.talker.subject_schema import RATE_HZ, SOUND_HZ

MAX_DRIFT_S = 0.04  # one frame: lips that are further off look wrong
_MOST_SILENT_S = 0.5  # that the sound may end before the picture
_CODECS = ("libx264", "mpeg4")


@dataclass(frozen=True, eq=False)
class Film:
    """A video as frames at 25 a second."""

    video: Video
    numbers: Int[ndarray, " n"]  # of the video's frame that each film frame shows

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def is_converted(self) -> bool:
        """Whether the video has another rate, so that pictures are left out or shown twice."""
        return not np.array_equal(self.numbers, np.arange(self.video.num_frames))

    def frames(self) -> Iterator[tuple[int, RgbImage | None]]:
        """Each film frame with its picture; None where the video has lost it. One picture is in memory."""
        waiting = 0
        for frame in read_video(self.video, self.numbers.tolist()):
            if not isinstance(frame, VideoFrame):
                continue
            while waiting < len(self.numbers) and self.numbers[waiting] == frame.number:
                yield waiting, frame.rgb
                waiting += 1


def open_film(path: Path) -> Film:
    """The video as a film.

    Raises:
        BadInput: it is missing or no video.
    """
    video = open_video(path)
    count = max(round(video.num_frames * RATE_HZ / video.frames_per_s), 1)
    if abs(video.frames_per_s - RATE_HZ) < 0.02 and np.abs(np.diff(video.times_s) - 1 / RATE_HZ).max(initial=0) < 0.01:
        return Film(video, np.arange(video.num_frames))
    times_s = np.arange(count) / RATE_HZ
    after = np.clip(np.searchsorted(video.times_s, times_s), 1, max(video.num_frames - 1, 1))
    if video.num_frames == 1:
        return Film(video, np.zeros(count, np.int64))
    nearer_before = times_s - video.times_s[after - 1] <= video.times_s[after] - times_s
    return Film(video, np.where(nearer_before, after - 1, after))


def read_sound(path: Path, most_s: float | None = None) -> Float[ndarray, " s"]:
    """The sound of a video or sound file, 16 kHz mono in [-1, 1]; of a video from the time of its first picture on.

    Nothing after `most_s` seconds is decoded.

    Raises:
        BadInput: no such file, no sound, or sound with gaps or a clock of its own.
    """
    if not path.is_file():
        raise BadInput(f"{path.name}: no such file; expected a video or a sound file")
    try:
        with opened(path) as container:
            stream = container.streams.best("audio")
            if not isinstance(stream, AudioStream):
                raise BadInput(f"{path.name}: it has no sound; a talker needs a video with speech, or a sound file")
            pieces, first_s, end_s = _decoded(container, stream, most_s)
            start_s = _first_picture_s(container)
    except av.FFmpegError as error:
        raise BadInput(
            f"{path.name}: its sound cannot be read ({error}); convert it to AAC in MP4, or to WAV"
        ) from error
    if not pieces:
        raise BadInput(f"{path.name}: its sound is empty; expected speech")
    sound = np.concatenate(pieces)
    drift_s = abs((end_s - first_s) - len(sound) / SOUND_HZ)
    if drift_s > MAX_DRIFT_S:
        raise BadInput(
            f"{path.name}: the sound lasts {len(sound) / SOUND_HZ:.2f} s, its time stamps {end_s - first_s:.2f} s: picture "
            f"and sound drift apart by {1000 * drift_s:.0f} ms, more than {1000 * MAX_DRIFT_S:.0f}; convert the video again"
        )
    move = round((first_s - start_s) * SOUND_HZ)
    return np.pad(sound, (move, 0)) if move > 0 else sound[-move:]


def fitted_sound(
    sound: Float[ndarray, " s"], num_frames: int, name: str
) -> tuple[Float[ndarray, " s"], tuple[str, ...]]:
    """The sound of exactly this many frames, and a note on what was cut or filled.

    Raises:
        BadInput: the sound ends more than half a second before the picture.
    """
    wanted = round(num_frames / RATE_HZ * SOUND_HZ)
    lacking_s = (wanted - len(sound)) / SOUND_HZ
    if lacking_s > _MOST_SILENT_S:
        raise BadInput(
            f"{name}: the sound lasts {len(sound) / SOUND_HZ:.2f} s, the picture {num_frames / RATE_HZ:.2f} s; "
            "cut the picture to the sound, or give the whole sound"
        )
    if lacking_s > MAX_DRIFT_S:
        return np.pad(sound, (0, wanted - len(sound))), (
            f"the last {lacking_s:.2f} s are silent: the sound is shorter",
        )
    if lacking_s < -MAX_DRIFT_S:
        return sound[:wanted], (f"{-lacking_s:.2f} s of sound after the picture are left out",)
    return np.pad(sound, (0, max(wanted - len(sound), 0)))[:wanted], ()


def write_film(
    path: Path,
    frames: Iterable[UInt8[ndarray, "h w 3"]],
    sound: Float[ndarray, " s"] | None = None,
    rate_hz: float = RATE_HZ,
) -> Path:
    """Writes an mp4 that browsers play: H.264 (else MPEG-4) with half-resolution colour, and AAC; index at the front.

    A row or column is repeated where the size is odd. Sound beyond the last frame is left out.

    Raises:
        BadInput: there are no frames.
        NoSpace: the disk is full.
    """
    with (
        replacing(path, suffix=".mp4") as partial,
        av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"}) as out,
    ):
        picture: Any = out.add_stream(_codec(), rate=Fraction(rate_hz).limit_denominator(1001))
        voice: Any = out.add_stream("aac", rate=SOUND_HZ, layout="mono") if sound is not None else None
        count = 0
        for count, image in enumerate(frames, start=1):
            even = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
            if count == 1:
                picture.height, picture.width = even.shape[:2]
                picture.pix_fmt = "yuv420p"
                is_x264 = picture.codec.name == "libx264"
                picture.options = {"crf": "16", "preset": "fast"} if is_x264 else {"qscale": "2"}
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            frame.pts = count - 1
            frame.time_base = 1 / Fraction(rate_hz).limit_denominator(1001)
            out.mux(picture.encode(frame))
        if not count:
            raise BadInput(f"{path.name}: no frames to write")
        out.mux(picture.encode())
        if voice is not None and sound is not None:
            samples = np.asarray(sound[: round(count / rate_hz * SOUND_HZ)], np.float32).clip(-1, 1)
            for start in range(0, len(samples), 1024):
                piece = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = SOUND_HZ, start, Fraction(1, SOUND_HZ)
                out.mux(voice.encode(piece))
            out.mux(voice.encode())
    return path


def _codec() -> str:
    return next(name for name in _CODECS if name in av.codecs_available)


def _decoded(
    container: av.container.InputContainer, stream: AudioStream, most_s: float | None
) -> tuple[list[Float[ndarray, " s"]], float, float]:
    """Resampled pieces, and when the first begins and the last ends on the file's clock, seconds."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_HZ)
    pieces: list[ndarray] = []
    first_s = end_s = 0.0
    for frame in container.decode(stream):
        if frame.pts is not None and frame.time_base is not None:
            start_s = float(frame.pts * frame.time_base)
            first_s = start_s if not pieces else first_s
            end_s = start_s + frame.samples / frame.sample_rate
        pieces += [one.to_ndarray().ravel() for one in resampler.resample(frame)]
        if most_s is not None and end_s - first_s >= most_s:
            break
    pieces += [one.to_ndarray().ravel() for one in resampler.resample(None)]
    return pieces, first_s, end_s


def _first_picture_s(container: av.container.InputContainer) -> float:
    """When the first picture is shown on the file's clock; 0 in a sound file."""
    if not container.streams.video or container.streams.video[0].disposition & av.stream.Disposition.attached_pic:
        return 0.0
    picture = container.streams.video[0]
    if picture.start_time is None or picture.time_base is None:
        return 0.0
    return float(picture.start_time * picture.time_base)
