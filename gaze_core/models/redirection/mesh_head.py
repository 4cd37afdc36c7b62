"""MeshHead: a canonical head surface with appearance and motion, which initialises both Gaussian streams.

A signed distance field on a tetrahedral grid gives one watertight mesh shared by all images. Expression and identity
move and colour it near the facial landmarks, pose and identity elsewhere, gaze colours the eye region. The Gaussian rasteriser
renders the mesh as one flat Gaussian per triangle, so silhouette and colour have gradients on any device.
After GazeGaussian (Wei et al. 2025, sec. 3.2) and Gaussian Head Avatar (Xu et al. 2024); head frame, metres.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.data.batch import HeadParameters
from gaze_core.geometry.cameras import Camera
from gaze_core.geometry.landmarks import LEFT_EYE, RIGHT_EYE
from gaze_core.geometry.rotations import quaternion_from_matrix
from gaze_core.models.blocks import ConditionedMLP, encoded_width
from gaze_core.models.conditioning import (
    GAZE,
    POSE_IDENTITY,
    SHAPE,
    encode_points,
    proximity,
)
from gaze_core.models.redirection.tetrahedra import TetGrid, find_crossings, interpolate, tet_grid
from gaze_core.splat.gaussians import Gaussians, Rendering
from gaze_core.splat.render import render

Point = tuple[float, float, float]


class MeshHeadConfig(Config):
    """Architecture of the model. Lengths in metres, head frame (y down, z away from the camera)."""

    box_low_m: Point = (-0.13, -0.19, -0.09)
    box_high_m: Point = (0.13, 0.23, 0.23)
    cell_m: PositiveFloat = 0.012
    initial_center_m: Point = (0.0, 0.02, 0.08)
    initial_radii_m: Point = (0.08, 0.13, 0.10)
    feature_width: PositiveInt = 32
    hidden: PositiveInt = 96
    color_channels: int = Field(16, ge=3)  # the first three are RGB
    near_m: PositiveFloat = 0.03  # expression acts fully within this distance of a landmark
    far_m: PositiveFloat = 0.05  # and not at all beyond this one
    max_offset_m: PositiveFloat = 0.03
    sdf_scale_m: PositiveFloat = 0.05  # unit of the network's distance output


@dataclass(frozen=True, eq=False)
class Surface:
    """The canonical mesh: vertices in metres, features in (-1, 1), outward triangles."""

    vertices_m: Float[Tensor, "n 3"]
    features: Float[Tensor, "n f"]
    faces: Int[Tensor, "t 3"]


@dataclass(frozen=True, eq=False)
class MeshHeadOutput:
    """A rendered head and the inputs of the regularisers."""

    rendering: Rendering
    surface: Surface
    offsets_m: Float[Tensor, "b n 3"]
    landmarks_m: Float[Tensor, "b 68 3"]
    landmark_sdf_m: Float[Tensor, " k"]


class MeshHead(nn.Module):
    """See the module docstring. `neutral_landmarks_m` are the mean 3D landmarks of the training images."""

    def __init__(self, config: MeshHeadConfig, neutral_landmarks_m: Float[Tensor, "68 3"]) -> None:
        super().__init__()
        self.config = config
        width, hidden = encoded_width(3), config.hidden
        self.geometry = nn.Sequential(
            nn.Linear(width, hidden), nn.LeakyReLU(0.01),
            nn.Linear(hidden, hidden), nn.LeakyReLU(0.01),
            nn.Linear(hidden, hidden), nn.LeakyReLU(0.01),
            nn.Linear(hidden, 1 + config.feature_width),
        )  # fmt: skip
        channels, features = config.color_channels, config.feature_width
        self.shape_color = ConditionedMLP(features, SHAPE.width, hidden, channels, zero_output=False)
        self.pose_color = ConditionedMLP(features, POSE_IDENTITY.width, hidden, channels, zero_output=False)
        self.eye_color = ConditionedMLP(features, GAZE.width, hidden, channels, zero_output=True)
        self.shape_deform = ConditionedMLP(width, SHAPE.width, hidden, 3, zero_output=True)
        self.pose_deform = ConditionedMLP(width, POSE_IDENTITY.width, hidden, 3, zero_output=True)
        self.neutral_landmarks_m = nn.Parameter(neutral_landmarks_m.clone())

    # -- geometry ------------------------------------------------------------------------------------------------

    def field(self, points_m: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"]]:
        """Signed distance in metres (negative inside) and features in (-1, 1).

        The network adds to the signed distance of an ellipsoid, so training starts from a closed surface of head size.
        """
        out = self.geometry(encode_points(points_m))
        center = points_m.new_tensor(self.config.initial_center_m)
        radii = points_m.new_tensor(self.config.initial_radii_m)
        ellipsoid_m = (((points_m - center) / radii).norm(dim=-1) - 1) * radii.min()
        return ellipsoid_m + self.config.sdf_scale_m * out[:, 0], torch.tanh(out[:, 1:])

    def surface(self, cell_m: float | None = None) -> Surface:
        """The canonical mesh, differentiable; `cell_m` overrides the configured resolution."""
        config = self.config
        grid = _grid(config.box_low_m, config.box_high_m, cell_m or config.cell_m, self.neutral_landmarks_m.device)
        with torch.no_grad():  # only vertices of crossed edges need a graph: about a tenth of the grid
            inside = self.field(grid.vertices_m)[0] < 0
        crossings = find_crossings(inside, grid)
        used, edges = torch.unique(crossings.edges, return_inverse=True)
        points = grid.vertices_m[used]
        sdf, features = self.field(points)
        values = torch.cat([points, features], dim=-1)[edges]
        at_surface = interpolate(values, _signed(sdf[edges]))
        return Surface(at_surface[:, :3], at_surface[:, 3:], crossings.faces)

    def offsets(self, points_m: Float[Tensor, "n 3"], head: HeadParameters) -> Float[Tensor, "b n 3"]:
        """Displacement of canonical points by expression (near landmarks), pose (elsewhere) and identity, in metres."""
        near = self.nearness(points_m)[:, None]
        encoded = encode_points(points_m)
        by_shape = torch.tanh(self.shape_deform(encoded, SHAPE(head)))
        by_pose = torch.tanh(self.pose_deform(encoded, POSE_IDENTITY(head)))
        return self.config.max_offset_m * (near * by_shape + (1 - near) * by_pose)

    def nearness(self, points_m: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Weight of expression against pose at canonical points."""
        landmarks = self.neutral_landmarks_m.detach()
        return proximity(points_m.detach(), landmarks, self.config.near_m, self.config.far_m)

    # -- appearance ----------------------------------------------------------------------------------------------

    def colors(self, surface: Surface, head: HeadParameters) -> Float[Tensor, "b n c"]:
        """Per-vertex colour channels in (0, 1)."""
        landmarks = self.neutral_landmarks_m.detach()
        near = self.nearness(surface.vertices_m)[:, None]
        lids = torch.cat([landmarks[LEFT_EYE], landmarks[RIGHT_EYE]])
        eye = proximity(surface.vertices_m.detach(), lids, self.config.near_m / 3, self.config.far_m / 3)[:, None]
        logits = (
            near * self.shape_color(surface.features, SHAPE(head))
            + (1 - near) * self.pose_color(surface.features, POSE_IDENTITY(head))
            + eye * self.eye_color(surface.features, GAZE(head))
        )
        return torch.sigmoid(logits)

    def forward(self, camera: Camera, head: HeadParameters) -> MeshHeadOutput:
        """Renders the head of each sample on white."""
        surface = self.surface()
        offsets_m = self.offsets(surface.vertices_m, head)
        colors = self.colors(surface, head)
        cloud = flat_gaussians(surface.vertices_m + offsets_m, surface.faces, colors)
        white = torch.ones(colors.shape[0], colors.shape[-1], device=colors.device)
        rendering = render(cloud, camera.seen_from(head.head_to_world), white)
        landmarks = self.neutral_landmarks_m
        return MeshHeadOutput(
            rendering,
            surface,
            offsets_m,
            landmarks + self.offsets(landmarks, head),
            self.field(landmarks[17:])[0],  # the jaw line's landmarks are contour points, not surface points
        )


