"""MPIIFaceGaze, normalised: the authors' MATLAB 7.3 files (one per person), and the single HDF5 file made of them.

Both hold BGR crops of 448 px and `[pitch, yaw]` of gaze and head; the further label columns, six landmarks, are
fewer than our 68 and are left out. In the MATLAB file images are (channel, row, column).
"""

from collections.abc import Iterator

import h5py
import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

from gaze_core.data.adapters.angles import head_rotation, to_canonical
from gaze_core.data.adapters.fields import (
    angles_in_range,
    eight_bits,
    gaze_fields,
    nominal_camera,
    nominal_head,
    outcomes,
    rgb_image,
)
from gaze_core.data.adapters.hdf5 import Column, Rows, UnusableFrame, finite, opened
from gaze_core.data.adapters.spec import Outcome, Sample, Subject
from gaze_core.errors import BadInput

LABELS = 16
GAZE, HEAD = slice(0, 2), slice(2, 4)
MAT_COLUMNS = (Column("data", (3, None, None)), Column("label", (LABELS,)))
H5_GROUPS = ("image", "pose", "gaze")


def read_mpii_mat(subject: Subject) -> Iterator[Outcome]:
    """The rows of `pXX.mat`, one image in memory at a time."""
    with opened(subject.path) as file:
        if not isinstance(file.get("Data"), h5py.Group):
            raise BadInput(
                f"{subject.path}: lacks the group Data with data and label; is it of the normalised release?"
            )
        rows = Rows(file["Data"], MAT_COLUMNS)

        def read(index: int) -> Sample:
            labels = rows.numbers("label", index)
            image = rows.read("data", index).transpose(1, 2, 0)
            return _sample(image, labels[GAZE], labels[HEAD], index, subject)

        yield from outcomes(len(rows), read)


def read_mpii_h5(subject: Subject) -> Iterator[Outcome]:
    """The samples of one person's group, `pXX/{image,pose,gaze}/0000`, one image in memory at a time."""
    with opened(subject.path) as file:
        group = file[subject.name]
        for name in H5_GROUPS:
            if not isinstance(group.get(name), h5py.Group):
                raise BadInput(
                    f"{subject.path}/{subject.name}: lacks the group {name}; expected {', '.join(H5_GROUPS)}"
                )
        names = sorted(group["image"])

        def read(index: int) -> Sample:
            image, pose, gaze = (_read_array(group[part], names[index], part) for part in H5_GROUPS)
            return _sample(image, finite(gaze, "gaze"), finite(pose, "pose"), index, subject)

        yield from outcomes(len(names), read)


def _read_array(group: h5py.Group, name: str, part: str) -> Shaped[ndarray, "..."]:
    if name not in group:
        raise UnusableFrame(f"missing_{part}")
    try:
        return np.asarray(group[name][()])
    except OSError as error:
        raise UnusableFrame(f"undecodable_{part}") from error


def _sample(
    stored: Shaped[ndarray, "h w 3"],
    gaze: Float[ndarray, "2"],
    head_pose: Float[ndarray, "2"],
    index: int,
    subject: Subject,
) -> Sample:
    image = rgb_image(eight_bits(stored), subject.is_bgr)
    head = head_rotation(angles_in_range(head_pose, "head"))
    view = subject.spec.view
    return {
        "image": image,
        "intrinsics_px": nominal_camera(view, (image.shape[1], image.shape[0])),
        "world_to_camera": np.eye(4),
        "head_to_world": nominal_head(head, view, np.eye(4)),
        "frame_index": index,
        "camera_index": 0,
        **gaze_fields(angles_in_range(to_canonical(gaze, subject.spec.layout.angles), "gaze"), head),
    }
