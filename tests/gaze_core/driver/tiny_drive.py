"""A drive small enough for tests: frames of a real recording as the driver's tile, beside a numbered road tile.

The table is made up: what its angles are does not matter to those who use it, only that they are known.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gaze_core.driver.drive_files import write_video
from gaze_core.driver.drive_images import panel_tile

NUM_FRAMES, FPS = 60, 30
LAYOUT = {"frame_px": (496, 352), "driver": (0, 0, 176, 144), "road": (176, 0, 320, 352)}


@dataclass(frozen=True)
class TinyDrive:
    video: Path
    table: Path
    azimuth_deg: np.ndarray
    elevation_deg: np.ndarray


def write_tiny_drive(folder: Path, faces: list[np.ndarray], dark: tuple[int, ...] = ()) -> TinyDrive:
    """`faces` (BGR, 176 x 144) are repeated; frames in `dark` show nobody."""

    def frames():
        for number in range(NUM_FRAMES):
            image = np.zeros((352, 496, 3), np.uint8)
            if number not in dark:
                image[:144, :176] = cv2.cvtColor(faces[number % len(faces)], cv2.COLOR_BGR2RGB)
            image[:, 176:] = panel_tile(number, "tiny")
            yield image

    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "drive.mp4", frames(), FPS)
    rng = np.random.default_rng(0)
    azimuth, elevation = rng.uniform(-20, 20, NUM_FRAMES), rng.uniform(-10, 10, NUM_FRAMES)
    lines = ["dash_frames,gaze x [px],gaze y [px],worn,azimuth [deg],elevation [deg],dash gaze x [px],dash gaze y [px]"]
    for number, (az, el) in enumerate(zip(azimuth, elevation, strict=True)):
        for _ in range(3):
            lines.append(f"{number},{544 + 13 * az},{540 - 13 * el},1,{az},{el},{160 + 4 * az},{170 - 4 * el}")
    (folder / "drive.csv").write_text("\n".join(lines) + "\n")
    return TinyDrive(folder / "drive.mp4", folder / "drive.csv", azimuth, elevation)
