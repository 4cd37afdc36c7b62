"""A synthetic drive as files: a video of three tiles, the eye tracker's table, and the ground truth.

The table has the columns of DashGaze's, with a byte-order mark, 200 rows a second, noise, blinks, and a few rows lost.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gaze_core.atomic import replacing
from gaze_core.driver.drive_images import (
    LAYOUT,
    driver_tile,
    focal_factor,
    panel_tile,
    read_key,
    render_keys,
    road_point_px,
    road_tile,
)
from gaze_core.driver.drive_plan import MOUNT_DEG, DriveConfig, DriveMoment, mount_matrix
from gaze_core.driver.shipped_files import SETTINGS_FILE, TABLE_FILE, VIDEO_FILE
from gaze_core.errors import BadInput
from gaze_core.preprocess.images import RgbImage

TRUTH_FILE = "truth.json"
GENERATOR_VERSION = 1  # raise when the same configuration no longer gives the same drive
HEADER = (
    "timestamp [ns]", "dash_frames", "gaze x [px]", "gaze y [px]", "worn", "blink id", "azimuth [deg]",
    "elevation [deg]", "dash gaze x [px]", "dash gaze y [px]", "scenario",
)  # fmt: skip
_SCENE_FOCAL_PX, _SCENE_CENTER_PX = 770.0, (544.0, 540.0)  # of the glasses' camera
_KEYS = "keys-"  # prefix of the folder of rendered images
_LOST_SHARE = 0.003  # of the frames: no row at all
ProgressCallback = Callable[[int, int], None]


def synthesize_drive(config: DriveConfig, out: Path, num_workers: int, advance: ProgressCallback | None = None) -> Path:
    """Writes the drive to `out` and returns the video's path. After an interruption it renders only the missing images.

    Raises:
        BadInput: `out` holds other things, anny or mitsuba is not installed, or OpenCV cannot write MPEG-4.
    """
    if out.is_dir() and any(out.iterdir()) and not any(out.glob(f"{_KEYS}*")):
        raise BadInput(
            f"{out}: not empty, and not a synthetic drive; its files could be overwritten; choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    keys = out / f"{_KEYS}{GENERATOR_VERSION}-{config.digest()}"
    moments = render_keys(config, keys, num_workers, lambda done: advance(done, config.num_keys) if advance else None)
    write_table(out / TABLE_FILE, moments, config)
    write_video(out / VIDEO_FILE, drive_frames(config, moments, keys), config.frames_per_s)
    (out / SETTINGS_FILE).write_text(json.dumps(settings(config), indent=1) + "\n")
    (out / TRUTH_FILE).write_text(json.dumps(_truth(config, moments), indent=1) + "\n")
    return out / VIDEO_FILE


def settings(config: DriveConfig) -> dict[str, Any]:
    """Settings of the extractor for this drive: `gazeworks driver run --settings`."""
    return {"layout": LAYOUT.model_dump(mode="json"), "focal_factor": focal_factor(config)}


def drive_frames(config: DriveConfig, moments: list[DriveMoment], keys: Path) -> Iterator[RgbImage]:
    """The frames of the video: each rendered image of the driver is repeated for several frames while the road moves."""
    for key, moment in enumerate(moments):
        driver = driver_tile(read_key(keys, key), moment.exposure)
        for frame in range(key * config.frames_per_key, (key + 1) * config.frames_per_key):
            yield np.concatenate(
                [driver, road_tile(frame, moment.exposure), panel_tile(frame, moment.scenario)], axis=1
            )


def write_video(path: Path, frames: Iterator[RgbImage], frames_per_s: float) -> None:
    """An MPEG-4 file that appears when it is complete.

    Raises:
        BadInput: this build of OpenCV cannot write MPEG-4.
    """
    writer: Any = None
    with ExitStack() as stack:
        for image in frames:
            if writer is None:
                partial = stack.enter_context(replacing(path, ".partial.mp4"))
                size_px = (image.shape[1], image.shape[0])
                writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*"mp4v"), frames_per_s, size_px)
                stack.callback(writer.release)
                if not writer.isOpened():
                    raise BadInput(f"{path}: OpenCV cannot write MPEG-4 here; install opencv-python-headless")
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_table(path: Path, moments: list[DriveMoment], config: DriveConfig) -> None:
    """The eye tracker's CSV."""
    rng = np.random.default_rng([config.seed, config.identity_seed, 1])
    lost = rng.random(config.num_frames) < _LOST_SHARE
    blink, was_blink = 0, False
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(HEADER)
        for sample in range(config.num_frames * config.tracker_hz // config.frames_per_s):
            frame = sample * config.frames_per_s // config.tracker_hz
            moment = moments[frame // config.frames_per_key]
            blink += moment.blink and not was_blink
            was_blink = moment.blink
            noise_deg = config.tracker_noise_deg * rng.normal(size=2)
            if not lost[frame]:
                time_ns = sample * 1_000_000_000 // config.tracker_hz
                rows.writerow([time_ns, frame, *_cells(moment, noise_deg, blink), moment.scenario])


def _cells(moment: DriveMoment, noise_deg: np.ndarray, blink: int) -> list[str]:
    """Scene pixels, worn, blink id, azimuth, elevation and dash pixels of one row."""
    if moment.blink:  # the tracker goes on guessing
        return ["", "", "1", str(blink), *(f"{value:.4f}" for value in 10 * noise_deg), "", ""]
    elevation, azimuth = np.deg2rad(np.rad2deg(moment.tracker) + noise_deg)
    x = _SCENE_CENTER_PX[0] + _SCENE_FOCAL_PX * math.tan(azimuth)
    y = _SCENE_CENTER_PX[1] - _SCENE_FOCAL_PX * math.tan(elevation) / math.cos(azimuth)
    road = road_point_px(moment)
    return [
        f"{x:.2f}", f"{y:.2f}", "1", "", f"{math.degrees(azimuth):.4f}", f"{math.degrees(elevation):.4f}",
        *(f"{value:.2f}" for value in road or ()), *([] if road else ["", ""]),
    ]  # fmt: skip


def _truth(config: DriveConfig, moments: list[DriveMoment]) -> dict[str, Any]:
    return {
        "generator_version": GENERATOR_VERSION,
        "config": config.model_dump(mode="json"),
        "mount_pitch_yaw_roll_deg": MOUNT_DEG,
        "mount": mount_matrix().tolist(),
        "head_to_cabin": [moment.head_to_cabin.tolist() for moment in moments],
        "gaze_head_rad": [moment.gaze_head.tolist() for moment in moments],
        "targets": [moment.target for moment in moments],
    }
