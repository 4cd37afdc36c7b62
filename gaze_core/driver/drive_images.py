"""Images of a synthetic drive: the driver, path traced, in a painted cabin; the road ahead; a panel with the number.

The driver's tile is the image of a pinhole camera with its principal point in the middle.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gaze_core.atomic import replacing
from gaze_core.driver.drive_plan import CAMERA_M, DriveConfig, DriveMoment, camera_extrinsics, plan_drive
from gaze_core.driver.tiles import TileLayout
from gaze_core.errors import BadInput
from gaze_core.preprocess.images import RgbImage
from gaze_core.synthesis.factory import make_person, place
from gaze_core.synthesis.rig import View
from gaze_core.synthesis.scene import load_mitsuba, render_head, use_one_thread
from gaze_core.workers import worker_pool

_HEAD_M = 0.27  # side of the rendered square at the driver's distance
DRIVER_PX, ROAD_PX, PANEL_PX = (320, 352), (480, 352), (320, 352)  # (width, height)
LAYOUT = TileLayout(
    frame_px=(DRIVER_PX[0] + ROAD_PX[0] + PANEL_PX[0], 352),
    driver=(0, 0, *DRIVER_PX),
    road=(DRIVER_PX[0], 0, *ROAD_PX),
)
ROAD_FOCAL_PX, HORIZON_PX = 330.0, 150
NUM_BITS = 20
_CHUNK = 8
_SIDE_PX = 192  # of the rendered square in the driver's tile
_SHIRT = (58.0, 74.0, 104.0)


def head_view(config: DriveConfig) -> View:
    """The camera of the rendered square."""
    return View(size_px=config.head_px, focal_px=config.head_px * CAMERA_M / _HEAD_M)


def focal_factor(config: DriveConfig) -> float:
    """Focal length over the longer side of the driver's tile, as `ExtractConfig` wants it."""
    return head_view(config).focal_px * (_SIDE_PX / config.head_px) / max(DRIVER_PX)


def render_keys(
    config: DriveConfig, folder: Path, num_workers: int, advance: Callable[[int], None]
) -> list[DriveMoment]:
    """Renders `folder/key_00000.png` ... with alpha, unless the files exist. Returns the moments.

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    load_mitsuba()
    person = make_person(config.identity_seed, 1)
    moments = plan_drive(config, person.head.eye_centers_m)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [key for key in range(config.num_keys) if not key_path(folder, key).is_file()]
    with worker_pool(num_workers, use_one_thread) as pool:
        chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
        work = pool.map(_render_chunk, [config] * len(chunks), [folder] * len(chunks), chunks)
        for chunk, _ in zip(chunks, work, strict=True):
            advance(chunk[-1] + 1)
    return moments


def key_path(folder: Path, key: int) -> Path:
    """Path of a rendered image."""
    return folder / f"key_{key:05d}.png"


def _render_chunk(config: DriveConfig, folder: Path, keys: list[int]) -> None:
    person = make_person(config.identity_seed, 1)
    moments = plan_drive(config, person.head.eye_centers_m)
    for key in keys:
        moment = moments[key]
        vertices_m = person.head.vertices(moment.expression, moment.gaze_head_eyes)
        surfaces = place(person, vertices_m, moment.gaze_head_eyes, moment.head_to_cabin)
        image = render_head(
            *surfaces, moment.light, head_view(config), camera_extrinsics(), config.num_samples, seed=key
        )
        rgba = np.dstack([image.image[..., ::-1], image.head_mask])
        with replacing(key_path(folder, key)) as partial:
            partial.write_bytes(cv2.imencode(".png", rgba)[1].tobytes())


def driver_tile(rgba: UInt8[ndarray, "h w 4"], exposure: float) -> RgbImage:
    """The driver in the cabin. `rgba` is a rendered square (blue first), which goes to the middle of the tile."""
    tile = _cabin()
    side = _SIDE_PX
    scaled = cv2.resize(rgba, (side, side), interpolation=cv2.INTER_AREA if rgba.shape[0] > side else cv2.INTER_CUBIC)
    alpha = cv2.GaussianBlur(cv2.erode(scaled[..., 3], np.ones((3, 3), np.uint8)), (0, 0), 0.8)[..., None] / 255
    left, top = (DRIVER_PX[0] - side) // 2, (DRIVER_PX[1] - side) // 2
    window = tile[top : top + side, left : left + side]
    window[:] = alpha * scaled[..., 2::-1] + (1 - alpha) * window
    # The shirt begins where the rendered neck ends.
    neck = np.flatnonzero(scaled[side - 2, :, 3] > 127) + left
    middle = int(neck.mean()) if len(neck) else DRIVER_PX[0] // 2
    cv2.ellipse(tile, (middle, DRIVER_PX[1] + 8), (130, 92), 0, 180, 360, _SHIRT, -1, cv2.LINE_AA)
    return (tile * exposure).clip(0, 255).astype(np.uint8)


def _cabin() -> Float[ndarray, "h w 3"]:
    width, height = DRIVER_PX
    rows = np.linspace(0, 1, height)[:, None, None]
    tile = np.broadcast_to((1 - rows) * (70.0, 72, 78) + rows * (38.0, 36, 36), (height, width, 3)).copy()
    cv2.fillPoly(tile, [np.array([[0, 40], [70, 30], [88, 150], [0, 168]])], (196.0, 214, 226))  # side window
    cv2.fillPoly(tile, [np.array([[250, 34], [320, 44], [320, 150], [262, 140]])], (170.0, 186, 196))
    cv2.rectangle(tile, (96, 60), (224, 196), (58.0, 54, 52), -1)  # headrest
    cv2.rectangle(tile, (60, 210), (260, height), (50.0, 47, 46), -1)
    return np.asarray(cv2.GaussianBlur(tile, (0, 0), 5))


def road_point_px(moment: DriveMoment) -> tuple[float, float] | None:
    """The gaze point in the road tile, or None outside it. The road camera is at the driver's eyes and looks ahead."""
    x, y, z = moment.target_m
    if z >= 0:
        return None
    point = (ROAD_PX[0] / 2 + ROAD_FOCAL_PX * float(x / z), HORIZON_PX - ROAD_FOCAL_PX * float(y / z))
    return point if 0 <= point[0] < ROAD_PX[0] and 0 <= point[1] < ROAD_PX[1] else None