@lru_cache(maxsize=1)
def _grid(low_m: Point, high_m: Point, cell_m: float, device: torch.device) -> TetGrid:
    """The grid on the model's device, cached between steps."""
    return tet_grid(torch.tensor(low_m, device=device), torch.tensor(high_m, device=device), cell_m)


def _signed(sdf: Float[Tensor, "e 2"]) -> Float[Tensor, "e 2"]:
    """Keeps inside values negative and outside values non-negative, even if a second evaluation rounds across zero."""
    return torch.stack([sdf[:, 0].clamp(max=-1e-7), sdf[:, 1].clamp(min=0.0)], dim=-1)


def flat_gaussians(
    vertices_m: Float[Tensor, "b n 3"], faces: Int[Tensor, "t 3"], colors: Float[Tensor, "b n c"]
) -> Gaussians:
    """One flat Gaussian per triangle: centre, second moment of its area (widened to close gaps), mean colour."""
    corners = vertices_m[:, faces]  # (b, t, 3, 3)
    means = corners.mean(dim=2)
    quats, scales = _triangle_axes(corners - means[:, :, None])
    opacities = torch.full_like(means[..., 0], 0.98)
    return Gaussians(means, quats, scales, opacities, colors[:, faces].mean(dim=2))


_WIDENING = 1.5  # neighbouring triangles overlap to an alpha close to one
_THICKNESS_M = 5e-4


