"""The options of video preprocessing."""

from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gaze_core.config import Config
from gaze_core.geometry.normalization import NORMALIZATIONS, NormalizationConfig


class VideoConfig(Config):
    """How a recording becomes labelled crops."""

    size_px: PositiveInt = 128
    every_nth: PositiveInt = 1
    max_frames: PositiveInt | None = None  # the most varied in gaze and head pose are kept
    focal_factor: PositiveFloat = 1.2  # assumed focal length over the image's longer side
    normalization: NormalizationConfig = NORMALIZATIONS["portrait_128"]  # scaled to size_px
    smooth_frames: NonNegativeFloat = 1.0  # sigma of the poses' smoothing over time; videos only
    smooth_masks_frames: NonNegativeFloat = 1.5  # the same of the silhouettes
    max_pitch_deg: float = Field(40, gt=0, le=90)
    max_yaw_deg: float = Field(50, gt=0, le=90)
    max_misfit: PositiveFloat = 0.06  # RMS of the rigid landmarks over the eyes' distance
    min_sharpness: NonNegativeFloat = 0.25  # of the recording's median; below it a frame is blurred
    min_face_px: NonNegativeFloat = 48  # its larger side; at 25 px gaze was 10 deg off, at 50 px 4, at 80 px 2
    min_lip_redness: float = Field(0.5, ge=0, lt=1)  # of the video's median; below it something covers the mouth
    min_second_face: float = Field(0.4, gt=0, le=1)  # size relative to the first from which a second face counts

    added_later: ClassVar[frozenset[str]] = frozenset({"smooth_masks_frames"})
