"""Fields of a sample that several layouts share, as in `data/schema.py`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from numpy import ndarray

from gaze_core.data.adapters.angles import rotated
from gaze_core.data.adapters.hdf5 import UnusableFrame, finite
from gaze_core.data.adapters.spec import Outcome, PublishedView, Rejected, Sample
from gaze_core.data.adapters.units import PIXEL_CENTER
from gaze_core.data.schema import FIELDS

_FULL_BY_DEFAULT = ("head_mask", "observed_mask")  # without this mask in the data set, every pixel counts
_MAX_ROTATION_ERROR = 1e-3
_OVERSHOOT = 16  # of interpolated values beyond [0, 255]


def outcomes(count: int, read: Callable[[int], Sample]) -> Iterator[Outcome]:
    """The samples in order; an unusable one becomes `Rejected`."""
    for index in range(count):
        try:
            yield read(index)
        except UnusableFrame as reason:
            yield Rejected(str(reason))


def completed(sample: Sample) -> dict[str, Any]:
    """All fields of the schema: missing ones get neutral values, with `valid/*` flags false.

    Neutral values are zero, the identity for transforms, and the full image for the head and observed masks.
    """
    sides = dict(zip("hw", sample["image"].shape, strict=False))
    out = dict(sample)
    for name, field in FIELDS.items():
        if name in sample:
            continue
        shape = shape_of(name, sides)
        if shape in ((3, 3), (4, 4)):
            out[name] = np.eye(shape[0], dtype=field.dtype)
        else:
            out[name] = np.full(shape, 255 if name in _FULL_BY_DEFAULT else 0, dtype=field.dtype)
    return out


def shape_of(name: str, sides: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a field of the schema in images of these sides, "h" and "w"."""
    return tuple(sides[side] if isinstance(side, str) else side for side in FIELDS[name].shape)


def rgb_image(image: UInt8[ndarray, "h w 3"], is_bgr: bool) -> UInt8[ndarray, "h w 3"]:
    """A crop as RGB.

    Raises:
        UnusableFrame: it is empty.
    """
    if not image.any():
        raise UnusableFrame("blank_image")
    return np.ascontiguousarray(image[..., ::-1]) if is_bgr else image


def eight_bits(stored: Shaped[ndarray, "h w 3"]) -> UInt8[ndarray, "h w 3"]:
    """A crop stored as any number type, in [0, 255] or [0, 1], as bytes.

    Raises:
        UnusableFrame: the values are in neither range.
    """
    if stored.ndim != 3 or stored.shape[2] != 3:
        raise UnusableFrame("image_shape")
    values = finite(stored, "image")
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    is_unit = high <= 1 and bool((values % 1).any())  # without fractions it is a black image in [0, 255]
    if low < (0 if is_unit else -_OVERSHOOT) or high > 255 + _OVERSHOOT:
        raise UnusableFrame("image_out_of_range")
    values = 255 * values if is_unit else values
    return np.round(values).clip(0, 255).astype(np.uint8)


def mask(values: Shaped[ndarray, "h w"]) -> UInt8[ndarray, "h w"]:
    """0 or 255 from a mask of any two levels."""
    return np.where(2.0 * values > values.max(), np.uint8(255), np.uint8(0))


def angles_in_range(pitchyaw: Float[ndarray, "*b 2"], key: str) -> Float[ndarray, "*b 2"]:
    """Returns the angles after a range check.

    Raises:
        UnusableFrame: they exceed the range of radians, as degrees do.
    """
    if (np.abs(pitchyaw) > [np.pi / 2, np.pi]).any():
        raise UnusableFrame(f"{key}_out_of_range")
    return pitchyaw


def rotation(matrix: Float[ndarray, "3 3"], key: str) -> Float[ndarray, "3 3"]:
    """Returns the rotation after a check.

    Raises:
        UnusableFrame: the matrix is not a rotation.
    """
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > _MAX_ROTATION_ERROR or np.linalg.det(matrix) < 0:
        raise UnusableFrame(f"{key}_no_rotation")
    return matrix


def rigid(turn: Float[ndarray, "3 3"], shift_m: Float[ndarray, "3"]) -> Float[ndarray, "4 4"]:
    """The 4 x 4 matrix of x -> R x + t."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = turn, shift_m
    return out


def gaze_fields(
    gaze_camera: Float[ndarray, "2"],
    head_to_camera: Float[ndarray, "3 3"],
    eyes_camera: Float[ndarray, "2 2"] | None = None,
) -> Sample:
    """Gaze in all coordinate frames from that in the camera frame; without labels of each eye both get the face's gaze."""
    to_head = head_to_camera.T
    gaze_head = rotated(gaze_camera, to_head)
    eyes = np.stack([gaze_head, gaze_head]) if eyes_camera is None else rotated(eyes_camera, to_head)
    return {"gaze_camera": gaze_camera, "gaze_head": gaze_head, "gaze_head_eyes": eyes, "valid/gaze": True}


def nominal_camera(view: PublishedView, size_px: tuple[int, int]) -> Float[ndarray, "3 3"]:
    """Intrinsics of the virtual camera at this (width, height); the principal point is the image centre."""
    focal_px = view.resized(size_px[0]).focal_px
    width, height = size_px
    return np.array([[focal_px, 0, width / 2 + PIXEL_CENTER], [0, focal_px, height / 2 + PIXEL_CENTER], [0, 0, 1.0]])


def nominal_head(
    head_to_camera: Float[ndarray, "3 3"], view: PublishedView, world_to_camera: Float[ndarray, "4 4"]
) -> Float[ndarray, "4 4"]:
    """Head pose from a published rotation; the position is nominal, on the camera axis at the view's distance.

    For directions only; `valid/head_pose` stays false.
    """
    pose = rigid(head_to_camera, np.array([0.0, 0.0, view.distance_m]))
    return np.linalg.inv(world_to_camera) @ pose
