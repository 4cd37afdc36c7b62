"""Mesh operations by hand-computed answers."""

import numpy as np

from gaze_core.synthesis.meshes import (
    boundary_edges,
    components,
    distance_to_line,
    extrude,
    loop_subdivision,
    signed_distance_to_polygon,
    vertex_normals,
)

OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
OCTAHEDRON_FACES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
SQUARE_FACES = np.array([[0, 1, 2], [0, 2, 3]])


def test_loop_subdivision_of_an_octahedron():
    matrix, faces = loop_subdivision(OCTAHEDRON_FACES, 6)
    fine = matrix @ OCTAHEDRON
    assert matrix.shape == (6 + 12, 6)
    assert len(faces) == 4 * 8
    # Valence 4: each neighbour weighs 3/32, and the four neighbours of a corner sum to zero.
    np.testing.assert_allclose(fine[0], [1 - 4 * 3 / 32, 0, 0])
    # An edge's point: 3/8 of both ends, 1/8 of both opposite corners, which cancel here or add up to nothing.
    assert any(np.allclose(point, [3 / 8, 3 / 8, 0]) for point in fine[6:])
    assert len(boundary_edges(faces)) == 0


def test_loop_subdivision_keeps_the_rim_on_its_own_curve():
    matrix, faces = loop_subdivision(SQUARE_FACES, 4)
    fine = matrix @ SQUARE
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_allclose(fine[0], [1 / 8, 1 / 8, 0])  # 3/4 (0,0) + 1/8 (1,0) + 1/8 (0,1)
    assert len(boundary_edges(faces)) == 8


def test_winding_survives_subdivision():
    matrix, faces = loop_subdivision(OCTAHEDRON_FACES, 6)
    fine = matrix @ OCTAHEDRON
    assert (np.einsum("nd,nd->n", vertex_normals(fine, faces), fine) > 0).all()


def test_extrusion_closes_rings_onto_the_rim():
    faces, rim = extrude(SQUARE_FACES, boundary_edges(SQUARE_FACES), 4, num_rings=2)
    assert rim.tolist() == [0, 1, 2, 3]
    assert len(faces) == 2 + 2 * 2 * 4
    assert set(boundary_edges(faces).ravel()) == {8, 9, 10, 11}  # only the last ring is open
    below = np.concatenate([SQUARE, SQUARE - [0, 0, 1], SQUARE - [0, 0, 2]])
    centre = below.mean(axis=0)
    a, b, c = (below[faces[2:, k]] for k in range(3))
    assert (((a + b + c) / 3 - centre) * np.cross(b - a, c - a)).sum(axis=1).min() > 0  # walls face outward


def test_components_tell_parts_apart():
    two = np.concatenate([SQUARE_FACES, SQUARE_FACES + 4])
    part = components(two, 8)
    assert len(set(part[:4])) == 1
    assert len(set(part[4:])) == 1
    assert part[0] != part[4]


def test_distance_to_a_polyline():
    distance, along = distance_to_line(np.array([[0.5, 1.0], [3.0, 0.0]]), np.array([[0.0, 0], [1, 0], [2, 0]]))
    np.testing.assert_allclose(distance, [1, 1])
    np.testing.assert_allclose(along, [0.25, 1.0])


def test_signed_distance_to_a_square():
    points = np.array([[0.5, 0.5], [0.5, 0.9], [0.5, 1.5], [2.0, 1.0]])
    np.testing.assert_allclose(signed_distance_to_polygon(points, SQUARE[:, :2]), [-0.5, -0.1, 0.5, 1.0])
