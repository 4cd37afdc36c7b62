"""FAZE's and STED's layout: one HDF5 file per data set with one group per person, `pixels` and `labels`.

Four label columns: gaze and head, `[pitch, yaw]`. Eight: the left and the right eye's gaze after them, the subject's
own sides. All are in the virtual camera's frame. A group may be empty or hold a single image.
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
)
from gaze_core.data.adapters.hdf5 import Column, Rows, opened
from gaze_core.data.adapters.spec import Outcome, Sample, Subject
from gaze_core.errors import BadInput

COLUMNS = (Column("pixels", (None, None, 3), is_image=True), Column("labels", (None,)))
GAZE, HEAD, EYES = slice(0, 2), slice(2, 4), slice(4, 8)
WITHOUT_EYES, WITH_EYES = 4, 8


def read_sted(subject: Subject) -> Iterator[Outcome]:
    """The rows of one person's group, one image in memory at a time."""
    with opened(subject.path) as file:
        rows = Rows(file[subject.name], COLUMNS)
        width = file[subject.name]["labels"].shape[1]
        if width not in (WITHOUT_EYES, WITH_EYES):
            raise BadInput(
                f"{subject.path}/{subject.name}: labels should have shape (N, {WITHOUT_EYES}) or (N, {WITH_EYES}), "
                f"found (N, {width}); is it a FAZE or STED file?"
            )
        yield from outcomes(len(rows), lambda index: _sample(rows, index, subject))


def _sample(rows: Rows, index: int, subject: Subject) -> Sample:
    labels = rows.numbers("labels", index)
    image = rgb_image(rows.read("pixels", index), subject.is_bgr)
    head = head_rotation(angles_in_range(labels[HEAD], "head"))
    convention, view = subject.spec.layout.angles, subject.spec.view
    gaze = angles_in_range(to_canonical(labels[GAZE], convention), "gaze")
    eyes = labels[EYES].reshape(-1, 2)
    eyes_camera = angles_in_range(to_canonical(eyes, convention), "eye_gaze") if len(eyes) else None
    return {
        "image": image,
        "intrinsics_px": nominal_camera(view, (image.shape[1], image.shape[0])),
        "world_to_camera": np.eye(4),
        "head_to_world": nominal_head(head, view, np.eye(4)),
        "frame_index": index,
        "camera_index": 0,
        **gaze_fields(gaze, head, eyes_camera),
    }
