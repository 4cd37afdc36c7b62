"""What a training run is: what to optimise, on which data, who is told, and what came out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from gaze_core.training.fit_config import OptimizerConfig


class Batch(Protocol):
    """What the loop asks of a batch: how many samples it holds, and the same batch on another device."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device | str) -> Self: ...


B = TypeVar("B", bound=Batch)


@dataclass(frozen=True)
class Term:
    """One term of a loss: a scalar in the unit that the term's name ends with, and its weight in the sum."""

    value: Tensor
    weight: float = 1.0

    @property
    def weighted(self) -> Tensor:
        """What is added up and differentiated."""
        return self.weight * self.value


LossTerms = Mapping[str, Term]


def total(terms: LossTerms) -> Tensor:
    """The loss: the weighted sum of its terms."""
    return torch.stack([term.weighted for term in terms.values()]).sum()


class MetricSink(Protocol):
    """Where a run's numbers go: MLflow in a flow, a list in a test."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...


class Progress(Protocol):
    """Told after each step how far the run is."""

    def __call__(self, step: int, num_steps: int, loss: float) -> None: ...


@dataclass(frozen=True)
class Validation(Generic[B]):
    """What is measured on held-out batches: means over a batch's samples, by a name that ends with the unit.

    The loop moves each batch to the model's device, so `batches` may yield them wherever they are.
    """

    batches: Callable[[], Iterable[B]]
    measure: Callable[[nn.Module, B], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Adversary(Generic[B]):
    """A model that is trained in turn with the task's own, as a discriminator is, from `from_step` on.

    `loss_terms` gets the adversary, the batch and the step; it finds the task's model by itself and detaches what that
    one renders. Its terms are logged under `<name>/`.
    """

    name: str
    model: nn.Module
    parameter_groups: list[dict[str, Any]]
    loss_terms: Callable[[nn.Module, B, int], LossTerms]
    optimizer: OptimizerConfig = OptimizerConfig()
    from_step: int = 0


@dataclass(frozen=True)
class Task(Generic[B]):
    """A model, its data and its loss, and what may happen beside the optimisation.

    `read_batches` yields the batch of each list of sample positions. `save_epoch` writes the weights that are kept of an
    epoch. `after_step` is called with the optimizer and the number of finished steps; it may give parameters another
    shape (densification), and a resumed run takes the shapes that were saved.
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
    """What happened. The task's model holds the kept weights when `fit` returns."""

    num_steps: int
    resumed_from_step: int
    seconds: float
    best_validation: float | None
    kept_step: int = 0
    ended_because: str = ""
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """The numbers that belong in a manifest."""
        numbers = {
            "num_steps": self.num_steps,
            "kept_step": self.kept_step,
            "resumed_from_step": self.resumed_from_step,
            "stopped_early": self.stopped_early,
        }
        best = {} if self.best_validation is None else {"best_validation": self.best_validation}
        return {name: float(value) for name, value in numbers.items()} | best


def ended_in_words(metrics: Mapping[str, float]) -> str:
    """How a training ended, from the numbers of `FitSummary.metrics` in its manifest; empty if there are none."""
    if "num_steps" not in metrics:
        return ""
    reasons = {None: "", 0.0: ": all steps were done", 1.0: ": validation had stopped improving"}
    ended = f"ended after step {metrics['num_steps']:.0f}{reasons[metrics.get('stopped_early')]}"
    if "kept_step" not in metrics:  # of an earlier release
        return ended
    best = metrics.get("best_validation")
    value = "" if best is None else f" (best validation {best:.4g})"
    return f"{ended}; kept the weights of step {metrics['kept_step']:.0f}{value}"
