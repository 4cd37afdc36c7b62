"""Freezes parameters of a model by name pattern.

A pattern is matched against the full parameter name with `fnmatch`, so `backbone.*` matches the whole backbone.
A normalisation layer whose parameters are all frozen also keeps its running statistics, which would drift otherwise.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gaze_core.errors import BadInput


@contextmanager
def frozen(model: nn.Module, patterns: Sequence[str]) -> Iterator[None]:
    """Context in which parameters that match one of `patterns` are not trained; others are left as they are.

    Raises:
        BadInput: a pattern matches no parameter, or no parameter is left to train.
    """
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in parameters):
            raise BadInput(f"frozen: {pattern!r} matches no parameter; expected a pattern of {_top_levels(parameters)}")
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
    """Puts the model into training mode, except for frozen normalisation layers."""
    model.train()
    for layer in _frozen_normalisations(model):
        layer.eval()


def _frozen_normalisations(model: nn.Module) -> Iterator[nn.Module]:
    for layer in model.modules():
        own = list(layer.parameters(recurse=False))
        if isinstance(layer, _BatchNorm) and own and not any(parameter.requires_grad for parameter in own):
            yield layer


def _top_levels(parameters: dict[str, nn.Parameter]) -> str:
    return ", ".join(dict.fromkeys(f"{name.partition('.')[0]}.*" for name in parameters))


def match_shapes(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Gives each parameter and buffer its shape in `state`, for a model whose shapes changed during training."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name in state and state[name].shape != tensor.shape:
            tensor.data = tensor.data.new_empty(state[name].shape)
