import math

import pytest
import torch

from gaze_core.models.redirection.tetrahedra import find_crossings, interpolate, tet_grid

RADIUS_M, CENTER = 0.08, torch.tensor([0.003, -0.002, 0.001])


@pytest.fixture(scope="module")
def sphere():
    grid = tet_grid(torch.full((3,), -0.11), torch.full((3,), 0.11), 0.01)
    sdf = (grid.vertices_m - CENTER).norm(dim=-1) - RADIUS_M
    crossings = find_crossings(sdf < 0, grid)
    vertices = interpolate(grid.vertices_m[crossings.edges], sdf[crossings.edges])
    return grid, crossings, vertices


def test_tetrahedra_fill_the_box_with_one_orientation(sphere):
    grid = sphere[0]
    corners = grid.vertices_m[grid.tets]
    volumes = torch.linalg.det((corners[:, 1:] - corners[:, :1]).double()) / 6
    assert volumes.min() > 0
    assert volumes.sum().item() == pytest.approx(0.22**3, rel=1e-4)


def test_surface_is_closed_and_a_sphere(sphere):
    _, crossings, vertices = sphere
    faces = crossings.faces
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    unique, counts = torch.unique(edges.sort(dim=-1).values, dim=0, return_counts=True)
    assert (counts == 2).all()  # watertight
    assert len(torch.unique(edges, dim=0)) == len(edges)  # consistently oriented
    assert len(vertices) - len(unique) + len(faces) == 2  # Euler characteristic of a sphere
    assert ((vertices - CENTER).norm(dim=-1) - RADIUS_M).abs().max() < 0.001


def test_triangles_face_outward_with_the_area_and_volume_of_the_sphere(sphere):
    _, crossings, vertices = sphere
    a, b, c = vertices[crossings.faces].double().unbind(1)
    signed_volume = (a * torch.linalg.cross(b, c, dim=-1)).sum() / 6
    area = torch.linalg.cross(b - a, c - a, dim=-1).norm(dim=-1).sum() / 2
    assert signed_volume.item() == pytest.approx(4 / 3 * math.pi * RADIUS_M**3, rel=0.02)
    assert area.item() == pytest.approx(4 * math.pi * RADIUS_M**2, rel=0.02)


def test_moving_the_field_moves_the_surface(sphere):
    grid, crossings, _ = sphere
    shift = torch.zeros((), requires_grad=True)
    sdf = (grid.vertices_m - CENTER).norm(dim=-1) - RADIUS_M - shift
    vertices = interpolate(grid.vertices_m[crossings.edges], sdf[crossings.edges])
    radius = (vertices - CENTER).norm(dim=-1).mean()
    (gradient,) = torch.autograd.grad(radius, shift)
    assert gradient.item() == pytest.approx(1.0, abs=0.1)  # a larger level set grows by as much


def test_no_crossing_gives_an_empty_surface():
    grid = tet_grid(torch.zeros(3), torch.ones(3), 0.5)
    crossings = find_crossings(torch.zeros(len(grid.vertices_m), dtype=torch.bool), grid)
    assert crossings.faces.shape == (0, 3)
    assert crossings.edges.shape == (0, 2)