def _triangle_axes(offsets: Float[Tensor, "b t 3 3"]) -> tuple[Float[Tensor, "b t 4"], Float[Tensor, "b t 3"]]:
    """Principal axes (as quaternions) and standard deviations of triangles given by corners minus centre.

    A uniform triangle has covariance (1/12) sum_i d_i d_i^T over its offsets d_i. It is diagonalised in the plane in
    closed form; where both axes are equal any rotation is valid, and the guarded atan2 keeps the gradient finite.
    """
    first = nn.functional.normalize(offsets[:, :, 0], dim=-1, eps=1e-9)
    normal = torch.linalg.cross(offsets[:, :, 1] - offsets[:, :, 0], offsets[:, :, 2] - offsets[:, :, 0], dim=-1)
    normal = _safe_normal(normal, first)
    second = torch.linalg.cross(normal, first, dim=-1)
    u, v = (offsets * first[:, :, None]).sum(-1), (offsets * second[:, :, None]).sum(-1)
    uu, vv, uv = (u * u).sum(-1) / 12, (v * v).sum(-1) / 12, (u * v).sum(-1) / 12
    half_gap = torch.sqrt(((uu - vv) / 2) ** 2 + uv**2 + 1e-16)
    mean = (uu + vv) / 2
    nearly_round = half_gap < 1e-3 * mean + 1e-10
    angle = 0.5 * torch.atan2(torch.where(nearly_round, 0.0, 2 * uv), torch.where(nearly_round, 1.0, uu - vv))
    major = first * angle.cos()[..., None] + second * angle.sin()[..., None]
    minor = torch.linalg.cross(normal, major, dim=-1)
    variances = torch.stack([mean + half_gap, (mean - half_gap).clamp_min(0)], dim=-1)
    in_plane = _WIDENING * torch.sqrt(variances + 1e-8)
    scales = torch.cat([in_plane, torch.full_like(in_plane[..., :1], _THICKNESS_M)], dim=-1)
    return quaternion_from_matrix(torch.stack([major, minor, normal], dim=-1)), scales


def _safe_normal(normal: Float[Tensor, "b t 3"], first: Float[Tensor, "b t 3"]) -> Float[Tensor, "b t 3"]:
    """Unit normals orthogonal to `first`, also for triangles without area."""
    degenerate = normal.norm(dim=-1, keepdim=True) < 1e-12
    axis = torch.where(first[..., :1].abs() < 0.9, normal.new_tensor([1.0, 0, 0]), normal.new_tensor([0, 1.0, 0]))
    fallback = torch.linalg.cross(first, axis.expand_as(first), dim=-1)
    return nn.functional.normalize(torch.where(degenerate, fallback, normal), dim=-1, eps=1e-15)
