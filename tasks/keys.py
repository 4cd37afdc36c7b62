"""Cache keys: made of stage, version, config, content of the inputs and precision, not of machine or device."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from prefect.cache_policies import CacheKeyFnPolicy, CachePolicy
from prefect.context import TaskRunContext

from gaze_core.artifacts import Input, lineage_digest
from gaze_core.config import Config, Runtime
from gaze_core.errors import ContractViolation


@dataclass(frozen=True)
class Arguments:
    """The arguments of one stage call, by kind."""

    config: Config
    inputs: Mapping[str, Input]
    runtime: Runtime

    @classmethod
    def sort(cls, arguments: Mapping[str, Any]) -> "Arguments":
        """Separates the `config` and any `Runtime` from the inputs.

        Raises:
            ContractViolation: there is no `config` that is a `Config`.
        """
        config = arguments.get("config")
        if not isinstance(config, Config):
            raise ContractViolation(f"a stage takes a Config as 'config', found {type(config).__name__}")
        runtimes = [value for value in arguments.values() if isinstance(value, Runtime)]
        inputs = {
            name: value for name, value in arguments.items() if name != "config" and not isinstance(value, Runtime)
        }
        return cls(config, inputs, runtimes[0] if runtimes else Runtime())


def stage_key(stage: str, version: int, arguments: Mapping[str, Any]) -> str:
    """The name of one computation: of its cache record, its work folder, its lock and its MLflow run.

    Raises:
        ContractViolation: an argument has no digest.
    """
    sorted_arguments = Arguments.sort(arguments)
    config, inputs, runtime = sorted_arguments.config, sorted_arguments.inputs, sorted_arguments.runtime
    return f"{stage}-{lineage_digest(stage, version, config, inputs, runtime.precision)}"


def cache_policy(stage: str, version: int) -> CachePolicy:
    """Prefect's cache policy with `stage_key` as the key, so results are shared by all flow runs."""
    return CacheKeyFnPolicy(cache_key_fn=partial(_prefect_key, stage, version))


def _prefect_key(stage: str, version: int, _: TaskRunContext, arguments: dict[str, Any]) -> str:
    return stage_key(stage, version, arguments)
