"""`fit()`: the only training loop. Models bring loss terms; everything else is configuration."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from gaze_core.config import Runtime
from gaze_core.data.batch import GazeBatch
from gaze_core.errors import DivergedError
from gaze_core.reproducibility import deterministic, seed_everything
from gaze_core.training.processes import make_fabric, own_share
from gaze_core.training.sampling import step_indices
from gaze_core.training.state import RunState
from gaze_core.training.task import FitConfig, FitSummary, LossTerms, MetricSink, Progress, Task

__all__ = ["FitConfig", "FitSummary", "LossTerms", "MetricSink", "Progress", "Task", "fit", "rate_factor"]


def fit(
    task: Task,
    config: FitConfig,
    runtime: Runtime,
    work_dir: Path,
    sink: MetricSink | None = None,
    progress: Progress | None = None,
    logger: logging.Logger | None = None,
) -> FitSummary:
    """Optimises to the end or to early stopping, going on from `work_dir` if a run was interrupted there.

    A step's batch and random numbers depend on (seed, rank, step) alone, so an interrupted and resumed run ends with
    the weights of an uninterrupted one, bit for bit on a CPU. Several processes share each batch, so they compute what
    one process would, apart from rounding.

    Raises:
        BadInput: the batch cannot be shared equally among the processes.
        DivergedError: a loss term or the gradient is not finite; raised before the update.
    """
    fabric = make_fabric(runtime)
    rows = own_share(config.batch_size, fabric.global_rank, fabric.world_size)
    optimizer = torch.optim.Adam(task.parameter_groups, lr=config.learning_rate)
    objective, optimizer = fabric.setup(_Objective(task), optimizer)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    num_steps = config.steps(task.num_samples)
    run = RunState(task, config, work_dir, optimizer, sink, logger, writes=fabric.is_global_zero)
    started, first_step = time.monotonic(), run.restore()
    order = (
        step_indices(task.num_samples, config.batch_size, step, config.seed)[rows]
        for step in range(first_step, num_steps)
    )
    with deterministic(fabric.device):
        for step, batch in zip(range(first_step, num_steps), task.read_batches(order), strict=False):
            if run.num_bad_validations >= config.patience:
                break
            seed_everything("step", config.seed, fabric.global_rank, step)
            _set_rates(optimizer, base_rates, rate_factor(step, num_steps, config))
            terms = objective(_Step(batch.to(fabric.device), step))
            values = _update(fabric, objective, optimizer, terms, config.max_grad_norm, step)
            run.finished_step(step + 1, values, runtime)
            if progress:
                progress(step + 1, num_steps, run.last_total)
    run.save()
    fabric.barrier()
    return run.finish(first_step, time.monotonic() - started, stopped_early=run.step < num_steps)


class _Step:
    """One step's batch, opaque to Fabric, which would try to rewrite a frozen dataclass in place."""

    def __init__(self, batch: GazeBatch, number: int) -> None:
        self.batch, self.number = batch, number


class _Objective(nn.Module):
    """The model with its loss: what Fabric wraps, so that only named scalars leave it, under any strategy."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model, self.loss_terms = task.model, task.loss_terms

    def forward(self, step: _Step) -> dict[str, Tensor]:
        return dict(self.loss_terms(self.model, step.batch, step.number))


def rate_factor(step: int, num_steps: int, config: FitConfig) -> float:
    """Learning rate of `step` relative to the base: linear warm-up, then half a cosine to the final ratio."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, num_steps - config.warmup_steps)
    low = config.final_learning_rate_ratio
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done))


def _set_rates(optimizer: Any, base_rates: list[float], factor: float) -> None:
    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = base * factor


def _update(
    fabric: Fabric, model: nn.Module, optimizer: Any, terms: LossTerms, max_grad_norm: float, step: int
) -> dict[str, float]:
    """One step against the sum of the terms; returns their means over all processes."""
    stacked = torch.stack(list(terms.values()))
    # Averaged before it is looked at, so that all processes stop if one has a term that is not finite.
    averaged = fabric.all_reduce(stacked.detach(), reduce_op="mean")
    values = dict(zip(terms, averaged.tolist(), strict=True))  # type: ignore[union-attr]
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(f"step {step}: not finite: {', '.join(bad)}; all terms: {values}")
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(stacked.sum())
    norm = fabric.clip_gradients(model, optimizer, max_norm=max_grad_norm, error_if_nonfinite=False)
    if norm is None or not bool(norm.isfinite()):
        raise DivergedError(f"step {step}: gradient norm {norm}; terms: {values}")
    optimizer.step()
    return values
