"""Films with sound: H.264 and AAC in an mp4 that a browser begins to play at once; and the sound of any file."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.atomic import replacing
from gaze_core.errors import BadInput
from gaze_core.talker.subject_schema import RATE_HZ, SOUND_HZ

_SAMPLES = 1024  # of an AAC frame
_QUALITY = {"libx264": {"crf": "16", "preset": "fast"}, "mpeg4": {"q:v": "2"}}


def write_film(
    path: Path, frames: Iterable[UInt8[ndarray, "h w 3"]], sound: Float[ndarray, " s"] | None = None
) -> Path:  # fmt: skip
    """Writes RGB frames at 25 a second as they come, with 16 kHz mono sound cut to their length; the last step is a rename.

    An odd side loses a pixel, since colour is stored at half the size.
    """
    with replacing(path, ".mp4") as partial, av.open(str(partial), "w", options={"movflags": "faststart"}) as out:
        picture = out.add_stream(_codec(), rate=round(RATE_HZ))
        picture.pix_fmt, picture.options = "yuv420p", _QUALITY[picture.codec.name]
        voice = out.add_stream("aac", rate=SOUND_HZ, layout="mono") if sound is not None else None
        count = 0
        for frame in frames:
            height, width = (side - side % 2 for side in frame.shape[:2])
            if not count:
                picture.width, picture.height = width, height
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), format="rgb24")
            image.pts, image.time_base = count, Fraction(1, round(RATE_HZ))
            out.mux(picture.encode(image))
            count += 1
        if not count:
            raise BadInput(f"{path}: no frames to write")
        out.mux(picture.encode())
        if voice is not None and sound is not None:
            heard = np.zeros(round(count * SOUND_HZ / RATE_HZ), np.float32)
            heard[: len(sound)] = sound[: len(heard)]
            for start in range(0, len(heard), _SAMPLES):
                part = np.ascontiguousarray(heard[None, start : start + _SAMPLES])
                samples = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = SOUND_HZ, start, Fraction(1, SOUND_HZ)
                out.mux(voice.encode(samples))
            out.mux(voice.encode())
    return path


def read_sound(path: Path) -> Float[ndarray, " s"]:
    """The sound of a wav, a video or another file, as 16 kHz mono in [-1, 1].

    Raises:
        BadInput: it cannot be read, or has no sound.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise BadInput(f"{path}: no sound in it; give a file with sound")
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_HZ)
            parts = [
                part.to_ndarray()[0]
                for frame in (*container.decode(audio=0), None)
                for part in resampler.resample(frame)
            ]
    except (av.FFmpegError, OSError) as error:
        raise BadInput(f"{path}: no readable sound ({error}); expected a wav or a video") from error
    if not parts:
        raise BadInput(f"{path}: its sound is empty")
    return np.concatenate(parts).clip(-1, 1).astype(np.float32)


def _codec() -> str:
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"
