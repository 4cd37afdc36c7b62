"""`fit()`: the only training loop. Models bring loss terms; everything else is configuration."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from safetensors.torch import load_file
from torch import Tensor, nn

from gaze_core.config import Config, Runtime
from gaze_core.data.batch import GazeBatch
from gaze_core.errors import DivergedError
from gaze_core.reproducibility import choose_device, deterministic, seed_everything
from gaze_core.training.checkpoint import (
    BEST_FILE,
    load_resume_state,
    save_resume_state,
    save_weights,
)
from gaze_core.training.history import read_history, write_history
from gaze_core.training.sampling import step_indices

LossTerms = Mapping[str, Tensor]


class FitConfig(Config):
    """How a model is optimised. Units of training time are steps."""

    num_steps: PositiveInt
    batch_size: PositiveInt = 4
    learning_rate: PositiveFloat = 1e-3
    final_learning_rate_ratio: PositiveFloat = 1.0  # cosine from 1 to this over the run; 1 is constant
    warmup_steps: NonNegativeInt = 0
    max_grad_norm: PositiveFloat = 1.0
    validate_every_steps: NonNegativeInt = 0  # 0: never
    patience: PositiveInt = 5  # validations without an improvement of min_delta before stopping
    min_delta: PositiveFloat = 1e-4
    seed: NonNegativeInt = 0


class MetricSink(Protocol):
    """Where a run's numbers go: MLflow in a flow, a list in a test."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...


class Progress(Protocol):
    """Told after each step how far the run is."""

    def __call__(self, step: int, num_steps: int, loss: float) -> None: ...


@dataclass(frozen=True)
class Task:
    """What to optimise: a model, its data and its loss, plus how to validate (lower is better)."""

    model: nn.Module
    parameter_groups: list[dict[str, Any]]
    num_samples: int
    read_batch: Callable[[list[int]], GazeBatch]
    loss_terms: Callable[[nn.Module, GazeBatch, int], LossTerms]
    validate: Callable[[nn.Module], float] | None = None


@dataclass
class FitSummary:
    """What happened. `model` on return holds the best weights on validation, or the last without validation."""

    num_steps: int
    resumed_from_step: int
    seconds: float
    best_validation: float | None
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """The numbers that belong in a manifest."""
        numbers = {"num_steps": float(self.num_steps), "resumed_from_step": float(self.resumed_from_step)}
        return numbers | ({} if self.best_validation is None else {"best_validation": self.best_validation})


def fit(
    task: Task,
    config: FitConfig,
    runtime: Runtime,
    work_dir: Path,
    sink: MetricSink | None = None,
    progress: Progress | None = None,
) -> FitSummary:
    """Optimises until `config.num_steps` or early stopping, going on from `work_dir` if a run was interrupted there.

    A step's batch and random numbers depend on (seed, rank, step) alone, so an interrupted and resumed run ends with
    the weights of an uninterrupted one, bit for bit on a CPU.

    Raises:
        DivergedError: a loss term or the gradient is not finite; raised before the update.
    """
    fabric = Fabric(accelerator=choose_device(runtime).type, devices=1, precision=runtime.precision)
    optimizer = torch.optim.Adam(task.parameter_groups, lr=config.learning_rate)
    objective, optimizer = fabric.setup(_Objective(task), optimizer)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    run = _Run(task, work_dir, optimizer)
    started, first_step = time.monotonic(), run.restore()
    with deterministic(fabric.device):
        for step in range(first_step, config.num_steps):
            seed_everything("step", config.seed, fabric.global_rank, step)
            _set_rates(optimizer, base_rates, rate_factor(step, config))
            indices = step_indices(
                task.num_samples, config.batch_size, step, config.seed, fabric.global_rank, fabric.world_size
            )
            batch = task.read_batch(indices).to(fabric.device)
            terms = objective(_Step(batch, step))
            _update(fabric, objective, optimizer, terms, config.max_grad_norm, step)
            run.finished_step(step + 1, terms, sink, runtime)
            if progress:
                progress(step + 1, config.num_steps, run.last_total)
            if config.validate_every_steps and (step + 1) % config.validate_every_steps == 0:
                run.validate(step + 1, config.min_delta, sink)
            if (step + 1) % runtime.checkpoint_every_steps == 0:
                run.save(step + 1)
            if run.num_bad_validations >= config.patience:
                break
    run.save(run.step)
    return run.finish(first_step, time.monotonic() - started, stopped_early=run.step < config.num_steps)


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


