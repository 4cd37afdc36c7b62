"""What a training run is: what to optimise, how, who is told, and what came out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch

LossTerms = Mapping[str, Tensor]


class FitConfig(Config):
    """How a model is optimised, for a number of steps or of epochs. `batch_size` counts all processes together."""

    num_steps: PositiveInt | None = None
    num_epochs: PositiveInt | None = None
    batch_size: PositiveInt = 4
    learning_rate: PositiveFloat = 1e-3
    final_learning_rate_ratio: PositiveFloat = 1.0  # cosine from 1 to this over the run; 1 is constant
    warmup_steps: NonNegativeInt = 0
    max_grad_norm: PositiveFloat = 1.0
    validate_every_steps: NonNegativeInt = 0  # 0: not by steps
    validate_every_epoch: bool = False
    patience: PositiveInt = 5  # validations without an improvement of min_delta before stopping
    min_delta: PositiveFloat = 1e-4
    keep_every_epochs: NonNegativeInt = 0  # weights kept beside the last and the best; 0: none
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError("give either num_steps or num_epochs, not both and not neither")
        return self

    def steps(self, num_samples: int) -> int:
        """Steps of the whole run; the last batch of an epoch may reach into the next one."""
        if self.num_steps is not None:
            return self.num_steps
        assert self.num_epochs is not None
        return -(-self.num_epochs * num_samples // self.batch_size)

    def epochs_done(self, steps: int, num_samples: int) -> int:
        """Epochs that are complete after so many steps."""
        return steps * self.batch_size // num_samples


class MetricSink(Protocol):
    """Where a run's numbers go: MLflow in a flow, a list in a test."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...


class Progress(Protocol):
    """Told after each step how far the run is."""

    def __call__(self, step: int, num_steps: int, loss: float) -> None: ...


@dataclass(frozen=True)
class Task:
    """What to optimise: a model, its data and its loss, plus how to validate (lower is better).

    `read_batches` gives the batch of each list of positions; `save_epoch` writes the weights that are kept of an epoch.
    """

    model: nn.Module
    parameter_groups: list[dict[str, Any]]
    num_samples: int
    read_batches: Callable[[Iterable[list[int]]], Iterator[GazeBatch]]
    loss_terms: Callable[[nn.Module, GazeBatch, int], LossTerms]
    validate: Callable[[nn.Module], float] | None = None
    save_epoch: Callable[[Path], None] | None = None


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
