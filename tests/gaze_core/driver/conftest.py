"""A tiny drive with a real face, extracted once; skipped where there are no recordings."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from gaze_core.config import Runtime
from gaze_core.driver.blocks import BlockConfig
from gaze_core.driver.extraction import ExtractConfig
from gaze_core.driver.tiles import TileLayout
from gaze_core.stages.context import StageContext
from gaze_core.stages.driver import extract
from tests.gaze_core.driver.tiny_drive import LAYOUT, TinyDrive, write_tiny_drive

BLOCKS = BlockConfig(num_stretches=1, gap_s=0.05, validation_fraction=0.2)
CONFIG = ExtractConfig(num_frames=24, layout=TileLayout(**LAYOUT), blocks=BLOCKS, size_px=64)


@pytest.fixture(scope="session")
def driver_faces(shared_data: Path) -> list[np.ndarray]:
    """A dozen frames of a man in a car (BGR)."""
    capture = cv2.VideoCapture(str(shared_data / "carphone.mp4"))
    images = [capture.read()[1] for _ in range(48)][::4]
    if any(image is None for image in images):
        pytest.skip("carphone.mp4 cannot be read")
    return images


@pytest.fixture(scope="session")
def tiny_drive(driver_faces: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> TinyDrive:
    return write_tiny_drive(tmp_path_factory.mktemp("drive"), driver_faces, dark=(3, 41))


Extract = Callable[..., Path]


@pytest.fixture(scope="session")
def extract_into(shared_data: Path) -> Extract:
    """Runs the stage as a task would: inputs as folders of one file, results in the work folder."""

    def run(root: Path, config: ExtractConfig = CONFIG, context: StageContext | None = None, **files: Path):
        inputs = {}
        for name, path in files.items():
            inputs[name] = root / "inputs" / name
            inputs[name].mkdir(parents=True, exist_ok=True)
            shutil.copy(path, inputs[name] / path.name)
        context = context or StageContext(Runtime(device="cpu", progress=False), root / "work")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GAZEWORKS_ASSETS", str(shared_data))
            produced = extract.run(config, inputs, context)
        return root / "work" / "drive", produced

    return run


@pytest.fixture(scope="session")
def extracted(tiny_drive: TinyDrive, extract_into: Extract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny drive's folder after extraction, in the face camera's frame, since nobody looked where its table says."""
    config = CONFIG.model_copy(update={"gaze_frame": "camera", "num_frames": 40})
    folder, _ = extract_into(
        tmp_path_factory.mktemp("extracted"), config, video=tiny_drive.video, sensors=tiny_drive.table
    )
    return folder
