"""A driving signal as a user asks for it: which sound, where the eyes look, when lids close."""

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, NonNegativeInt, PositiveFloat

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.talker.behaviour import EyeBehaviour, generate_eyes
from gaze_core.talker.driving import RATE_HZ, Driver, Driving, driven, eye_contact, held_out
from gaze_core.talker.driving_files import read_blink_table, read_gaze_table


class DrivingConfig(Config):
    """What drives a film, beside the sound."""

    gaze: Literal["recorded", "camera", "generator", "table"] = Field(
        "recorded", description="With other sound nothing is recorded, and the generator takes its place."
    )
    camera_gaze_deg: tuple[float, float] = Field(
        (0.0, 0.0), description="Pitch, yaw as the camera sees them, away from the lens; for gaze camera."
    )
    blinks: Literal["recorded", "generator", "table"] = "recorded"
    behaviour: EyeBehaviour = EyeBehaviour()
    most_s: PositiveFloat | None = None  # the film ends there
    seed: NonNegativeInt = 0


def chosen_driving(
    subject: Driver, own_sound: Float[ndarray, " s"] | None, config: DrivingConfig,
    audio: Float[ndarray, "t w c"] | None = None, sound: Float[ndarray, " s"] | None = None,
    gaze_table: Path | None = None, blink_table: Path | None = None,
) -> Driving:  # fmt: skip
    """The driving signal: the held-out recording, or other `audio` features with their `sound`, and the eyes asked for.

    Raises:
        BadInput: a table is missing or wrong, or the features do not fit the subject.
    """
    is_other = audio is not None
    made = (
        driven(subject, audio, sound, config.seed, config.behaviour)
        if audio is not None
        else held_out(subject, own_sound)
    )
    if config.most_s is not None:
        made = made.first(max(1, min(len(made), round(config.most_s * RATE_HZ))))
    gaze, blink = generate_eyes(len(made), RATE_HZ, config.seed, config.behaviour)
    centres = subject.eye_centres_m
    if config.gaze == "table":
        seen = read_gaze_table(_given(gaze_table, "gaze"), len(made))
        made = made.with_eyes(eye_contact(made.viewmat, centres, seen))
    elif config.gaze == "camera":
        seen = np.tile(np.deg2rad(config.camera_gaze_deg), (len(made), 1))
        made = made.with_eyes(eye_contact(made.viewmat, centres, seen))
    elif config.gaze == "generator" or is_other:
        made = made.with_eyes(gaze)
    if config.blinks == "table":
        return made.with_eyes(blink=read_blink_table(_given(blink_table, "blinks"), len(made)))
    return made.with_eyes(blink=blink) if config.blinks == "generator" or is_other else made


def _given(table: Path | None, what: str) -> Path:
    if table is None:
        raise BadInput(f"{what} from a table, but there is none; give a CSV")
    return table
