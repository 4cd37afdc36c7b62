"""Driver gaze as a deployment: a form of plain values, paths below the worker's roots."""

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from flows.driver import DriveFiles, driver
from gaze_core.config import Runtime
from gaze_core.plans.driver import driver_plan
from tasks.reports.driver import DriverReport
from tasks.store.roots import input_path, output_path, require_inputs


@flow(name="driver_gaze", persist_result=False)
def driver_gaze(
    video: str = "drive/video.mp4", sensors: str = "drive/sensors.csv", weights: str = "base.safetensors", road: str = "",
    layout: Literal["whole", "dashgaze"] = "whole",
    frames: Annotated[int, Field(ge=10)] = 500, preset: Literal["full", "frozen"] = "full",
    changes: list[str] = [], out: str = "reports/driver",  # noqa: B006 (the default of a form; nothing changes it)
    device: Literal["auto", "cpu", "cuda"] = "auto",
    force: list[Literal["driver_extract", "driver_finetune", "driver_evaluate", "driver_compare"]] = [],  # noqa: B006
) -> DriverReport:  # fmt: skip
    """Fine-tunes a gaze estimator on one drive and compares it with what it was before, on blocks of time kept back.

    Args:
        video: The drive's video, as the worker sees it, below a folder of GAZEWORKS_INPUTS.
        sensors: The eye tracker's CSV.
        weights: Estimator to fine-tune: .safetensors, its folder, or a .pth tracker.
        road: Video of the road, if it is a file of its own.
        layout: Where driver and road are in a frame.
        frames: How many evenly spaced frames to label.
        preset: full trains all layers for 30 epochs, frozen the head for 15.
        changes: Changed settings, one an entry: finetune.batch_size=16
        out: Folder of the report, below a folder of the worker's GAZEWORKS_OUTPUTS (or else: reports).
        device: Where to compute.
        force: Stages to compute anew although nothing has changed.
    """
    plan = driver_plan(preset, layout, None, frames, changes)
    require_inputs(plan)
    files = DriveFiles(
        video=input_path(video), sensors=input_path(sensors), road=input_path(road) if road else None
    )  # fmt: skip
    runtime = Runtime(device=device, progress=False)
    return driver.fn(files, input_path(weights), plan, output_path(out), runtime, tuple(force))
