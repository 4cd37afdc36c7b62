"""Description of the machine of a measurement, without host name and user folders."""

import os
import platform
from pathlib import Path

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gaze_core.config import Config


class Machine(Config):
    """The machine on which something was measured."""

    cpu: str = Field(min_length=1)
    cores: PositiveInt
    memory_gib: PositiveFloat
    system: str = Field(min_length=1)
    gpu: str | None = None
    load_1min: NonNegativeFloat | None = None  # load average of the last minute


def this_machine() -> Machine:
    """The machine that this process runs on, with its current load."""
    import torch  # imported here: it takes seconds, which would slow down --help

    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory_gib, 1),
        system=f"{platform.system()} {platform.machine()}",
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        load_1min=round(os.getloadavg()[0], 2),
    )


def cpu_name() -> str:
    """The processor's model, from /proc/cpuinfo on Linux, else from Python's platform module."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
