"""How a model is optimised, as configuration: length, batch, optimizer, schedule, validation, selection."""

import math
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from gaze_core.config import Config


class OptimizerConfig(Config):
    """Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) with decoupled weight decay."""

    name: Literal["adam", "adamw"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 0.0


class SelectionConfig(Config):
    """Which validated weights a run keeps: the best ones by `metric` from `from_step` on, or, if off, the last ones.

    A step before `from_step` neither counts as the best nor against the patience of early stopping.
    """

    enabled: bool = True
    metric: str = ""  # a name that validation measures; empty: the first one
    mode: Literal["min", "max"] = "min"
    from_step: NonNegativeInt = 0


class FitConfig(Config):
    """How a model is optimised, for a number of steps or of epochs. `batch_size` counts all processes together."""

    num_steps: PositiveInt | None = None
    num_epochs: PositiveInt | None = None
    batch_size: PositiveInt = 4
    accumulate: PositiveInt = 1  # parts in which a batch passes through the model one after another, to save memory
    optimizer: OptimizerConfig = OptimizerConfig()
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_learning_rate_ratio: PositiveFloat = 1.0  # the schedule falls from 1 to this over the run
    warmup_steps: NonNegativeInt = 0
    warmup_epochs: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0
    ema_decay: float | None = Field(None, gt=0, lt=1)  # validate and keep an exponential moving average of the weights
    frozen: tuple[str, ...] = ()  # name patterns of parameters that stay as they are, see training/freezing.py
    validate_every_steps: NonNegativeInt = 0  # 0: not by steps
    validate_every_epoch: bool = False
    validations_per_epoch: PositiveInt = 1
    selection: SelectionConfig = SelectionConfig()
    patience: PositiveInt = 5  # validations without an improvement of min_delta before stopping
    min_delta: PositiveFloat = 1e-4
    keep_every_epochs: NonNegativeInt = 0  # weights kept beside the last and the best; 0: none
    seed: NonNegativeInt = 0
    first_step: NonNegativeInt = 0  # of a run that goes on with the samples and random numbers of another one

    added_later: ClassVar[frozenset[str]] = frozenset({
        "accumulate", "optimizer", "schedule", "warmup_epochs", "ema_decay", "frozen", "validations_per_epoch", "selection",
        "first_step",
    })  # fmt: skip

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.num_steps is None) == (self.num_epochs is None):
            raise ValueError("give either num_steps or num_epochs, not both and not neither")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} cannot be divided into {self.accumulate} equal parts")
        if self.warmup_steps and self.warmup_epochs:
            raise ValueError("give either warmup_steps or warmup_epochs, not both")
        return self

    def steps(self, num_samples: int) -> int:
        """Steps of the whole run; the last batch of an epoch may reach into the next one."""
        if self.num_steps is not None:
            return self.num_steps
        assert self.num_epochs is not None
        return -(-self.num_epochs * num_samples // self.batch_size)

    def epochs_done(self, steps: int, num_samples: int, parts: int = 1) -> int:
        """Epochs, or `parts` of an epoch, that are complete after so many steps."""
        return parts * steps * self.batch_size // num_samples

    def validates_after(self, step: int, num_samples: int) -> bool:
        """Whether the weights are validated after this step; the first step is number 1."""
        if self.validate_every_steps and step % self.validate_every_steps == 0:
            return True
        parts = self.validations_per_epoch
        is_due = self.epochs_done(step, num_samples, parts) > self.epochs_done(step - 1, num_samples, parts)
        return self.validate_every_epoch and is_due

    def rate_factor(self, step: int, num_samples: int) -> float:
        """Learning rate of `step` (from 0) relative to the base: linear warm-up, then the schedule."""
        num_steps = self.steps(num_samples)
        warmup = self.warmup_steps or math.ceil(self.warmup_epochs * num_samples / self.batch_size)
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, num_steps - warmup)
        remaining = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
        low = self.final_learning_rate_ratio
        return low + (1 - low) * remaining[self.schedule]
