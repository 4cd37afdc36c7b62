"""A stand-in for rendering that a cluster's process can import."""

import os
from pathlib import Path

from prefect import task

from gaze_core.config import Runtime
from gaze_core.synthesis.factory import SubjectConfig


@task(persist_result=False)
def write_process(config: SubjectConfig, out: Path, runtime: Runtime) -> Path:
    """Writes the number of its process."""
    path = out / f"{config.subject}.h5"
    path.write_text(str(os.getpid()))
    return path
