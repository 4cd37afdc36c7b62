"""Plain parameters of a declaration of typed fields; options and forms are made from them."""

import inspect
import types
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt
from pydantic.fields import FieldInfo

from gaze_core.config import Config, Runtime
from gaze_core.plans.request import Flag

REQUIRED = inspect.Parameter.empty
_RUNTIME = {
    "device": ("device", "Where to compute."),
    "precision": ("precision", "Arithmetic precision of training."),
    "processes": ("num_processes", "Training processes that share each batch, one per device of the machine."),
    "workers": ("num_workers", "Data loader processes."),
}
RUNTIME = tuple(_RUNTIME)  # how users call the options of `Runtime`


@dataclass(frozen=True)
class Parameter:
    """One field as a user sees it. `kind` is its type without None; `constraints` are pydantic's, such as `Ge(1)`."""

    name: str
    flag: str
    kind: Any
    default: Any
    description: str
    constraints: tuple[Any, ...] = ()

    @property
    def is_path(self) -> bool:
        return self.kind is Path

    @property
    def is_list(self) -> bool:
        return get_origin(self.kind) is tuple

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def minimum(self) -> int | None:
        """The smallest value that is taken, if there is one."""
        return next((int(str(bound.ge)) for bound in self.constraints if isinstance(bound, Ge)), None)


def parameters(request: type[Config]) -> list[Parameter]:
    """The parameters of a request: those of its own fields first, then those of its bases' fields."""
    fields = request.model_fields
    names = dict.fromkeys(name for kind in request.__mro__ for name in vars(kind).get("__annotations__", ()))
    return [_parameter(name, fields[name]) for name in names if name in fields]


def runtime_parameters(names: tuple[str, ...]) -> list[Parameter]:
    """The parameters of these options of `Runtime`."""
    rows = [(name, *_RUNTIME[name]) for name in names]
    return [
        replace(_parameter(field, Runtime.model_fields[field]), name=name, flag=f"--{name}", description=description)
        for name, field, description in rows
    ]


def runtime_of(values: dict[str, Any], progress: bool) -> dict[str, Any]:
    """Takes the options of `Runtime` out of the values, as fields of `Runtime`."""
    return {_RUNTIME[name][0]: values.pop(name) for name in RUNTIME if name in values} | {"progress": progress}


def _parameter(name: str, field: FieldInfo) -> Parameter:
    kind: Any = field.annotation
    if get_origin(kind) in (Union, types.UnionType):  # X | None
        (kind,) = (option for option in get_args(kind) if option is not types.NoneType)
    flags = [item.name for item in field.metadata if isinstance(item, Flag)]
    default = REQUIRED if field.is_required() else field.default if field.default_factory is None else None
    constraints = tuple(
        Ge(int(str(item.gt)) + 1) if kind is int and isinstance(item, Gt) else item  # forms show bounds inclusively
        for item in field.metadata
        if not isinstance(item, Flag)
    )
    return Parameter(name, flags[0] if flags else f"--{name}", kind, default, field.description or "", constraints)
