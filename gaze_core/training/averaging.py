"""Exponential moving average (EMA) of a model's weights, often better than the weights of the last step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The moving average over the steps so far; a tensor whose shape changes is restarted.

    The decay of step n is min(decay, (1 + n) / (10 + n)), so the first weights do not dominate.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.values = self._copy()

    @torch.no_grad()
    def update(self, num_steps: int) -> None:
        """Updates the average with the current weights, after `num_steps` steps."""
        decay = min(self.decay, (1 + num_steps) / (10 + num_steps))
        for name, value in self.model.state_dict().items():
            old = self.values[name]
            if value.is_floating_point() and old.shape == value.shape:
                old.lerp_(value, 1 - decay)
            else:
                self.values[name] = value.clone()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Loads the averaged weights into the model; restores its own weights on exit."""
        own = self._copy()
        self.model.load_state_dict(self.values)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}
