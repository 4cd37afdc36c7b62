"""Typed batches for loaders, models and losses."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gaze_core.geometry.cameras import Camera

R = TypeVar("R", bound="TensorRecord")


class TensorRecord:
    """Moves and indexes all tensors of a (nested) frozen dataclass at once."""

    def map(self, function) -> Self:  # type: ignore[no-untyped-def]
        """The same record with `function` applied to each tensor."""
        return _map_tensors(self, function)

    def to(self, device: torch.device | str) -> Self:
        """The same record on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def __getitem__(self, index: Sequence[int] | slice) -> Self:
        """The chosen elements of the batch axis."""
        chosen = index if isinstance(index, slice) else list(index)
        return self.map(lambda tensor: tensor[chosen])


def concatenate(records: Sequence[R]) -> R:
    """One record of all samples, in order; non-tensor values (an image size) are those of the first record."""
    parts = iter(zip(*(_tensors(record) for record in records), strict=True))
    return records[0].map(lambda _: torch.cat(next(parts)))


def _tensors(record):  # type: ignore[no-untyped-def]
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            yield value
        elif hasattr(value, "__dataclass_fields__"):
            yield from _tensors(value)


def _map_tensors(record, function):  # type: ignore[no-untyped-def]
    changed = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = function(value)
        elif hasattr(value, "__dataclass_fields__"):
            changed[field.name] = _map_tensors(value, function)
    return replace(record, **changed)


@dataclass(frozen=True, eq=False)
class PublishedFit(TensorRecord):
    """The head fit of a published GazeGaussian file, beside our labels; used by imported models only.

    The fields are those of `published/` in `data/schema.py`; where `known` is false they are neutral.
    """

    gaze_rotation: Float[Tensor, "b 3 3"]
    scale: Float[Tensor, " b"]
    origin_m: Float[Tensor, "b 3"]
    known: Bool[Tensor, " b"]


@dataclass(frozen=True, eq=False)
class HeadParameters(TensorRecord):
    """All parameters of the head's appearance except the camera; redirection changes them.

    Frames, units and the (left, right) eye axis as in `data/schema.py`.
    """

    head_to_world: Float[Tensor, "b 4 4"]
    gaze_head_eyes: Float[Tensor, "b 2 2"]  # (left, right) x [pitch, yaw] rad
    identity_code: Float[Tensor, "b 80"]
    expression_code: Float[Tensor, "b 64"]
    expression_is_arkit: Bool[Tensor, " b"] | None = None  # None: true for every sample
    published: PublishedFit | None = None  # None: unknown for all samples

    def with_gaze(self, gaze_head: Float[Tensor, "b 2"]) -> "HeadParameters":
        """The same head with both eyes looking along one direction, `[pitch, yaw]` rad in the head frame."""
        return replace(self, gaze_head_eyes=gaze_head[:, None].expand(-1, 2, -1))

    def with_pose(self, head_to_world: Float[Tensor, "b 4 4"]) -> "HeadParameters":
        """The same head, expression and gaze in the head, at another pose."""
        return replace(self, head_to_world=head_to_world)


@dataclass(frozen=True, eq=False)
class Validity(TensorRecord):
    """Which labels of each sample may be used; a loss takes a label together with its validity."""

    gaze: Bool[Tensor, " b"]
    head_pose: Bool[Tensor, " b"]
    landmarks_3d: Bool[Tensor, " b"]
    identity: Bool[Tensor, " b"]
    expression: Bool[Tensor, " b"]
    left_eye: Bool[Tensor, " b"]
    right_eye: Bool[Tensor, " b"]


@dataclass(frozen=True, eq=False)
class GazeBatch(TensorRecord):
    """B labelled images. Masks are 0 or 1; `rgb` is in [0, 1] with the background as recorded."""

    rgb: Float[Tensor, "b 3 h w"]
    head_mask: Float[Tensor, "b 1 h w"]
    observed_mask: Float[Tensor, "b 1 h w"]  # 0 beyond the border of the recorded image
    left_eye_mask: Float[Tensor, "b 1 h w"]
    right_eye_mask: Float[Tensor, "b 1 h w"]
    camera: Camera
    head: HeadParameters
    gaze_head: Float[Tensor, "b 2"]  # mean of both eyes
    gaze_camera: Float[Tensor, "b 2"]
    landmarks_2d_px: Float[Tensor, "b 68 2"]
    landmarks_3d_head_m: Float[Tensor, "b 68 3"]
    eye_centers_head_m: Float[Tensor, "b 2 3"]
    valid: Validity
    sample_index: Int[Tensor, " b"]  # the frame of its subject's file
    subject_index: Int[Tensor, " b"]  # index of the subject file among those of the loader
    gaze_sigma_rad: Float[Tensor, " b"]  # expected error of the gaze labels; 0 where none is known
    gaze_weight: Float[Tensor, " b"]  # how much the gaze labels count, on average 1 in each subject's file

    def __len__(self) -> int:
        return len(self.sample_index)

    @property
    def eyes_mask(self) -> Float[Tensor, "b 1 h w"]:
        """1 where either eyeball is visible."""
        return torch.maximum(self.left_eye_mask, self.right_eye_mask)

    @property
    def rgb_on_white(self) -> Float[Tensor, "b 3 h w"]:
        """The head on a white background: the target of every rendering."""
        return self.rgb * self.head_mask + (1 - self.head_mask)
