"""The two Gaussian clouds of GazeGaussian, face and eyes, and the geometry that initialises them."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.data.batch import HeadParameters
from gaze_core.geometry.landmarks import EYE_LANDMARKS
from gaze_core.geometry.rotations import (
    eye_rotation,
    matrix_from_quaternion,
    multiply_quaternions,
    quaternion_from_matrix,
)
from gaze_core.models.blocks import ConditionedMLP, encoded_width
from gaze_core.models.conditioning import (
    BOTH_EYES,
    GAZE,
    IDENTITY,
    POSE_IDENTITY,
    SHAPE,
    encode_points,
    proximity,
)
from gaze_core.splat.gaussians import Gaussians

_NUM_ATTRIBUTES = 3 + 4 + 1  # log scale, quaternion, opacity logit
_ATTRIBUTE_STEP = 0.2  # scale of the learned attribute offsets (official code)
_EYEBALL_SIZE_STEP = 0.2  # limit of the log of an eyeball's relative size: adults differ by less


class Cloud(nn.Module):
    """N Gaussians with their parameters: position in metres, feature (before tanh) and raw attributes."""

    def __init__(self, num_points: int, feature_width: int) -> None:
        super().__init__()
        self.means_m = nn.Parameter(torch.zeros(num_points, 3))
        self.features = nn.Parameter(torch.zeros(num_points, feature_width))
        self.attributes = nn.Parameter(torch.zeros(num_points, _NUM_ATTRIBUTES))

    @property
    def num_points(self) -> int:
        """The number of Gaussians."""
        return len(self.means_m)

    @torch.no_grad()
    def place(self, means_m: Tensor, features: Tensor, scale_m: Tensor, opacity_logit: Tensor | float) -> None:
        """Sets the initial values: isotropic Gaussians of standard deviation `scale_m`."""
        self.means_m.copy_(means_m)
        self.features.copy_(torch.atanh(features.clamp(-0.999, 0.999)))
        self.attributes[:, :3] = scale_m.log()[:, None]
        self.attributes[:, 3] = 1
        self.attributes[:, 7] = opacity_logit

    def activate(self, means_m: Tensor, changes: Tensor, colors: Tensor) -> Gaussians:
        """Gaussians from positions, learned offsets of the raw attributes and colour logits, each (b, n, ...)."""
        raw = self.attributes + _ATTRIBUTE_STEP * changes
        return Gaussians(
            means_m,
            functional.normalize(raw[..., 3:7], dim=-1),
            raw[..., :3].clamp(max=math.log(0.03)).exp(),
            torch.sigmoid(raw[..., 7]),
            torch.sigmoid(colors),
        )


class FaceStream(Cloud):
    """The head without eyeballs: expression acts near landmarks, pose elsewhere, gaze on the lids, identity everywhere."""

    near: Tensor
    lids: Tensor

    def __init__(self, num_points: int, feature_width: int, hidden: int, channels: int, max_offset_m: float) -> None:
        super().__init__(num_points, feature_width)
        self.max_offset_m = max_offset_m
        self.register_buffer("near", torch.zeros(num_points))
        self.register_buffer("lids", torch.zeros(num_points))
        widths = {"shape": SHAPE.width, "pose": POSE_IDENTITY.width, "lids": SHAPE.width + GAZE.width}

        def branches(points: int, out: int, zero: bool) -> nn.ModuleDict:
            # A branch that MeshHead has not trained outputs zero at first, so the first rendering is MeshHead's.
            return nn.ModuleDict(
                {
                    name: ConditionedMLP(points, width, hidden, out, zero_output=zero or name == "lids")
                    for name, width in widths.items()
                }
            )

        self.color = branches(feature_width, channels, False)
        self.attribute = branches(feature_width, _NUM_ATTRIBUTES, True)
        self.deform = branches(encoded_width(3), 3, True)

    def forward(self, head: HeadParameters) -> Gaussians:
        """The face of each sample, in the head frame."""
        code = SHAPE(head)
        codes = {
            "shape": code,
            "pose": POSE_IDENTITY(head),
            "lids": torch.cat([code, GAZE(head)], dim=-1),
        }
        weights = {"shape": self.near, "pose": 1 - self.near, "lids": self.lids}
        features, encoded = torch.tanh(self.features), encode_points(self.means_m)
        offsets, changes, colors = [], [], []
        for name, weight in weights.items():
            points = weight.nonzero()[:, 0]
            scatter = _Scatter(points, weight)
            offsets.append(scatter(torch.tanh(self.deform[name](encoded[points], codes[name]))))
            changes.append(scatter(self.attribute[name](features[points], codes[name])))
            colors.append(scatter(self.color[name](features[points], codes[name])))
        return self.activate(self.means_m + self.max_offset_m * total(offsets), total(changes), total(colors))


def total(terms: list[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return torch.stack(terms).sum(dim=0)


class _Scatter:
    """Scatters weighted values of selected points to all points, with zero elsewhere."""

    def __init__(self, points: Int[Tensor, " k"], weight: Float[Tensor, " n"]) -> None:
        self.points, self.weight, self.num_points = points, weight[points, None], len(weight)

    def __call__(self, values: Float[Tensor, "b k o"]) -> Float[Tensor, "b n o"]:
        empty = values.new_zeros(values.shape[0], self.num_points, values.shape[2])
        return empty.index_copy(1, self.points, self.weight * values)


class EyeStream(Cloud):
    """Two eyeballs, left then right, each rotating about its own centre."""

    side: Tensor

    def __init__(self, num_points: int, feature_width: int, hidden: int, channels: int, max_offset_m: float) -> None:
        super().__init__(num_points, feature_width)
        self.max_offset_m = max_offset_m
        self.centers_m = nn.Parameter(torch.zeros(2, 3))
        self.register_buffer("side", torch.arange(2).repeat_interleave(num_points // 2))
        self.color = nn.ModuleDict(
            {
                "shape": ConditionedMLP(feature_width, SHAPE.width, hidden, channels, zero_output=False),
                "gaze": ConditionedMLP(feature_width, GAZE.width, hidden, channels, zero_output=True),
            }
        )
        self.attribute = ConditionedMLP(
            feature_width, GAZE.width + SHAPE.width, hidden, _NUM_ATTRIBUTES, zero_output=True
        )
        self.deform = ConditionedMLP(encoded_width(3), SHAPE.width, hidden, 3, zero_output=True)
        self.rotate = ConditionedMLP(encoded_width(3), BOTH_EYES.width, hidden, 4, zero_output=True)
        self.place_ball = ConditionedMLP(encoded_width(3), IDENTITY.width, hidden, 4, zero_output=True)

    def rotations(self, head: HeadParameters) -> Float[Tensor, "b 2 3 3"]:
        """R(gaze) of each eye times a learned residual rotation, which is the identity at initialisation."""
        residual = 0.1 * torch.tanh(self.rotate(encode_points(self.centers_m), BOTH_EYES(head)))
        identity = torch.tensor([1.0, 0, 0, 0], device=residual.device)
        return eye_rotation(head.gaze_head_eyes) @ matrix_from_quaternion(residual + identity)

    def eyeballs(self, head: HeadParameters) -> tuple[Float[Tensor, "b 2 3"], Float[Tensor, "b 2"]]:
        """Each person's eyeball centres in metres, head frame, and eyeball sizes relative to the shared size."""
        change = torch.tanh(self.place_ball(encode_points(self.centers_m), IDENTITY(head)))
        return self.centers_m + self.max_offset_m * change[..., :3], torch.exp(_EYEBALL_SIZE_STEP * change[..., 3])

    def forward(self, head: HeadParameters) -> Gaussians:
        """Both eyeballs of each sample, in the head frame."""
        code, gaze = SHAPE(head), GAZE(head)
        features, encoded = torch.tanh(self.features), encode_points(self.means_m)
        rotations, (centers_m, sizes) = self.rotations(head), self.eyeballs(head)
        offsets = sizes[:, self.side, None] * (self.means_m - self.centers_m[self.side])
        rotated = torch.einsum("bnij,bnj->bni", rotations[:, self.side], offsets)
        means = centers_m[:, self.side] + rotated + 0.1 * self.max_offset_m * torch.tanh(self.deform(encoded, code))
        colors = self.color["shape"](features, code) + self.color["gaze"](features, gaze)
        cloud = self.activate(means, self.attribute(features, torch.cat([gaze, code], dim=-1)), colors)
        quats = multiply_quaternions(quaternion_from_matrix(rotations)[:, self.side], cloud.quats_wxyz)
        return Gaussians(cloud.means, quats, cloud.scales, cloud.opacities, cloud.features)


