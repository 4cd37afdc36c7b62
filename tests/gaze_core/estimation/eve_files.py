"""Small recordings in the official layout of EVE, whose frames show their number as a gray level."""

import numpy as np

from gaze_core.estimation.eve_layout import GROUPS, write_eve
from gaze_core.estimation.screen import gaze_at
from gaze_core.estimation.viewing.setup import SCREEN_M, SCREEN_PX, camera_matrix, screen_seen_by

SIDE = 32


def gray(number):
    """Level of a face; eyes are 20 (left) and 40 (right) above it."""
    return 20 + 4 * number


def write_step(root, participant="train01", step="step007_image_a", camera="basler", count=20, groups=None, times=None):
    """Writes one camera's recording and returns its folder; `groups` and `times` (ns) change labels and times."""
    numbers = np.arange(count)
    screen = screen_seen_by(camera)
    pog_px = np.column_stack([400 + 50 * numbers, 300 + 20 * numbers % 700]).astype(float)
    rotation = np.repeat(np.eye(3)[None], count, 0)
    origin_m = np.column_stack([0.01 + 0 * numbers, 0.03 + 0 * numbers, 0.6 + 0.001 * numbers])
    gaze = gaze_at(pog_px / screen.px_per_m, rotation, origin_m, screen)
    always = np.ones(count, bool)
    values = {name: (np.zeros((count, *shape)), always) for name, shape in GROUPS.items()}
    for patch in ("face", "left", "right"):
        values |= {
            f"{patch}_g_tobii": (gaze, always), f"{patch}_PoG_tobii": (pog_px, always),
            f"{patch}_R": (rotation, always), f"{patch}_o": (1000 * origin_m, always),
        }  # fmt: skip
    values |= {"left_p": (np.full(count, 3.0), always), "right_p": (np.full(count, 4.0), always)}
    values |= groups or {}
    to_camera = screen.matrix
    to_camera[:3, 3] *= 1000
    per_px = np.asarray(SCREEN_M) * 1000 / SCREEN_PX
    constants = {
        "camera_matrix": camera_matrix(camera), "camera_transformation": to_camera,
        "inv_camera_transformation": np.linalg.inv(to_camera), "millimeters_per_pixel": per_px,
        "pixels_per_millimeter": 1 / per_px,
    }  # fmt: skip
    times = numbers * 1_000_000_000 // 60 if times is None else times
    write_eve(
        root / participant / step, camera, constants, {name: pair for name, pair in values.items() if pair}, times,
        {"face": [face(n) for n in numbers], "eyes": [eyes(n) for n in numbers]}, 60, 4, {},
    )  # fmt: skip
    return root / participant / step


def face(number):
    return np.full((SIDE, SIDE, 3), gray(number), np.uint8)


def eyes(number):
    """The left half is the subject's right eye."""
    both = np.full((SIDE, 2 * SIDE, 3), gray(number) + 20, np.uint8)
    both[:, :SIDE] = gray(number) + 40
    return both
