"""One optimisation step: forward, backward, clipping and update, for the model and its adversaries in turn."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

import torch
from torch import Tensor, nn

from gaze_core.errors import BadInput, DivergedError
from gaze_core.reproducibility import seed_everything
from gaze_core.training.fit_config import FitConfig, OptimizerConfig
from gaze_core.training.task import B, Task

if TYPE_CHECKING:
    from lightning.fabric import Fabric  # takes seconds, and who only draws needs none

_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass(frozen=True)
class _Call:
    """The argument of the wrapped forward pass: which model is trained, and one part of a batch.

    It is an opaque object, because Fabric would convert a plain batch.
    """

    turn: int
    batch: Any
    step: int


class _Objective(nn.Module, Generic[B]):
    """All models with their losses in the one module that Fabric wraps, so only scalars leave it under any strategy."""

    def __init__(self, task: Task[B]) -> None:
        super().__init__()
        self.models = nn.ModuleList([task.model, *(adversary.model for adversary in task.adversaries)])
        self.loss_terms = [task.loss_terms, *(adversary.loss_terms for adversary in task.adversaries)]
        self.weights: list[dict[str, float]] = [{} for _ in self.models]

    def forward(self, call: _Call) -> dict[str, Tensor]:
        """The unweighted values of the terms; stores their weights in `weights`."""
        terms = self.loss_terms[call.turn](self.models[call.turn], call.batch, call.step)
        self.weights[call.turn] = {name: float(term.weight) for name, term in terms.items()}
        return {name: term.value for name, term in terms.items()}


class Stepper(Generic[B]):
    """The models and optimizers on their device; `step` is one optimisation step."""

    def __init__(self, task: Task[B], config: FitConfig, fabric: "Fabric") -> None:
        self.task, self.config, self.fabric = task, config, fabric
        groups = [(task.parameter_groups, config.optimizer)]
        groups += [(adversary.parameter_groups, adversary.optimizer) for adversary in task.adversaries]
        optimizers = [_optimizer(rows, settings, config.learning_rate) for rows, settings in groups]
        self.objective = _Objective(task)
        wrapped = fabric.setup(self.objective, *optimizers)
        self.wrapped: Any = wrapped[0]
        self.optimizers: list[Any] = list(wrapped[1:])
        self._base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    def step(self, parts: Sequence[B], step: int) -> dict[str, float]:
        """Updates the model, then each active adversary; returns the values to log.

        Raises:
            DivergedError: a term or the gradient is not finite; raised before the update.
        """
        values = self._turn(0, "", parts, step)
        for turn, adversary in enumerate(self.task.adversaries, start=1):
            if step >= adversary.from_step:
                values |= self._turn(turn, f"{adversary.name}/", parts, step)
        if self.task.after_step is not None:
            self._after_step(step + 1)
        return values

    def _turn(self, turn: int, prefix: str, parts: Sequence[B], step: int) -> dict[str, float]:
        optimizer = self.optimizers[turn]
        factor = self.config.rate_factor(step, self.task.num_samples)
        for group, base in zip(optimizer.param_groups, self._base_rates[turn], strict=True):
            group["lr"] = base * factor
        self.wrapped.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for number, batch in enumerate(parts):
            global_step = self.config.first_step + step
            stream = _random_stream(turn, number)
            seed_everything("step", self.config.seed, self.fabric.global_rank, global_step, *stream)
            with self._without_sync(number < len(parts) - 1):
                values = self._backward(_Call(turn, batch, step), len(parts))
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value / len(parts)
        self._require_finite_gradient(turn, step, sums)
        optimizer.step()
        return _logged(sums, self.objective.weights[turn], prefix)

    def _backward(self, call: _Call, num_parts: int) -> dict[str, float]:
        """Adds the gradient of one part; returns the terms' values averaged over all processes."""
        terms: dict[str, Tensor] = self.wrapped(call)
        weights = self.objective.weights[call.turn]
        stacked = torch.stack(list(terms.values()))
        # Averaged before the check, so that all processes stop if one has a term that is not finite.
        averaged = self.fabric.all_reduce(stacked.detach(), reduce_op="mean")
        values = dict(zip(terms, averaged.tolist(), strict=True))  # type: ignore[union-attr]
        if bad := [name for name, value in values.items() if not math.isfinite(value * weights[name])]:
            raise DivergedError(f"step {call.step}: not finite: {', '.join(bad)}; all terms: {values}")
        loss = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        self.fabric.backward(loss / num_parts if num_parts > 1 else loss)
        return values

    def _without_sync(self, skip: bool) -> AbstractContextManager[None]:
        """Context that can `skip` the gradient exchange between processes: one exchange, at the last part, is enough."""
        if skip and self.fabric.world_size > 1:
            return self.fabric.no_backward_sync(self.wrapped)
        return nullcontext()

    def _require_finite_gradient(self, turn: int, step: int, values: dict[str, float]) -> None:
        norm = self.fabric.clip_gradients(
            self.wrapped, self.optimizers[turn], max_norm=self.config.max_grad_norm, error_if_nonfinite=False
        )
        if norm is None or not bool(norm.isfinite()):
            raise DivergedError(f"step {step}: gradient norm {norm}; terms: {values}")

    def _after_step(self, num_steps: int) -> None:
        assert self.task.after_step is not None
        before = [parameter.shape for parameter in self.task.model.parameters()]
        self.task.after_step(self.optimizers[0].optimizer, num_steps)
        changed = before != [parameter.shape for parameter in self.task.model.parameters()]
        if changed and self.fabric.world_size > 1:
            raise BadInput("parameters that change their shape cannot be trained by several processes; use one")


def _random_stream(turn: int, part: int) -> tuple[str | int, ...]:
    """Seed values that separate the random numbers of a step's parts; those of the first part depend on the step only."""
    return () if turn == part == 0 else ("turn", turn, "part", part)


def _optimizer(groups: list[dict[str, Any]], config: OptimizerConfig, learning_rate: float) -> torch.optim.Optimizer:
    return _OPTIMIZERS[config.name](groups, lr=learning_rate, betas=config.betas, weight_decay=config.weight_decay)


def _logged(values: dict[str, float], weights: dict[str, float], prefix: str) -> dict[str, float]:
    """The terms in their units and, under `weighted/`, multiplied by their weights, which sum to the loss."""
    weighted = {name: weights[name] * value for name, value in values.items()}
    scaled = {f"weighted/{name}": value for name, value in weighted.items() if weights[name] != 1}
    rows = values | scaled | {"loss": sum(weighted.values())}
    return {f"{prefix}{name}": value for name, value in rows.items()}
