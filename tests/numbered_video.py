"""Videos whose frames show their own number, written by PyAV, and damage to them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from gaze_core.driver.drive_images import NUM_BITS, PANEL_PX, panel_tile


def write_numbered(
    path: Path, count: int = 60, codec: str = "mpeg4", times_s: Sequence[float] | None = None, pix_fmt: str = "yuv420p",
    key_every: int = 12, aspect: Fraction | None = None, bidirectional: int = 0,
) -> Path:  # fmt: skip
    """30 frames a second, or shown at `times_s`."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 352, pix_fmt
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = key_every, bidirectional
        if aspect:
            stream.sample_aspect_ratio = aspect
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(panel_tile(number, "test"), format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def zero_packets(path: Path, numbers: Sequence[int]) -> Path:
    """Blanks the data of these packets, as a bad sector does."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in numbers:
        position, size = places[number]
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Puts (a, b, c, d) into the display matrix of an MP4: (x, y) is shown at (a x + c y, b x + d y)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[start : start + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    return path


def frame_number(panel):
    """The number that the bars of a panel show."""
    bars = panel[PANEL_PX[1] - 60 : PANEL_PX[1] - 40].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(NUM_BITS) if bars[16 * bit + 4 : 16 * bit + 12].mean() > 127)
