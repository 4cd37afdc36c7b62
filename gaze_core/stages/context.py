"""The context of a running stage: runtime, working folder, metric sink, progress callback and logger."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gaze_core.artifacts import Produced
from gaze_core.config import Runtime
from gaze_core.training.loop import MetricSink, Progress

Inputs = Mapping[str, Any]
"""Inputs of a stage by parameter name: the local folder of an artifact, a tuple of folders, or a config."""


class NullReporter:
    """A metric sink and progress callback that do nothing."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Ignores the values."""

    def __call__(self, step: int, num_steps: int, loss: float) -> None:
        """Ignores the step."""


@dataclass(frozen=True)
class StageContext:
    """The argument of a stage's `run`.

    `work_dir` is the same for each attempt at one computation and is removed after success, so the next attempt can
    resume from the files of a killed one.
    """

    runtime: Runtime
    work_dir: Path
    log: MetricSink = field(default_factory=NullReporter)
    progress: Progress = field(default_factory=NullReporter)
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("gazeworks"))


class Stage(Protocol):
    """The interface of a module in `gaze_core.stages`. Bump `VERSION` when the meaning of its result changes.

    A module with `TRAINS = True` may run in `Runtime.num_processes` processes, which divide each batch.
    """

    VERSION: int

    @property
    def run(self) -> "RunStage": ...


class RunStage(Protocol):
    """`run(config, inputs, context)` of a stage."""

    def __call__(self, config: Any, inputs: Inputs, context: StageContext, /) -> Produced: ...
