"""What an evaluation keeps of each frame for the charts of its page: openings, loudness, lids and gaze over time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.config import Config
from gaze_core.errors import ContractViolation
from gaze_core.talker.report import Number, as_array, as_numbers


class Series(Config):
    """Values of each frame by name; times in seconds from the beginning of held-out time."""

    time_s: tuple[float, ...] = ()
    values: Mapping[str, tuple[Number, ...]] = {}

    @classmethod
    def of(cls, rate_hz: float, values: Mapping[str, Float[ndarray, " t"]]) -> "Series":
        """Rows of equal length."""
        count = max((len(row) for row in values.values()), default=0)
        return cls(
            time_s=tuple((np.arange(count) / rate_hz).round(4).tolist()),
            values={name: as_numbers(np.round(row, 5)) for name, row in values.items()},
        )

    def row(self, name: str) -> list[float]:
        """One row, NaN where nothing is known; empty if there is none."""
        return [float(value) for value in as_array(self.values[name])] if name in self.values else []

    def write(self, path: Path) -> Path:
        """As JSON."""
        path.write_text(self.model_dump_json())
        return path

    @classmethod
    def read(cls, path: Path) -> "Series":
        """What `write` wrote.

        Raises:
            ContractViolation: there is no such file, or it holds something else.
        """
        try:
            return cls.model_validate_json(path.read_text())
        except (OSError, ValueError) as error:
            raise ContractViolation(f"{path}: no series of a talking head ({error})") from error