def rate_factor(step: int, config: FitConfig) -> float:
    """Learning rate of `step` relative to the base: linear warm-up, then half a cosine to the final ratio."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.num_steps - config.warmup_steps)
    low = config.final_learning_rate_ratio
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done))


def _set_rates(optimizer: Any, base_rates: list[float], factor: float) -> None:
    for group, base in zip(optimizer.param_groups, base_rates, strict=True):
        group["lr"] = base * factor


def _update(
    fabric: Fabric, model: nn.Module, optimizer: Any, terms: LossTerms, max_grad_norm: float, step: int
) -> None:
    bad = [name for name, term in terms.items() if not bool(term.isfinite())]
    if bad:
        raise DivergedError(f"step {step}: not finite: {', '.join(bad)}; all terms: {as_floats(terms)}")
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(torch.stack(list(terms.values())).sum())
    norm = fabric.clip_gradients(model, optimizer, max_norm=max_grad_norm, error_if_nonfinite=False)
    if norm is None or not bool(norm.isfinite()):
        raise DivergedError(f"step {step}: gradient norm {norm}; terms: {as_floats(terms)}")
    optimizer.step()


def as_floats(terms: LossTerms) -> dict[str, float]:
    """The terms as plain numbers, for logs and messages."""
    return {name: float(term.detach()) for name, term in terms.items()}


class _Run:
    """The state that outlives a step: counters, history, best weights and how to restore them."""

    def __init__(self, task: Task, work_dir: Path, optimizer: Any) -> None:
        self.task, self.work_dir, self.optimizer = task, work_dir, optimizer
        self.step, self.last_total = 0, math.nan
        self.best: float | None = None
        self.num_bad_validations = 0
        self.history: list[dict[str, float]] = []
        work_dir.mkdir(parents=True, exist_ok=True)

    def restore(self) -> int:
        state = load_resume_state(self.work_dir)
        if state is None:
            return 0
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best, self.num_bad_validations = state["step"], state["best"], state["num_bad_validations"]
        rows = read_history(self.work_dir)
        self.history = [row for row in rows if row["step"] <= self.step]  # steps after the checkpoint run again
        return self.step

    def finished_step(self, step: int, terms: LossTerms, sink: MetricSink | None, runtime: Runtime) -> None:
        self.step = step
        values = as_floats(terms)
        self.last_total = sum(values.values())
        if step % runtime.log_every_steps == 0:
            self._log(step, values | {"total": self.last_total}, sink)

    def validate(self, step: int, min_delta: float, sink: MetricSink | None) -> None:
        assert self.task.validate is not None
        self.task.model.eval()
        with torch.no_grad():
            value = self.task.validate(self.task.model)
        self.task.model.train()
        self._log(step, {"validation": value}, sink)
        if self.best is None or value < self.best - min_delta:
            self.best, self.num_bad_validations = value, 0
            save_weights(self.work_dir / BEST_FILE, self.task.model, {"step": step})
        else:
            self.num_bad_validations += 1

    def save(self, step: int) -> None:
        write_history(self.work_dir, self.history)
        state = {
            "model": self.task.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": step,
            "best": self.best,
            "num_bad_validations": self.num_bad_validations,
        }
        save_resume_state(self.work_dir, state)

    def finish(self, first_step: int, seconds: float, stopped_early: bool) -> FitSummary:
        if self.best is not None:
            self.task.model.load_state_dict(load_file(self.work_dir / BEST_FILE))
        return FitSummary(self.step, first_step, seconds, self.best, stopped_early, self.history)

    def _log(self, step: int, values: dict[str, float], sink: MetricSink | None) -> None:
        self.history.append({"step": step, **values})
        if sink:
            sink.log(step, values)
