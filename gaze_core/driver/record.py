"""The record of an extracted drive beside its subject file: the tracker's angles, the images, and how they were made."""

from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import NonNegativeInt, ValidationError

from gaze_core.config import Config
from gaze_core.driver.calibration import GazeFrame, Mount
from gaze_core.errors import ContractViolation

DRIVE_FILE, IMAGES = "drive.json", "frames"


class DriveFrame(Config):
    """One row of the subject file, at the same position. The signs of the angles are verified."""

    frame: NonNegativeInt  # of the video
    time_s: float
    scenario: str
    azimuth_deg: float | None = None
    elevation_deg: float | None = None
    azimuth_spread_deg: float | None = None
    elevation_spread_deg: float | None = None
    num_rows: NonNegativeInt = 0  # valid rows of the table
    road_px: tuple[float, float] | None = None  # where the gaze meets the road tile


class DriveRecord(Config):
    """A drive as it was extracted."""

    name: str
    video_sha256: str  # identifies the recording independently of its file name
    labelled: bool
    gaze_frame: GazeFrame
    frames: tuple[DriveFrame, ...]
    has_road: bool
    focal_factor: float  # assumed focal length over the longer side of the driver's image
    duration_s: float
    requested: NonNegativeInt
    dropped: dict[str, int]  # frames by reason
    row_faults: dict[str, int]  # rows of the table by reason
    sign_correlations: tuple[float | None, float | None] = (None, None)  # azimuth with x, elevation with y
    mount: Mount | None = None
    warnings: tuple[str, ...] = ()

    @property
    def times_s(self) -> Float[ndarray, " n"]:
        """Times of the frames."""
        return np.array([frame.time_s for frame in self.frames])

    @property
    def tracker(self) -> Float[ndarray, "n 2"]:
        """`[elevation, azimuth]` in radians."""
        if not self.labelled:
            raise ContractViolation(f"{self.name}: has no gaze labels; extract it again with the eye tracker's CSV")
        pairs = [[frame.elevation_deg, frame.azimuth_deg] for frame in self.frames]
        return np.deg2rad(np.array(pairs, dtype=float))

    def image(self, folder: Path, position: int, view: str) -> Path:
        """The image of a row: `view` is driver or road; `folder` holds the extracted drive."""
        return folder / image_name(self.frames[position].frame, view)

    def write(self, folder: Path) -> Path:
        """Writes the record and returns its path."""
        path = folder / DRIVE_FILE
        path.write_text(self.model_dump_json(indent=1))
        return path

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record of an extracted drive.

        Raises:
            ContractViolation: the folder holds no record.
        """
        try:
            return cls.model_validate_json((folder / DRIVE_FILE).read_text())
        except (OSError, ValidationError) as error:
            raise ContractViolation(
                f"{folder}: no extracted drive ({DRIVE_FILE} is missing or of another version); run: gazeworks driver "
                "extract"
            ) from error


def image_name(frame: int, view: str) -> str:
    """Name of a frame's image within an extracted drive."""
    return f"{IMAGES}/{view}/frame_{frame:05d}.jpg"
