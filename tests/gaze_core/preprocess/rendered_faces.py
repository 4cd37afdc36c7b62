"""Pictures with faces of the rendered person that ships with the package."""

from importlib import resources

import cv2
import h5py
import numpy as np


def rendered_face(number=0, side_px=512):
    """RGB."""
    with (
        resources.as_file(resources.files("gaze_core.data.packs") / "synthetic_128.h5") as path,
        h5py.File(path) as pack,
    ):
        small = pack["image"][number]
    return cv2.resize(small, (side_px, side_px), interpolation=cv2.INTER_CUBIC)


def side_by_side(left, right, height_px=600):
    """Two pictures on white."""
    out = np.full((height_px, left.shape[1] + right.shape[1], 3), 255, np.uint8)
    out[: left.shape[0], : left.shape[1]] = left
    out[: right.shape[0], left.shape[1] :] = right
    return out
