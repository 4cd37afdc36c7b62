"""Configuration values: frozen, closed, bounded, digestible. Building one does no I/O."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)

_IDENTITY = {"purpose": "identity"}  # serialisation context of a digest


class Config(BaseModel):
    """Base of every value that decides a result. Unknown keys are refused; equal values have equal digests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    added_later: ClassVar[frozenset[str]] = frozenset()
    """Fields that earlier releases did not have. At their defaults they are left out of the digest, so results that were
    computed before they existed keep their cache keys."""

    def digest(self) -> str:
        """First 12 hex digits of the sha256 of the canonical JSON; the identity of this configuration."""
        canonical = json.dumps(self.model_dump(mode="json", context=_IDENTITY), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @model_serializer(mode="wrap")
    def _serialize(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if info.context is _IDENTITY:
            fields = type(self).model_fields
            for name in self.added_later:
                if getattr(self, name) == fields[name].default:
                    del values[name]
        return values

    def named_paths(self) -> Iterator[Path]:
        """Each local file or folder named by the configuration or a nested one."""
        yield from _paths_in(dict(self))


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Config):
        yield from value.named_paths()
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _paths_in(item)


Precision = Literal["32-true", "bf16-mixed"]
FULL_PRECISION: Precision = "32-true"


class Runtime(Config):
    """How to run, not what to compute. Only the precision is part of cache keys; the rest does not change results."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = FULL_PRECISION  # part of the cache key and of the manifest
    num_workers: NonNegativeInt = 0  # loader processes that read images while a step computes
    num_processes: PositiveInt = 1  # training processes that share each batch, one per device
    log_every_steps: PositiveInt = 20
    checkpoint_every_steps: PositiveInt = 50
    progress: bool = True
