"""Which gazes a model has learned from: a histogram over pitch and yaw in the head's frame, 5 degrees a cell.

`python -m gaze_core.studio.coverage SUBJECT.h5 ...` writes that of the shipped head, from the people it was trained on.
"""

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.atomic import write_text
from gaze_core.config import Config
from gaze_core.data.subjects import SubjectDataset
from gaze_core.studio.wishes import MAX_GAZE_DEG

CELL_DEG = 5.0
SHIPPED_COVERAGE = Path(str(files("gaze_core.models") / "weights" / "head_prior_coverage.json"))
_EDGES_DEG = np.arange(-MAX_GAZE_DEG, MAX_GAZE_DEG + CELL_DEG, CELL_DEG)


class Coverage(Config):
    """Share of the training frames in each cell; rows are pitch from -45 degrees up, columns yaw from -45 degrees on."""

    cell_deg: float = CELL_DEG
    most_deg: float = MAX_GAZE_DEG
    share: tuple[tuple[float, ...], ...]
    num_frames: int

    @classmethod
    def of(cls, gaze_head_rad: Float[ndarray, "n 2"]) -> Self:
        """The histogram of `[pitch, yaw]`; frames beyond 45 degrees are left out."""
        gaze_deg = np.rad2deg(gaze_head_rad[np.isfinite(gaze_head_rad).all(axis=1)])
        counts, _, _ = np.histogram2d(gaze_deg[:, 0], gaze_deg[:, 1], bins=(_EDGES_DEG, _EDGES_DEG))
        total = max(float(counts.sum()), 1.0)
        rows = tuple(tuple(round(float(value), 6) for value in row) for row in counts / total)
        return cls(share=rows, num_frames=int(counts.sum()))

    @classmethod
    def of_subjects(cls, paths: list[Path]) -> Self:
        """The gaze of all usable frames of subject files."""
        return cls.of(np.concatenate([np.asarray(SubjectDataset(path).labels["gaze_head"]) for path in paths]))

    @classmethod
    def shipped(cls) -> Self | None:
        """That of the shipped head; None if the installation has none."""
        return cls.model_validate(json.loads(SHIPPED_COVERAGE.read_text())) if SHIPPED_COVERAGE.is_file() else None


if __name__ == "__main__":
    write_text(SHIPPED_COVERAGE, Coverage.of_subjects([Path(name) for name in sys.argv[1:]]).model_dump_json() + "\n")
