"""The files of earlier DashGaze scripts: `frame_00042_driver.jpg`, `..._road.jpg` and `..._gt.json`."""

import json
import shutil
from pathlib import Path

from gaze_core.atomic import replacing, write_text
from gaze_core.driver.record import DriveFrame, DriveRecord
from gaze_core.errors import BadInput

_SIGNS = "azimuth_deg > 0: wearer's right, elevation_deg > 0: up"


def write_legacy(drive: Path, out: Path) -> int:
    """Writes three files for each labelled frame of an extracted drive, two without a road; returns how many frames.

    Files are numbered by video frame. Each is written atomically.

    Raises:
        BadInput: the drive has no labels.
    """
    record = DriveRecord.read(drive)
    if not record.labelled:
        raise BadInput(f"{record.name}: has no gaze labels, so there is no ground truth to write; give the table")
    out.mkdir(parents=True, exist_ok=True)
    for position, row in enumerate(record.frames):
        name = f"frame_{row.frame:05d}"
        for view in ("driver", "road") if record.has_road else ("driver",):
            image = record.image(drive, position, view)
            with replacing(out / f"{name}_{view}.jpg") as partial:
                shutil.copyfile(image, partial)
        text = json.dumps(_truth(row, record), indent=1, allow_nan=False)
        write_text(out / f"{name}_gt.json", text)
    return len(record.frames)


def _truth(row: DriveFrame, record: DriveRecord) -> dict[str, object]:
    return {
        "azimuth_deg": row.azimuth_deg,
        "elevation_deg": row.elevation_deg,
        "azimuth_spread_deg": row.azimuth_spread_deg,
        "elevation_spread_deg": row.elevation_spread_deg,
        "num_rows": row.num_rows,
        "video_frame": row.frame,
        "time_s": row.time_s,
        "frame_of_reference": "glasses' scene camera" if record.gaze_frame == "scene" else "face camera",
        "signs": _SIGNS,
    }