def road_tile(frame: int, exposure: float) -> RgbImage:
    """A straight road whose lane marks come nearer."""
    width, height = ROAD_PX
    image = np.zeros((height, width, 3), np.float32)
    image[:HORIZON_PX] = np.linspace((120, 160, 205), (205, 220, 232), HORIZON_PX)[:, None]
    image[HORIZON_PX:] = (96, 116, 78)
    middle = width // 2
    cv2.fillPoly(image, [np.array([[middle - 4, HORIZON_PX], [middle + 4, HORIZON_PX], [width + 60, height], [-60, height]])],
                 (92, 92, 96))  # fmt: skip
    for side in (-1, 1):
        for mark in range(12):
            distance_m = 3 + (mark * 6 - frame * 0.5) % 72
            near, far = 1.2 * ROAD_FOCAL_PX / distance_m, 1.2 * ROAD_FOCAL_PX / (distance_m + 2.5)
            ends = [(middle + round(side * 1.45 * s), HORIZON_PX + round(s)) for s in (near, far)]
            cv2.line(image, ends[0], ends[1], (236, 236, 230), max(1, round(near / 28)), cv2.LINE_AA)
    cv2.rectangle(image, (0, height - 26), (width, height), (30, 30, 34), -1)  # the bonnet
    return (image * exposure).clip(0, 255).astype(np.uint8)


def panel_tile(frame: int, scenario: str) -> RgbImage:
    """A panel with the words "synthetic drive", the scenario, and the frame number as text and as binary bars (white is 1)."""
    width, height = PANEL_PX
    image = np.full((height, width, 3), 24, np.uint8)
    for row, text in enumerate(("synthetic drive", scenario, f"frame {frame}")):
        cv2.putText(image, text, (20, 60 + 40 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (210, 210, 210), 1, cv2.LINE_AA)
    for bit in range(NUM_BITS):
        if frame >> bit & 1:
            cv2.rectangle(image, (16 * bit, height - 80), (16 * bit + 15, height - 20), (255, 255, 255), -1)
    return image


def read_key(folder: Path, key: int) -> UInt8[ndarray, "h w 4"]:
    """A rendered image.

    Raises:
        BadInput: it is missing or damaged.
    """
    rgba = cv2.imread(str(key_path(folder, key)), cv2.IMREAD_UNCHANGED)
    if rgba is None or rgba.ndim != 3 or rgba.shape[2] != 4:
        raise BadInput(f"{key_path(folder, key)}: not a rendered image; remove it and run the command again")
    return np.asarray(rgba)
