"""Growing and pruning a cloud of free Gaussians with gsplat's strategies, on whichever backend drew it.

gsplat's strategies are plain torch, so one implementation serves CPU and CUDA (`DefaultStrategy`: Kerbl et al. 2023,
section 5.2). They want stored parameters under gsplat's names: means, quats, log `scales`, logit `opacities`.
"""

from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from gaze_core.errors import BadInput
from gaze_core.splat.gaussians import Rendering

STORED_NAMES = ("means", "quats", "scales", "opacities")


class Strategy(Protocol):
    """What gsplat's strategies have in common."""

    def initialize_state(self) -> dict[str, Any]: ...  # noqa: D102

    def step_pre_backward(self, *arguments: Any) -> None: ...  # noqa: D102

    def step_post_backward(self, *arguments: Any) -> None: ...  # noqa: D102


class Densifier:
    """Calls a strategy around each backward pass; it exchanges the entries of `parameters` and the optimisers' state.

    Raises:
        BadInput: a parameter that the strategies need is missing, or has no optimiser.
    """

    def __init__(
        self, strategy: Strategy, parameters: dict[str, nn.Parameter], optimizers: dict[str, Optimizer]
    ) -> None:
        missing = [name for name in STORED_NAMES if name not in parameters]
        if missing:
            raise BadInput(f"densification needs the parameters {', '.join(STORED_NAMES)}; missing: {missing}")
        if set(optimizers) != set(parameters):
            raise BadInput(f"one optimiser for each parameter: {sorted(parameters)}, found {sorted(optimizers)}")
        self.strategy, self.parameters, self.optimizers = strategy, parameters, optimizers
        self.state = strategy.initialize_state()

    def before_backward(self, rendering: Rendering, step: int) -> None:
        """Keeps the gradient of the projected means, by which the strategy judges."""
        self._info = densification_info(rendering)
        self.strategy.step_pre_backward(self.parameters, self.optimizers, self.state, step, self._info)

    def after_backward(self, step: int) -> None:
        """Lets the strategy clone, split and prune; call it after the optimisers' step and before `zero_grad`."""
        self.strategy.step_post_backward(self.parameters, self.optimizers, self.state, step, self._info)


def densification_info(rendering: Rendering) -> dict[str, Any]:
    """gsplat's `info` of B images of the same cloud: B is its number of cameras."""
    batch, _, height, width = rendering.features.shape
    return {
        "means2d": rendering.means2d_px,
        "radii": rendering.radii_px,
        "width": width,
        "height": height,
        "n_cameras": batch,
        "gaussian_ids": None,
    }
