"""The published clouds of Gaussians, in canonical space, one sample at a time. The published faults are kept.

Canonical space: BFM-09, decimetres, x to image right, y up, z out of the face.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.geometry.rotations import matrix_from_quaternion
from gaze_core.models.blocks import positional_encoding
from gaze_core.models.official.layout import (
    EYE_NETWORKS,
    FACE_NETWORKS,
    FEATURE_WIDTH,
    NUM_EYE_LANDMARKS,
    NUM_FACE_LANDMARKS,
)
from gaze_core.models.official.networks import PointMLP

NEAR_DM2, FAR_DM2 = 0.1, 0.25  # SQUARED distances from the nearest landmark
OFFSET_STEP, ATTRIBUTE_STEP = 0.3, 0.2
_ONE_EYE = slice(0, 6)  # published fault: these stand for both eyes (iBUG 36-41, the subject's right)


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes that condition the networks, for one head."""

    shape: Float[Tensor, " 144"]  # expression, then identity
    pose: Float[Tensor, " 54"]
    gaze: Float[Tensor, " 18"]

    def same_face(self, other: "Codes") -> bool:
        """Whether the face is the same; the eyes may differ."""
        return torch.equal(self.shape, other.shape) and torch.equal(self.pose, other.pose)


@dataclass(frozen=True, eq=False)
class CanonicalGaussians:
    """N Gaussians with activated values in canonical space; features are not limited to [0, 1]."""

    means_dm: Float[Tensor, "n 3"]
    quats_wxyz: Float[Tensor, "n 4"]
    scales_dm: Float[Tensor, "n 3"]
    opacities: Float[Tensor, " n"]
    features: Float[Tensor, "n 32"]


class OfficialCloud(nn.Module):
    """Parameters of N Gaussians, and the neutral landmarks that decide which networks move which Gaussians."""

    landmarks_dm: Tensor
    near: Tensor

    def __init__(
        self, num_points: int, num_landmarks: int, scale_axes: int, networks: Mapping[str, tuple[int, ...]]
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleDict({name: PointMLP(widths) for name, widths in networks.items()})
        self.means_dm = nn.Parameter(torch.zeros(num_points, 3))
        self.features = nn.Parameter(torch.zeros(num_points, FEATURE_WIDTH))
        self.log_scales = nn.Parameter(torch.zeros(num_points, scale_axes))
        self.quats_wxyz = nn.Parameter(torch.zeros(num_points, 4))
        self.opacity_logits = nn.Parameter(torch.zeros(num_points, 1))
        self.register_buffer("landmarks_dm", torch.zeros(num_landmarks, 3))
        self.register_buffer("near", torch.zeros(num_points))  # w(x) of the canonical points; see `precompute`

    @torch.no_grad()
    def precompute(self) -> None:
        """Computes the weights that depend on the loaded points and landmarks only; call it after loading."""
        self.near.copy_(nearness(self.means_dm, self._governing_landmarks()))

    def _governing_landmarks(self) -> Tensor:
        return self.landmarks_dm

    def activate(self, means_dm: Tensor, changes: Tensor, colors: Tensor) -> CanonicalGaussians:
        """Gaussians from positions, learned offsets of the raw attributes (scales, quaternion, opacity) and colours."""
        axes = self.log_scales.shape[1]
        steps = ATTRIBUTE_STEP * changes
        quats = self.quats_wxyz + steps[:, axes : axes + 4]
        return CanonicalGaussians(
            means_dm,
            # Published fault: each component is divided by its norm over all points, which rotates the Gaussians.
            functional.normalize(functional.normalize(quats, dim=0), dim=1),
            (self.log_scales + steps[:, :axes]).exp().expand(-1, 3),
            torch.sigmoid(self.opacity_logits[:, 0] + steps[:, -1]),
            colors,
        )


class FaceCloud(OfficialCloud):
    """The head without the eyes: shape acts near the landmarks, pose elsewhere, with a blend between them."""

    def __init__(self, num_points: int) -> None:
        super().__init__(num_points, NUM_FACE_LANDMARKS, 3, FACE_NETWORKS)

    def forward(self, codes: Codes) -> CanonicalGaussians:
        features, encoded = torch.tanh(self.features), positional_encoding(self.means_dm)
        offsets = self._blend("deform", encoded, codes, torch.tanh)
        changes = self._blend("attributes", features, codes)
        colors = self._blend("color", features, codes)
        return self.activate(self.means_dm + OFFSET_STEP * offsets, changes, colors)

    def _blend(
        self, what: str, points: Float[Tensor, "n d"], codes: Codes, last: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "n o"]:
        """w_s(x) S(points, shape) + w_p(x) P(points, pose), each computed only where its weight is nonzero."""
        total = points.new_zeros(len(points), FACE_NETWORKS[f"shape_{what}"][-1])
        for branch, weight, code in (("shape", self.near, codes.shape), ("pose", 1 - self.near, codes.pose)):
            chosen = weight.nonzero()[:, 0]
            values = self.networks[f"{branch}_{what}"](points[chosen], code)
            values = values if last is None else last(values)
            total = total.index_add(0, chosen, weight[chosen, None] * values)
        return total


class EyeCloud(OfficialCloud):
    """Both eyes. Points near one eye's landmarks rotate twice about the origin of canonical space (published fault)."""

    def __init__(self, num_points: int) -> None:
        super().__init__(num_points, NUM_EYE_LANDMARKS, 1, EYE_NETWORKS)

    def forward(self, codes: Codes) -> CanonicalGaussians:
        features, encoded = torch.tanh(self.features), positional_encoding(self.means_dm)
        # The offset is computed at the position before the rotation.
        offsets = torch.tanh(self.networks["shape_deform"](encoded, codes.shape))
        means = self.rotated(codes.gaze) + OFFSET_STEP * offsets
        changes = self.networks["eye_attributes"](features, codes.gaze)
        colors = self.networks["eye_color"](features, codes.gaze) + self.networks["shape_color"](features, codes.shape)
        return self.activate(means, changes, colors)

    def rotated(self, gaze_code: Float[Tensor, " 18"]) -> Float[Tensor, "m 3"]:
        """The points after both rotations; each quaternion is predicted from the mean of the rotated points."""
        chosen = self.near.nonzero()[:, 0]
        if not len(chosen):
            return self.means_dm
        points = self.means_dm[chosen]
        for _ in range(2):  # intended as one rotation per eye
            middle = positional_encoding(points.mean(dim=0, keepdim=True))
            rotation = matrix_from_quaternion(self.networks["eye_deform"](middle, gaze_code)[0])
            points = points @ rotation.T
        return self.means_dm.index_copy(0, chosen, points)

    def _governing_landmarks(self) -> Tensor:
        return self.landmarks_dm[_ONE_EYE]


def nearness(points_dm: Float[Tensor, "n 3"], landmarks_dm: Float[Tensor, "k 3"]) -> Float[Tensor, " n"]:
    """w(x): 1 where the squared distance to the nearest landmark is below 0.1 dm^2, then linear in it to 0 at 0.25."""
    squared = torch.cat(
        [(part[:, None] - landmarks_dm).square().sum(-1).min(dim=-1).values for part in points_dm.split(2048)]
    )
    return ((FAR_DM2 - squared) / (FAR_DM2 - NEAR_DM2)).clamp(0, 1)
