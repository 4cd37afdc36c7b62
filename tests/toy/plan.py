"""The toy system's plan and request."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from gaze_core.config import Config
from gaze_core.plans.preflight import Plan
from gaze_core.plans.request import Request


class CountConfig(Config):
    """How many letters to count."""

    limit: PositiveInt = 3


class ToyPlan(Plan):
    """One stage."""

    count: CountConfig = CountConfig()


class ToyRequest(Request):
    """Count the letters of a text."""

    text: Path = Field(description="A text file.")
    preset: Literal["few", "many"] = Field("few", description="How far to count.")

    def base_plan(self) -> ToyPlan:
        return {"few": ToyPlan(), "many": ToyPlan(count=CountConfig(limit=100))}[self.preset]
