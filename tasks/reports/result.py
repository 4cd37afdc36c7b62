"""The result of a run of any system, and its final state."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from prefect.states import Completed

from gaze_core.config import Config


class RunResult(Config):
    """Paths of report and checkpoints, verdict, main numbers, failed checks and warnings about the data."""

    report: Path
    verdict: str
    numbers: Mapping[str, float | None]
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    checkpoints: Mapping[str, str] = {}

    def headline(self) -> list[str]:
        """The lines that the command line prints first."""
        return [*number_lines(self.numbers), f"verdict: {self.verdict}"]


R = TypeVar("R", bound=RunResult)


def finished(result: R, reasons: tuple[str, ...] = ()) -> R:
    """A flow's return value: the result, or if it is worse a completed state named `Regressed` that holds the result."""
    if result.verdict == "regressed":
        return Completed(name="Regressed", message="; ".join(reasons), data=result)  # type: ignore[return-value]
    return result


def number_lines(numbers: Mapping[str, float | None]) -> list[str]:
    """Names and values in two columns."""
    return [f"{name:32} {'n/a' if value is None else f'{value:.2f}'}" for name, value in numbers.items()]
