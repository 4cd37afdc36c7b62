"""Frames of a drive's video by number, and the tiles in them.

Frames are found by decoding from the start: seeking is inexact in files whose key frames are far apart or whose frames
are unevenly spaced, and a drive is read once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
from jaxtyping import UInt8
from numpy import ndarray
from pydantic import NonNegativeInt, PositiveInt, model_validator

from gaze_core.config import Config
from gaze_core.errors import BadInput

Box = tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt]  # x, y, width, height in pixels
RgbImage = UInt8[ndarray, "h w 3"]


class TileLayout(Config):
    """Where the views lie in a frame. Without `driver` the whole frame shows the driver; without `road` none the road."""

    frame_px: tuple[PositiveInt, PositiveInt] | None = None  # (width, height) that the video must have
    driver: Box | None = None
    road: Box | None = None

    @model_validator(mode="after")
    def _inside(self) -> Self:
        for name in ("driver", "road"):
            box = getattr(self, name)
            if box and self.frame_px and (box[0] + box[2] > self.frame_px[0] or box[1] + box[3] > self.frame_px[1]):
                raise ValueError(f"tile {name} {box} reaches beyond the frame of {self.frame_px} px")
        return self


LAYOUTS = {
    "whole": TileLayout(),
    # DashGaze's published video: driver, road, and a second view of the driver that is not used.
    "dashgaze": TileLayout(frame_px=(3008, 1080), driver=(6, 7, 950, 1068), road=(962, 6, 955, 1071)),
}


@dataclass(frozen=True)
class Footage:
    """What a video's container says; `num_frames` may be more than can be decoded."""

    path: Path
    num_frames: int
    frames_per_s: float
    size_px: tuple[int, int]


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One decoded frame."""

    index: int
    time_s: float
    rgb: RgbImage


def open_footage(path: Path, layout: TileLayout) -> Footage:
    """Checks a video against its layout.

    Raises:
        BadInput: no such file, no video, or frames of another size.
    """
    if not path.is_file():
        raise BadInput(f"{path.name}: no such file; expected a video")
    capture = cv2.VideoCapture(str(path))
    try:
        decoded, image = capture.read()
        count, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()
    if not decoded:
        raise BadInput(f"{path.name}: not a readable video; convert it to H.264 in MP4")
    size_px = (image.shape[1], image.shape[0])
    if layout.frame_px and size_px != layout.frame_px:
        raise BadInput(
            f"{path.name}: frames are {size_px[0]} x {size_px[1]} px, the layout is for {layout.frame_px[0]} x "
            f"{layout.frame_px[1]}; choose one of {', '.join(LAYOUTS)} with --layout, or set extract.layout"
        )
    for name in ("driver", "road"):
        box = getattr(layout, name)
        if box and (box[0] + box[2] > size_px[0] or box[1] + box[3] > size_px[1]):
            raise BadInput(
                f"{path.name}: tile {name} {box} reaches beyond its frames of {size_px[0]} x {size_px[1]} px"
            )
    return Footage(path, count if count > 0 else _counted(path), fps if 0 < fps < 1000 else 30.0, size_px)


def _counted(path: Path) -> int:
    """The number of frames of a container that does not say."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def read_frames(footage: Footage, wanted: Sequence[int]) -> Iterator[VideoFrame | int]:
    """Decodes the wanted frames in order, one in memory at a time; between them yields how far it has come."""
    remaining = sorted(set(wanted), reverse=True)
    capture = cv2.VideoCapture(str(footage.path))
    try:
        index = 0
        while remaining and capture.grab():
            # Some containers carry no times; then frames are taken as evenly spaced.
            time_s = max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000) or index / footage.frames_per_s
            if index == remaining[-1]:
                remaining.pop()
                decoded, image = capture.retrieve()
                if decoded:
                    yield VideoFrame(index, time_s, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            elif index % 50 == 0:
                yield index
            index += 1
    finally:
        capture.release()


def tile(image: RgbImage, box: Box | None) -> RgbImage:
    """One view of a frame; the whole frame without a box."""
    if box is None:
        return image
    x, y, width, height = box
    return image[y : y + height, x : x + width]
