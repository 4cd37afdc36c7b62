"""Which parameters of a model are trained: the one place that freezes, by name pattern.

A pattern is matched against the full parameter name as `fnmatch` does, so `backbone.*` means all of the backbone.
A normalisation layer whose parameters are all frozen keeps its running statistics, too, or they would drift.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gaze_core.errors import BadInput


@contextmanager
def frozen(model: nn.Module, patterns: Sequence[str]) -> Iterator[None]:
    """Within it, parameters that match one of `patterns` are not trained; others are, as far as they were before.

    Raises:
        BadInput: a pattern matches nothing, or nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in parameters):
            raise BadInput(f"frozen: {pattern!r} matches no parameter; expected a pattern of {_roots(parameters)}")
    trained = [name for name, parameter in parameters.items() if parameter.requires_grad]
    chosen = [name for name in trained if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if len(chosen) == len(trained):
        raise BadInput(f"frozen: {', '.join(patterns) or 'all parameters'}: nothing is left to train")
    for name in chosen:
        parameters[name].requires_grad_(False)
    try:
        yield
    finally:
        for name in chosen:
            parameters[name].requires_grad_(True)


def training_mode(model: nn.Module) -> None:
    """Puts the model into training mode, but for normalisation layers that are frozen."""
    model.train()
    for layer in _frozen_normalisations(model):
        layer.eval()


def _frozen_normalisations(model: nn.Module) -> Iterator[nn.Module]:
    for layer in model.modules():
        own = list(layer.parameters(recurse=False))
        if isinstance(layer, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            yield layer


def _roots(parameters: dict[str, nn.Parameter]) -> str:
    return ", ".join(dict.fromkeys(f"{name.partition('.')[0]}.*" for name in parameters))


def match_shapes(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Gives each parameter and buffer the shape that it has in `state`, for a model that grew while it was trained."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name in state and state[name].shape != tensor.shape:
            tensor.data = tensor.data.new_empty(state[name].shape)
