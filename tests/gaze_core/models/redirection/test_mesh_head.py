import math

import pytest
import torch

from gaze_core.data.subjects import SubjectDataset
from gaze_core.geometry.rotations import matrix_from_quaternion
from gaze_core.models.redirection.mesh_head import MeshHead, MeshHeadConfig, flat_gaussians
from tests.tiny_subject import write_tiny_subject

CONFIG = MeshHeadConfig(cell_m=0.03, hidden=16, feature_width=8, color_channels=4)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    path = write_tiny_subject(tmp_path_factory.mktemp("data") / "s.h5", num_images=2)
    return SubjectDataset(path).everything


@pytest.fixture
def model(batch):
    torch.manual_seed(0)
    return MeshHead(CONFIG, batch.landmarks_3d_head_m[0])


def test_flat_gaussian_has_the_centre_and_second_moment_of_its_triangle():
    triangle = torch.tensor([[[0.0, 0, 0], [0.06, 0, 0], [0, 0.02, 0]]])
    cloud = flat_gaussians(triangle, torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 1))
    axes = matrix_from_quaternion(cloud.quats_wxyz)[0, 0]
    found = axes @ torch.diag(cloud.scales[0, 0] ** 2) @ axes.T
    # Uniform points in the triangle, by sampling.
    u, v = torch.rand(2, 200_000, generator=torch.Generator().manual_seed(0))
    u, v = torch.where(u + v > 1, 1 - u, u), torch.where(u + v > 1, 1 - v, v)
    points = torch.stack([0.06 * u, 0.02 * v, torch.zeros_like(u)], dim=-1)
    expected = 1.5**2 * torch.cov(points.T)
    torch.testing.assert_close(cloud.means[0, 0], points.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(found[:2, :2], expected[:2, :2], atol=3e-6, rtol=0.02)
    assert axes[:, 2].abs().argmax() == 2  # thin along the normal


@pytest.mark.parametrize("shape", ["equilateral", "without area"])
def test_degenerate_triangles_have_finite_values_and_gradients(shape):
    height = math.sqrt(3) / 2 if shape == "equilateral" else 0.0
    vertices = 0.01 * torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0.5, height, 0]]])
    vertices.requires_grad_()
    cloud = flat_gaussians(vertices, torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 1))
    (cloud.quats_wxyz.sum() + cloud.scales.sum() + cloud.means.sum()).backward()
    assert cloud.quats_wxyz.isfinite().all()
    assert vertices.grad.isfinite().all()


def test_initial_surface_has_the_size_and_position_of_the_head(model, batch):
    rendering = model(batch.camera, batch.head).rendering
    overlap = (rendering.alpha * batch.head_mask).sum() / torch.maximum(rendering.alpha, batch.head_mask).sum()
    assert overlap > 0.6


def test_silhouette_and_colour_reach_shape_and_appearance(model, batch):
    output = model(batch.camera, batch.head)
    loss = (output.rendering.alpha - batch.head_mask).square().mean()
    loss = loss + (output.rendering.features[:, :3] - batch.rgb_on_white).square().mean()
    loss.backward()
    for name in (
        "geometry.0.weight",
        "shape_color.middle.weight",
        "pose_color.middle.weight",
        "shape_deform.output.bias",
    ):
        assert model.get_parameter(name).grad.abs().max() > 0, name


def test_the_surface_can_be_sampled_finer(model):
    coarse, fine = model.surface(), model.surface(0.02)
    assert len(fine.vertices_m) > 1.5 * len(coarse.vertices_m)
    assert fine.vertices_m.mean(0).sub(coarse.vertices_m.mean(0)).abs().max() < 0.01
