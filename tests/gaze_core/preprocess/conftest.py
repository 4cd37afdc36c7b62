"""Recordings and the landmarker, where they lie beside the checkout."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def landmarker(shared_data: Path) -> Path:
    """The MediaPipe face landmarker."""
    path = shared_data / "face_landmarker.task"
    if not path.is_file():
        pytest.skip(f"no {path.name} at {shared_data}")
    return path


@pytest.fixture(scope="session")
def video_frames(shared_data: Path) -> Callable[[str, tuple[int, ...]], list[np.ndarray]]:
    """Reads frames (BGR) of a recording by index."""

    def read(name: str, wanted: tuple[int, ...]) -> list[np.ndarray]:
        capture = cv2.VideoCapture(str(shared_data / name))
        frames = {}
        for index in range(max(wanted) + 1):
            decoded, image = capture.read()
            if not decoded:
                pytest.skip(f"{name} has no frame {index}")
            if index in wanted:
                frames[index] = image
        return [frames[index] for index in wanted]

    return read


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[list[np.ndarray], str], Path]:
    """Writes images (BGR) as a folder of PNG files."""

    def write(images: list[np.ndarray], name: str = "images") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index, image in enumerate(images):
            cv2.imwrite(str(folder / f"{index:04d}.png"), image)
        return folder

    return write
