"""What readers of published layouts give to the conversion."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from gaze_core.config import Config
from gaze_core.estimation.recording_schema import RecordingInfo

Block = dict[str, Any]  # images and labels of some frames, as `RecordingWriter.append` takes them
BLOCK_FRAMES = 64


class CropSizes(Config):
    """Sides of the converted crops, px."""

    face_px: int = 224
    eye_px: int = 112


@dataclass(frozen=True, eq=False)
class Source:
    """One recording of a published layout, not read yet. `read` adds what it finds wrong to `problems`."""

    name: str  # for messages
    files: tuple[Path, ...]  # on which the result depends
    open: "Callable[[Source, CropSizes], Opened]"
    problems: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Adds a line on this recording."""
        self.problems.append(f"{self.name}: {text}")


@dataclass(frozen=True, eq=False)
class Opened:
    """A recording whose labels are read; its frames come block by block."""

    info: RecordingInfo
    num_frames: int
    blocks: Iterator[Block]


def resized(image: UInt8[ndarray, "h w 3"], side: int) -> UInt8[ndarray, "s s 3"]:
    """A square crop at another size."""
    if image.shape[:2] == (side, side):
        return image
    smaller = min(image.shape[:2]) > side
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))