def neighbour_distance_m(points_m: Float[Tensor, "n 3"], k: int = 3) -> Float[Tensor, " n"]:
    """Root mean square distance to the k nearest other points, the initial scale of a Gaussian."""
    chunks = [torch.cdist(chunk, points_m).topk(k + 1, largest=False).values[:, 1:] for chunk in points_m.split(2048)]
    return torch.cat(chunks).square().mean(dim=-1).sqrt().clamp(2e-4, 0.01)


def eyeball_cap(num_points: int, half_angle_deg: float = 75.0) -> Float[Tensor, "n 3"]:
    """Evenly spread unit vectors about the rest gaze -z: a golden-angle spiral on the front of a sphere."""
    i = torch.arange(num_points) + 0.5
    z = -(1 - i / num_points * (1 - math.cos(math.radians(half_angle_deg))))
    radius, angle = (1 - z * z).sqrt(), i * math.pi * (3 - math.sqrt(5))
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], dim=-1)


def lid_opening(
    points_m: Float[Tensor, "n 3"], landmarks_m: Float[Tensor, "68 3"], margin: float = 0.9
) -> Float[Tensor, " n"]:
    """1 for points in front of an eyeball, inside the ellipse through its lid landmarks (seen along z), else 0."""
    inside = torch.zeros(len(points_m), device=points_m.device)
    for eye in EYE_LANDMARKS:
        lids = landmarks_m[eye, :2]
        center = lids.mean(dim=0)
        half_size = (lids - center).abs().max(dim=0).values * margin
        inside = torch.maximum(inside, ((((points_m[:, :2] - center) / half_size).square().sum(-1)) < 1).float())
    return inside * (points_m[:, 2] < landmarks_m[:, 2].max())


def lid_weight(points_m: Float[Tensor, "n 3"], landmarks_m: Float[Tensor, "68 3"]) -> Float[Tensor, " n"]:
    """Weight of the lid branch: 1 within 6 mm of an eyelid landmark, 0 beyond 15 mm."""
    lids = torch.cat([landmarks_m[eye] for eye in EYE_LANDMARKS])
    return proximity(points_m, lids, 0.006, 0.015)
