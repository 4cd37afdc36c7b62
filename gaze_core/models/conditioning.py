"""The codes that condition the networks, and the weights that say where on the head each code acts.

A `Condition` is a code of known width, computed from the description of a sample. The conditions of redirection are
computed from `HeadParameters`; a system with audio or blinks declares its own conditions for its own type.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.data.batch import HeadParameters
from gaze_core.data.schema import ARKIT, GAZE_COEFFICIENTS, NUM_EXPRESSION, NUM_IDENTITY
from gaze_core.geometry.rotations import axis_angle_from_matrix
from gaze_core.models.blocks import encoded_width, positional_encoding

S = TypeVar("S")  # what describes a sample


@dataclass(frozen=True)
class Condition(Generic[S]):
    """A code of `width` numbers for each sample, (b, width); `encode` computes it from the samples' description."""

    width: int
    encode: Callable[[S], Tensor]

    def __call__(self, described: S) -> Float[Tensor, "b e"]:
        """The codes of a batch."""
        return self.encode(described)


_GAZE_COLUMNS = [ARKIT.index(name) for name in GAZE_COEFFICIENTS]


def shape_code(head: HeadParameters) -> Float[Tensor, "b 144"]:
    """Expression (64) then identity (80).

    The eyeLook* coefficients are set to zero: they contain the gaze, so a network that depends on them would keep the
    old gaze for another target gaze. The lids are conditioned on the gaze itself. Codes of other bases than ARKit's
    have no such coefficients.
    """
    keep = torch.ones_like(head.expression_code)
    keep[:, _GAZE_COLUMNS] = 0
    if head.expression_is_arkit is not None:
        keep[~head.expression_is_arkit] = 1
    return torch.cat([head.expression_code * keep, head.identity_code], dim=-1)


def pose_code(head: HeadParameters) -> Float[Tensor, "b 54"]:
    """Encoded head pose: axis-angle (rad) and translation (m) of head-to-world."""
    rotation, translation_m = head.head_to_world[:, :3, :3], head.head_to_world[:, :3, 3]
    return positional_encoding(torch.cat([axis_angle_from_matrix(rotation), translation_m], dim=-1))


def pose_identity_code(head: HeadParameters, *, zero_identity: bool = False) -> Float[Tensor, "b 134"]:
    """Encoded pose, then identity: the condition of points away from the landmarks, such as hair and clothes.

    Published models condition these points on the pose only, so all people look alike there. With `zero_identity` the
    identity part is zero.
    """
    identity = torch.zeros_like(head.identity_code) if zero_identity else head.identity_code
    return torch.cat([pose_code(head), identity], dim=-1)


def encode_points(points_m: Float[Tensor, "n 3"]) -> Float[Tensor, "n 27"]:
    """Positional encoding in units of 5 cm: wavelengths from 31 cm, a head, down to 4 cm, an eye."""
    return positional_encoding(points_m * 20)


def gaze_code(gaze_head: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 18"]:
    """Encoded `[pitch, yaw]` in radians, head frame."""
    return positional_encoding(gaze_head)


def eye_codes(head: HeadParameters) -> Float[Tensor, "b 36"]:
    """Encoded gaze of the left and the right eye."""
    return gaze_code(head.gaze_head_eyes).flatten(1)


def mean_gaze(head: HeadParameters) -> Float[Tensor, "b 2"]:
    """The mean of both eyes' `[pitch, yaw]`."""
    return head.gaze_head_eyes.mean(dim=1)


def proximity(
    points_m: Float[Tensor, "n 3"], landmarks_m: Float[Tensor, "k 3"], near_m: float, far_m: float
) -> Float[Tensor, " n"]:
    """lambda(x) in GazeGaussian (Wei et al. 2025): 1 within `near_m` of a landmark, then linear to 0 at `far_m`."""
    distance_m = torch.cdist(points_m, landmarks_m).min(dim=-1).values
    return ((far_m - distance_m) / (far_m - near_m)).clamp(0, 1)


SHAPE = Condition(NUM_EXPRESSION + NUM_IDENTITY, shape_code)
POSE_IDENTITY = Condition(encoded_width(6) + NUM_IDENTITY, pose_identity_code)
GAZE: Condition[HeadParameters] = Condition(encoded_width(2), lambda head: gaze_code(mean_gaze(head)))
BOTH_EYES = Condition(2 * encoded_width(2), eye_codes)
IDENTITY: Condition[HeadParameters] = Condition(NUM_IDENTITY, lambda head: head.identity_code)
