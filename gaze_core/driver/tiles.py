"""The layout of a drive's video: which tile of each frame shows the driver and which the road."""

from pathlib import Path
from typing import Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.preprocess.images import RgbImage
from gaze_core.preprocess.video_reader import Video, open_video

Box = tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt]  # x, y, width, height in pixels


class TileLayout(Config):
    """Tiles of a frame. Without `driver` the whole frame shows the driver; without `road` there is no road view."""

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


def open_drive_video(path: Path, layout: TileLayout) -> Video:
    """Opens a drive's video and checks it against its layout.

    Raises:
        BadInput: the file is missing, is not a video, or its frames have another size.
    """
    video = open_video(path)
    width, height = video.size_px
    if layout.frame_px and video.size_px != layout.frame_px:
        raise BadInput(
            f"{path.name}: frames are {width} x {height} px, the layout is for {layout.frame_px[0]} x "
            f"{layout.frame_px[1]}; choose one of {', '.join(LAYOUTS)} with --layout, or set extract.layout"
        )
    for name in ("driver", "road"):
        box = getattr(layout, name)
        if box and (box[0] + box[2] > width or box[1] + box[3] > height):
            raise BadInput(f"{path.name}: tile {name} {box} reaches beyond its frames of {width} x {height} px")
    return video


def tile(image: RgbImage, box: Box | None) -> RgbImage:
    """One view of a frame; the whole frame without a box."""
    if box is None:
        return image
    x, y, width, height = box
    return image[y : y + height, x : x + width]
