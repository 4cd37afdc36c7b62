"""The types of a training run: task, batch, loss terms, validation, progress callback and summary."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from gaze_core.training.fit_config import OptimizerConfig


class Batch(Protocol):
    """The interface of a batch: its number of samples, and a copy on another device."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device | str) -> Self: ...


B = TypeVar("B", bound=Batch)


@dataclass(frozen=True)
class Term:
    """One term of a loss: a scalar, in the unit at the end of the term's name, and its weight in the sum."""

    value: Tensor
    weight: float = 1.0

    @property
    def weighted(self) -> Tensor:
        """The contribution to the loss."""
        return self.weight * self.value


LossTerms = Mapping[str, Term]


def total(terms: LossTerms) -> Tensor:
    """The loss: the weighted sum of its terms."""
    return torch.stack([term.weighted for term in terms.values()]).sum()


class MetricSink(Protocol):
    """Receives a run's metrics: MLflow in a flow, a list in a test."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...


class Progress(Protocol):
    """Progress callback, called after each step."""

    def __call__(self, step: int, num_steps: int, loss: float) -> None: ...


@dataclass(frozen=True)
class Validation(Generic[B]):
    """Held-out batches and their metrics: `measure` returns means over a batch's samples; each name ends with the unit.

    The loop moves each batch to the model's device, so `batches` may yield them on any device.
    """

    batches: Callable[[], Iterable[B]]
    measure: Callable[[nn.Module, B], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Adversary(Generic[B]):
    """A model trained in turn with the task's model, such as a discriminator, from `from_step` on.

    `loss_terms` gets the adversary, the batch and the step; it holds its own reference to the task's model and must detach
    that model's outputs. Its terms are logged under `<name>/`.
    """

    name: str
    model: nn.Module
    parameter_groups: list[dict[str, Any]]
    loss_terms: Callable[[nn.Module, B, int], LossTerms]
    optimizer: OptimizerConfig = OptimizerConfig()
    from_step: int = 0


@dataclass(frozen=True)
class Task(Generic[B]):
    """A model, its data and its loss, with optional callbacks.

    `read_batches` yields the batch of each list of sample indices. `save_epoch` writes the weights of an epoch.
    `after_step` is called with the optimizer and the number of finished steps; it may change the shapes of parameters
    (densification), and a resumed run restores the saved shapes.
    """

    model: nn.Module
    parameter_groups: list[dict[str, Any]]
    num_samples: int
    read_batches: Callable[[Iterable[list[int]]], Iterator[B]]
    loss_terms: Callable[[nn.Module, B, int], LossTerms]
    validation: Validation[B] | None = None
    save_epoch: Callable[[Path], None] | None = None
    after_step: Callable[[torch.optim.Optimizer, int], None] | None = None
    adversaries: tuple[Adversary[B], ...] = ()


@dataclass
class FitSummary:
    """The outcome of a run. The task's model has the selected weights when `fit` returns."""

    num_steps: int
    resumed_from_step: int
    seconds: float
    best_validation: float | None
    kept_step: int = 0
    ended_because: str = ""
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """The metrics for the manifest."""
        numbers = {
            "num_steps": self.num_steps,
            "kept_step": self.kept_step,
            "resumed_from_step": self.resumed_from_step,
            "stopped_early": self.stopped_early,
        }
        best = {} if self.best_validation is None else {"best_validation": self.best_validation}
        return {name: float(value) for name, value in numbers.items()} | best


def ended_in_words(metrics: Mapping[str, float]) -> str:
    """A sentence on how a training ended, from the `FitSummary.metrics` in its manifest; empty if there are none."""
    if "num_steps" not in metrics:
        return ""
    reasons = {None: "", 0.0: ": all steps were done", 1.0: ": validation had stopped improving"}
    ended = f"ended after step {metrics['num_steps']:.0f}{reasons[metrics.get('stopped_early')]}"
    if "kept_step" not in metrics:  # a manifest of an earlier release
        return ended
    best = metrics.get("best_validation")
    value = "" if best is None else f" (best validation {best:.4g})"
    return f"{ended}; kept the weights of step {metrics['kept_step']:.0f}{value}"
