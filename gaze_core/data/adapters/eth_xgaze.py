"""ETH-XGaze's normalised release: one HDF5 file per subject, 224 or 448 px, blue first.

Each row is one image of one of 18 cameras. `face_mat_norm` turns the real camera's frame into the virtual one's; the
rig's extrinsics are not in the file, so the world of each row is its own camera. Test subjects have no `face_gaze`.
"""

from collections.abc import Iterator

import numpy as np

from gaze_core.data.adapters.angles import head_rotation, to_canonical
from gaze_core.data.adapters.fields import (
    angles_in_range,
    gaze_fields,
    nominal_camera,
    nominal_head,
    outcomes,
    rgb_image,
    rigid,
    rotation,
)
from gaze_core.data.adapters.hdf5 import Column, Rows, opened
from gaze_core.data.adapters.spec import Outcome, Sample, Subject
from gaze_core.data.adapters.units import PIXEL_CENTER
from gaze_core.geometry.landmarks import NUM_LANDMARKS

COLUMNS = (
    Column("face_patch", (None, None, 3), is_image=True),
    Column("face_gaze", (2,), optional=True),
    Column("face_head_pose", (2,)),
    Column("face_mat_norm", (3, 3)),
    Column("facial_landmarks", (NUM_LANDMARKS, 2), optional=True),
    Column("frame_index", (1,)),
    Column("cam_index", (1,)),
)


def read_eth_xgaze(subject: Subject) -> Iterator[Outcome]:
    """The rows of one subject's file, one image in memory at a time."""
    with opened(subject.path) as file:
        rows = Rows(file, COLUMNS)
        yield from outcomes(len(rows), lambda index: _sample(rows, index, subject))


def _sample(rows: Rows, index: int, subject: Subject) -> Sample:
    image = rgb_image(rows.read("face_patch", index), subject.is_bgr)
    view, size_px = subject.spec.view, (image.shape[1], image.shape[0])
    head_pose = angles_in_range(rows.numbers("face_head_pose", index), "face_head_pose")
    to_virtual = rigid(rotation(rows.numbers("face_mat_norm", index), "face_mat_norm"), np.zeros(3))
    head = head_rotation(head_pose)
    sample: Sample = {
        "image": image,
        "intrinsics_px": nominal_camera(view, size_px),
        "world_to_camera": to_virtual,
        "head_to_world": nominal_head(head, view, to_virtual),
        "frame_index": rows.read("frame_index", index)[0],
        "camera_index": rows.read("cam_index", index)[0],
    }
    if "facial_landmarks" in rows:
        sample["landmarks_2d_px"] = rows.numbers("facial_landmarks", index) + PIXEL_CENTER
    if "face_gaze" in rows:
        gaze = to_canonical(rows.numbers("face_gaze", index), subject.spec.layout.angles)
        sample |= gaze_fields(angles_in_range(gaze, "face_gaze"), head)
    return sample
