"""Fixtures of the evaluation tests."""

from importlib import resources
from pathlib import Path

import pytest

from gaze_core.data.batch import GazeBatch
from gaze_core.data.subjects import SubjectDataset


@pytest.fixture(scope="session")
def synthetic_pack() -> GazeBatch:
    """A few images of the shipped subject."""
    path = Path(str(resources.files("gaze_core") / "data" / "packs" / "synthetic_128.h5"))
    return SubjectDataset(path, subset=tuple(range(0, 200, 40))).everything
