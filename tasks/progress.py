"""Progress of a stage: a bar on a terminal, log lines elsewhere."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gaze_core.config import Runtime
from gaze_core.stages.context import NullReporter
from gaze_core.training.loop import Progress as StepProgress
from tasks.console import Console, plain_console

LINE_EVERY_S = 15.0


class Lines:
    """Logs a line each `LINE_EVERY_S` seconds and at the last step."""

    def __init__(self, name: str, logger: logging.Logger) -> None:
        self.name, self.logger, self._last_s = name, logger, time.monotonic()

    def __call__(self, step: int, num_steps: int, loss: float) -> None:
        """The progress callback, called after each step."""
        if step == num_steps or time.monotonic() - self._last_s >= LINE_EVERY_S:
            self._last_s = time.monotonic()
            self.logger.info("%s: %d of %d %s", self.name, step, num_steps, _loss_text(loss))


class Bar:
    """Moves a progress bar that shows the loss and the time that is left."""

    def __init__(self, name: str, bars: Progress) -> None:
        self.bars, self._bar = bars, bars.add_task(name, total=None, loss="")

    def __call__(self, step: int, num_steps: int, loss: float) -> None:
        """The progress callback, called after each step."""
        self.bars.update(self._bar, total=num_steps, completed=step, loss=_loss_text(loss))


def _loss_text(loss: float) -> str:
    return "" if math.isnan(loss) else f"loss {loss:.4g}"  # a stage that optimises nothing reports nan


@contextmanager
def progress_display(name: str, runtime: Runtime, logger: logging.Logger) -> Iterator[StepProgress]:
    """The progress callback for this output: none if `runtime.progress` is off, a bar on a terminal, else log lines."""
    console = plain_console(stderr=True)
    if not runtime.progress:
        yield NullReporter()
    elif not console.is_terminal:
        yield Lines(name, logger)
    else:
        with bars(console) as display:
            yield Bar(name, display)


def bars(console: Console) -> Progress:
    """A bar with its name, count, loss and remaining time."""
    name, loss = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[loss]"))
    return Progress(
        name, BarColumn(), MofNCompleteColumn(), loss, TimeRemainingColumn(), console=console, transient=True
    )
