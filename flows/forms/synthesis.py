"""Synthetic subjects as a deployment."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from flows.forms.derived import form
from flows.synthesis import subject_files
from gaze_core.config import Config, Runtime
from gaze_core.synthesis.people import subject_configs
from gaze_core.synthesis.rig import RigName
from gaze_core.synthesis.scene import LightName


class SynthesisRequest(Config):
    """Renders synthetic subjects with exact labels."""

    subjects: int = Field(1, ge=1, le=10_000, description="Number of people.")
    images: int = Field(200, ge=2, le=100_000, description="Images of each person; a fifth of them is held out.")
    size_px: int = Field(128, ge=32, le=2048, description="Side of an image, px.")
    seed: int = Field(
        0, ge=0, description="The first person's; the next have the next numbers. The same seed gives the same files."
    )
    rig: RigName = Field("compact", description="Camera rig.")
    lights: tuple[LightName, ...] = Field(("studio",), description="Lights, used in turn.")
    runner: Literal["threads", "dask"] = Field(
        "threads", description="Where people are rendered: threads of the run's own process, or a Dask cluster."
    )


def _start(request: SynthesisRequest, out: Path, runtime: Runtime, force: tuple[str, ...]) -> list[str]:
    values = dict(request)
    runner = values.pop("runner")
    return [str(path) for path in subject_files(subject_configs(**values), out, runner)]


synthesize = form("synthesize", SynthesisRequest, _start, "reports/subjects", runtime=())
