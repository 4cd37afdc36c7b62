"""GazeNeRF's files, and what GazeGaussian's share with them: 512 px crops, masks, a fitted camera, head-frame gaze.

Images are BGR; `left_eye_mask` is the left half of the image, the subject's right eye;
`pitchyaw_head` has a pitch that grows downward; lengths are decimetres; `pitchyaw` and `pitchyaw_3d` are not gaze angles and
are not read. GazeNeRF's 306 codes are of a face model with more coefficients than our fields hold, and it
has neither 3D landmarks nor a head pose apart from the camera's: the head's rotation is in `face_head_pose` only.
"""

from collections.abc import Iterator

from jaxtyping import Float, Int
from numpy import ndarray

from gaze_core.data.adapters.angles import head_rotation, rotated, to_canonical
from gaze_core.data.adapters.fields import (
    angles_in_range,
    gaze_fields,
    mask,
    nominal_head,
    outcomes,
    rgb_image,
    rigid,
    rotation,
)
from gaze_core.data.adapters.frame_index import unwrapped
from gaze_core.data.adapters.hdf5 import Column, Rows, UnusableFrame, opened
from gaze_core.data.adapters.spec import Outcome, Sample, Subject
from gaze_core.data.adapters.units import PIXEL_CENTER
from gaze_core.geometry.landmarks import NUM_LANDMARKS

SHARED_COLUMNS = (
    Column("face_patch", (None, None, 3), is_image=True),
    Column("head_mask", (None, None)),
    Column("left_eye_mask", (None, None)),
    Column("right_eye_mask", (None, None)),
    Column("facial_landmarks", (NUM_LANDMARKS, 2)),
    Column("w2c_Rmat", (3, 3)),
    Column("w2c_Tvec", (3,)),
    Column("inmat", (3, 3)),
    Column("pitchyaw_head", (2,)),
    Column("face_head_pose", (2,)),
    Column("frame_index", (1,)),
    Column("cam_index", (1,)),
)
COLUMNS = (*SHARED_COLUMNS, Column("latent_codes", (306,)))


def read_gazenerf(subject: Subject) -> Iterator[Outcome]:
    """The rows of one subject's file, one image in memory at a time."""
    with opened(subject.path) as file:
        rows = Rows(file, COLUMNS)
        frames = frame_numbers(rows, subject)

        def read(index: int) -> Sample:
            sample, gaze_head, head = shared_fields(rows, index, subject)
            to_camera = sample["world_to_camera"]
            sample["head_to_world"] = nominal_head(head, subject.spec.view, to_camera)
            return sample | gaze_fields(rotated(gaze_head, head), head) | {"frame_index": frames[index]}

        yield from outcomes(len(rows), read)


def frame_numbers(rows: Rows, subject: Subject) -> Int[ndarray, " n"]:
    """Frame numbers with the overflow corrected; the correction is noted in the subject's notes."""
    frames, subject.notes["frame_index"] = unwrapped(rows.column("frame_index"), rows.column("cam_index"))
    return frames


def shared_fields(
    rows: Rows, index: int, subject: Subject
) -> tuple[Sample, Float[ndarray, "2"], Float[ndarray, "3 3"]]:
    """Data that both layouts share: fields, gaze in the head's frame, and the published head rotation to the camera."""
    image = rgb_image(rows.read("face_patch", index), subject.is_bgr)
    left, right = mask(rows.read("left_eye_mask", index)), mask(rows.read("right_eye_mask", index))
    if subject.spec.layout.eyes == "image":
        left, right = right, left
    head_mask = mask(rows.read("head_mask", index))
    if not head_mask.any():
        raise UnusableFrame("empty_head_mask")
    intrinsics_px = rows.numbers("inmat", index)
    intrinsics_px[:2, 2] += PIXEL_CENTER
    turn = rotation(rows.numbers("w2c_Rmat", index), "w2c_Rmat")
    gaze_head = to_canonical(rows.numbers("pitchyaw_head", index), subject.spec.layout.angles)
    sample: Sample = {
        "image": image,
        "head_mask": head_mask,
        "left_eye_mask": left,
        "right_eye_mask": right,
        "landmarks_2d_px": rows.numbers("facial_landmarks", index) + PIXEL_CENTER,
        "intrinsics_px": intrinsics_px,
        "world_to_camera": rigid(turn, rows.numbers("w2c_Tvec", index) * subject.unit_m),
        "valid/left_eye": bool(left.any()),
        "valid/right_eye": bool(right.any()),
        "camera_index": rows.read("cam_index", index)[0],
    }
    head_pose = angles_in_range(rows.numbers("face_head_pose", index), "face_head_pose")
    return sample, angles_in_range(gaze_head, "pitchyaw_head"), head_rotation(head_pose)
