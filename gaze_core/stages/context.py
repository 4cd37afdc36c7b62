"""What a running stage gets from whoever runs it: the runtime, a place to work, and where to report to."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gaze_core.artifacts import Produced
from gaze_core.config import Runtime
from gaze_core.training.loop import MetricSink, Progress

Inputs = Mapping[str, Any]
"""By parameter name: an artifact as its local folder, a sequence as a tuple of folders, a config as it is."""


class NullReporter:
    """A metric sink and a progress display that show nothing."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Ignores the values."""

    def __call__(self, step: int, num_steps: int, loss: float) -> None:
        """Ignores the step."""


@dataclass(frozen=True)
class StageContext:
    """Handed to a stage's `run`.

    `work_dir` is the same for each attempt at one computation and is removed after success, so whatever a
    stage leaves there when it is killed is what its next attempt can go on from.
    """

    runtime: Runtime
    work_dir: Path
    log: MetricSink = field(default_factory=NullReporter)
    progress: Progress = field(default_factory=NullReporter)
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("gazeworks"))


class Stage(Protocol):
    """The shape of a module in `gaze_core.stages`. Bump `VERSION` when the meaning of its result changes.

    A module that says `TRAINS = True` may run in `Runtime.num_processes` processes, which share each batch.
    """

    VERSION: int

    @property
    def run(self) -> "RunStage": ...


class RunStage(Protocol):
    """`run(config, inputs, context)` of a stage."""

    def __call__(self, config: Any, inputs: Inputs, context: StageContext, /) -> Produced: ...
