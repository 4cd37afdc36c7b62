"""What a person asks of a picture in the studio."""

from typing import Annotated, Literal

from pydantic import Field

from gaze_core.config import Config

MAX_GAZE_DEG, MAX_HEAD_DEG = 45.0, 30.0
GazeDeg = Annotated[float, Field(ge=-MAX_GAZE_DEG, le=MAX_GAZE_DEG, allow_inf_nan=False)]
HeadDeg = Annotated[float, Field(ge=-MAX_HEAD_DEG, le=MAX_HEAD_DEG, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Wish(Config):
    """One picture. Angles are `[pitch, yaw]` in degrees in the frame of the picture's camera: 0, 0 looks into the lens.

    The head's turn is from where the view has it. `blink`, `jaw` and `brows` are 0 at rest and 1 at their most.
    """

    gaze_deg: tuple[GazeDeg, GazeDeg] = (0.0, 0.0)
    head_deg: tuple[HeadDeg, HeadDeg] = (0.0, 0.0)
    blink: Share = 0.0
    jaw: Share = 0.0
    brows: Share = 0.0


class FilmWish(Config):
    """A film of a talking head: where its eyes look while it speaks. `gaze_deg` is as that of a picture, for `pad`."""

    gaze: Literal["generator", "camera", "pad"] = "generator"
    gaze_deg: tuple[GazeDeg, GazeDeg] = (0.0, 0.0)
