"""Configuration of the optimisation: length, batch, optimizer, schedule, validation, selection."""

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
    """Which weights a run keeps: the best validated ones by `metric` from `from_step` on or, if disabled, the last ones.

    Validations before `from_step` count neither as best nor for the patience of early stopping. The weights of the
    `keep` best validations stay in files of their own, `step_NNNNNNN.safetensors`; 0 keeps the best one alone.
    """

    enabled: bool = True
    metric: str = ""  # name of a validation metric; empty: the first one
    mode: Literal["min", "max"] = "min"
    from_step: NonNegativeInt = 0
    keep: NonNegativeInt = 0

    added_later: ClassVar[frozenset[str]] = frozenset({"keep"})


class FitConfig(Config):
    """Configuration of the optimisation, for a number of steps or epochs. `batch_size` is the total of all processes."""

    num_steps: PositiveInt | None = None
    num_epochs: PositiveInt | None = None
    batch_size: PositiveInt = 4
    accumulate: PositiveInt = (
        1  # gradient accumulation: parts of a batch that are processed one after another, to save memory
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_learning_rate_ratio: PositiveFloat = 1.0  # the schedule falls from 1 to this over the run
    warmup_steps: NonNegativeInt = 0
    warmup_epochs: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0
    ema_decay: float | None = Field(None, gt=0, lt=1)  # validate and keep an EMA of the weights
    frozen: tuple[str, ...] = ()  # name patterns of frozen parameters, see training/freezing.py
    validate_every_steps: NonNegativeInt = 0  # 0: not by steps
    validate_every_epoch: bool = False
    validations_per_epoch: PositiveInt = 1
    selection: SelectionConfig = SelectionConfig()
    patience: PositiveInt = 5  # validations without an improvement of min_delta before stopping
    min_delta: PositiveFloat = 1e-4
    keep_every_epochs: NonNegativeInt = 0  # saves weights besides the last and the best; 0: never
    seed: NonNegativeInt = 0
    first_step: NonNegativeInt = 0  # for a run that continues the samples and random numbers of another one

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
        """Steps of the whole run; the last batch of an epoch may extend into the next epoch."""
        if self.num_steps is not None:
            return self.num_steps
        assert self.num_epochs is not None
        return -(-self.num_epochs * num_samples // self.batch_size)

    def epochs_done(self, steps: int, num_samples: int, parts: int = 1) -> int:
        """Number of complete epochs, or of complete 1/`parts` of an epoch, after `steps` steps."""
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
