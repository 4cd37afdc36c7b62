"""`fit()`: the training loop of every stage. Tasks provide loss terms; everything else is configuration."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gaze_core.config import Runtime
from gaze_core.reproducibility import deterministic
from gaze_core.training.fit_config import FitConfig, OptimizerConfig, SelectionConfig
from gaze_core.training.freezing import frozen
from gaze_core.training.processes import make_fabric, process_slice
from gaze_core.training.sampling import step_indices
from gaze_core.training.state import RunState
from gaze_core.training.stepping import Stepper
from gaze_core.training.task import (
    Adversary,
    B,
    Batch,
    FitSummary,
    LossTerms,
    MetricSink,
    Progress,
    Task,
    Term,
    Validation,
    total,
)

if TYPE_CHECKING:
    from lightning.fabric import Fabric  # takes seconds, and who only draws needs none

__all__ = [
    "Batch", "FitConfig", "FitSummary", "LossTerms", "MetricSink", "Adversary", "OptimizerConfig", "Progress",
    "SelectionConfig", "Task", "Term", "Validation", "fit", "total",
]  # fmt: skip


def fit(
    task: Task[B],
    config: FitConfig,
    runtime: Runtime,
    work_dir: Path,
    sink: MetricSink | None = None,
    progress: Progress | None = None,
    logger: logging.Logger | None = None,
) -> FitSummary:
    """Optimises to the last step or early stopping; resumes an interrupted run of `work_dir`.

    A step's samples depend on seed and step, its random numbers on seed, rank and step, so a resumed run ends with the
    weights of an uninterrupted one, bit for bit on a CPU. Several processes divide each batch, so they compute the same
    as one process, apart from rounding.

    Raises:
        BadInput: the batch cannot be divided equally, or a pattern of frozen parameters matches none.
        DivergedError: a loss term or the gradient is not finite; raised before the update.
    """
    with frozen(task.model, config.frozen):
        return _fit(task, config, runtime, work_dir, sink, progress, logger)


def _fit(
    task: Task[B], config: FitConfig, runtime: Runtime, work_dir: Path, sink: MetricSink | None,
    progress: Progress | None, logger: logging.Logger | None,
) -> FitSummary:  # fmt: skip
    fabric = make_fabric(runtime)
    stepper = Stepper(task, config, fabric)
    run = RunState(task, config, work_dir, stepper, sink, logger)
    started_s, first_step = time.monotonic(), run.restore()
    num_steps = config.steps(task.num_samples)
    batches = task.read_batches(_sample_order(task, config, fabric, first_step, num_steps))
    with deterministic(fabric.device):
        for step in range(first_step, num_steps):
            if run.is_patience_over:
                break
            parts = [next(batches).to(fabric.device) for _ in range(config.accumulate)]
            run.finished_step(step + 1, stepper.step(parts, step), runtime)
            if progress:
                progress(step + 1, num_steps, run.last_loss)
    run.save()
    fabric.barrier()
    return run.finish(first_step, time.monotonic() - started_s, num_steps)


def _sample_order(task: Task[B], config: FitConfig, fabric: "Fabric", first: int, last: int) -> Iterator[list[int]]:
    """Indices of the samples of each part of each batch, for this process."""
    own = process_slice(config.batch_size, fabric.global_rank, fabric.world_size, config.accumulate)
    for step in range(config.first_step + first, config.first_step + last):
        indices = step_indices(task.num_samples, config.batch_size, step, config.seed)[own]
        size = len(indices) // config.accumulate
        yield from (indices[start : start + size] for start in range(0, len(indices), size))
