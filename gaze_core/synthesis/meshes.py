"""Triangle meshes as arrays: extrusion, Loop subdivision as a matrix, normals, distances in the plane."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse
from scipy.sparse import csgraph


def components(faces: Int[ndarray, "t 3"], num_vertices: int) -> Int[ndarray, " n"]:
    """Index of the connected part that each vertex belongs to."""
    ends = np.roll(faces, 1, axis=1)
    links = sparse.coo_matrix((np.ones(faces.size), (faces.ravel(), ends.ravel())), shape=(num_vertices,) * 2)
    return np.asarray(csgraph.connected_components(links, directed=False)[1])


def directed_edges(faces: Int[ndarray, "t 3"]) -> Int[ndarray, "e 2"]:
    """The three edges of each triangle, in the order its winding runs through them."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def boundary_edges(faces: Int[ndarray, "t 3"]) -> Int[ndarray, "e 2"]:
    """Directed edges that belong to one triangle only."""
    edges = directed_edges(faces)
    _, index, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    return np.asarray(edges[index[count == 1]])


def extrude(
    faces: Int[ndarray, "t 3"], edges: Int[ndarray, "e 2"], num_vertices: int, num_rings: int
) -> tuple[Int[ndarray, "u 3"], Int[ndarray, "k"]]:
    """Faces with a wall of `num_rings` rows of quads grown from boundary edges, and the rim they start from.

    Ring r of the wall holds the k vertices from `num_vertices + r k` on, in the order of the returned rim.
    """
    rim, local = np.unique(edges, return_inverse=True)
    local = local.reshape(edges.shape)
    walls = [faces]
    upper = edges
    for ring in range(num_rings):
        lower = num_vertices + ring * len(rim) + local
        walls.append(np.stack([upper[:, 1], upper[:, 0], lower[:, 0]], axis=1))
        walls.append(np.stack([upper[:, 1], lower[:, 0], lower[:, 1]], axis=1))
        upper = lower
    return np.concatenate(walls), rim


def loop_subdivision(faces: Int[ndarray, "t 3"], num_vertices: int) -> tuple[sparse.csr_matrix, Int[ndarray, "u 3"]]:
    """One step of Loop subdivision: the matrix that maps vertices to finer ones, and the finer faces.

    The first `num_vertices` fine vertices are the (smoothed) old ones, so vertex names stay valid. Loop 1987,
    with Warren's vertex weights.
    """
    half = directed_edges(faces)
    edges, inverse, count = np.unique(np.sort(half, axis=1), axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    inner = count == 2
    midpoints = np.arange(len(edges)) + num_vertices
    rows = [midpoints, midpoints, num_vertices + inverse[inner[inverse]]]
    columns = [edges[:, 0], edges[:, 1], opposite[inner[inverse]]]
    end_weight = np.where(inner, 3 / 8, 1 / 2)
    values = [end_weight, end_weight, np.full(int(inner[inverse].sum()), 1 / 8)]

    on_rim = np.zeros(num_vertices, dtype=bool)
    on_rim[edges[~inner]] = True
    # A rim vertex follows its rim neighbours only; any other vertex follows all its neighbours.
    both = np.concatenate([edges, edges[:, ::-1]])
    rim_edge = np.tile(~inner, 2)
    follows = np.where(on_rim[both[:, 0]], rim_edge, True)
    center, neighbour = both[follows].T
    valence = np.maximum(np.bincount(center, minlength=num_vertices), 1)
    share = np.where(on_rim, 1 / 8, np.where(valence == 3, 3 / 16, 3 / (8 * valence)))
    rows += [center, np.arange(num_vertices)]
    columns += [neighbour, np.arange(num_vertices)]
    values += [share[center], 1 - np.bincount(center, minlength=num_vertices) * share]

    shape = (num_vertices + len(edges), num_vertices)
    matrix = sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    ab, bc, ca = num_vertices + inverse.reshape(3, -1)
    a, b, c = faces.T
    fine = [np.stack(t, axis=1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    return matrix, np.concatenate(fine)


def vertex_normals(vertices_m: Float[ndarray, "n 3"], faces: Int[ndarray, "t 3"]) -> Float[ndarray, "n 3"]:
    """Unit normals, mean of the adjacent triangles weighted by area."""
    a, b, c = (vertices_m[faces[:, corner]] for corner in range(3))
    face_normals = np.cross(b - a, c - a)
    sums = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(face_normals[:, axis], 3), minlength=len(vertices_m))
            for axis in range(3)
        ],
        axis=1,
    )
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12))


def distance_to_line(
    points: Float[ndarray, "n d"], line: Float[ndarray, "k d"]
) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
    """Distance to a polyline and the place of the nearest point along it, in [0, 1]."""
    start, step = line[:-1], np.diff(line, axis=0)
    along = np.einsum("nkd,kd->nk", points[:, None] - start, step) / (step**2).sum(-1)
    along = along.clip(0, 1)
    distance = np.linalg.norm(points[:, None] - (start + along[..., None] * step), axis=-1)
    best = distance.argmin(axis=1)
    every = np.arange(len(points))
    return distance[every, best], (best + along[every, best]) / len(step)


def signed_distance_to_polygon(points: Float[ndarray, "n 2"], polygon: Float[ndarray, "k 2"]) -> Float[ndarray, " n"]:
    """Distance to the outline of a polygon in the plane, negative inside."""
    closed = np.concatenate([polygon, polygon[:1]])
    distance, _ = distance_to_line(points, closed)
    (x0, y0), (x1, y1) = closed[:-1].T, closed[1:].T
    x, y = points[:, :1], points[:, 1:]
    between = (y0 > y) != (y1 > y)
    safe = np.where(y1 == y0, 1.0, y1 - y0)
    left = x < (x1 - x0) * (y - y0) / safe + x0
    inside = (between & left).sum(axis=1) % 2 == 1
    return np.where(inside, -distance, distance)
