"""A procedural tetrahedral grid and marching tetrahedra on it: a triangle mesh from a signed distance field.

Each cube of a regular grid is cut into the six tetrahedra that share its main diagonal (Kuhn's subdivision), which
match across cube faces, so the zero level set is watertight inside the box. It needs no asset.
"""

from dataclasses import dataclass
from itertools import permutations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


@dataclass(frozen=True, eq=False)
class TetGrid:
    """Vertices in metres and the vertex indices of each tetrahedron, all of one orientation."""

    vertices_m: Float[Tensor, "v 3"]
    tets: Int[Tensor, "t 4"]
    cell_m: float


def tet_grid(low_m: Tensor, high_m: Tensor, cell_m: float) -> TetGrid:
    """A grid of cubes of edge `cell_m` that covers the box from `low_m` to `high_m`, on their device."""
    device = low_m.device
    cells = torch.ceil((high_m - low_m) / cell_m).long().tolist()
    corners = torch.cartesian_prod(*(torch.arange(n + 1, device=device) for n in cells))
    strides = torch.tensor([(cells[1] + 1) * (cells[2] + 1), cells[2] + 1, 1], device=device)
    origins = (torch.cartesian_prod(*(torch.arange(n, device=device) for n in cells)) * strides).sum(-1)
    offsets = []
    for order in permutations(range(3)):
        path = [0, *torch.cumsum(strides[list(order)], dim=0).tolist()]
        odd = order in ((0, 2, 1), (1, 0, 2), (2, 1, 0))
        offsets.append([path[0], path[2], path[1], path[3]] if odd else path)
    tets = (origins[:, None, None] + torch.tensor(offsets, device=device)).flatten(0, 1)
    return TetGrid(low_m + corners * cell_m, tets, cell_m)


@dataclass(frozen=True, eq=False)
class Crossings:
    """Where the zero level set crosses the grid: grid edges (inside vertex, outside vertex) and triangles over them."""

    edges: Int[Tensor, "e 2"]
    faces: Int[Tensor, "f 3"]


def find_crossings(inside: Bool[Tensor, " v"], grid: TetGrid) -> Crossings:
    """Edges that the surface crosses, each once, and the triangles between them, oriented outward.

    Marching tetrahedra (Doi & Koide 1991): one vertex on one side gives a triangle, two on each side a quadrilateral.
    """
    count = inside[grid.tets].sum(-1)
    triangles = []
    for num_inside in (1, 2, 3):
        tets = grid.tets[count == num_inside]
        if len(tets):
            triangles.append(_triangles(_inside_first(tets, inside), num_inside))
    corners = torch.cat(triangles) if triangles else grid.tets.new_zeros((0, 3, 2))
    # One id per undirected edge; an edge always runs from its inside to its outside vertex.
    keys = corners[..., 0] * len(inside) + corners[..., 1]
    unique, faces = torch.unique(keys, return_inverse=True)
    edges = torch.stack([unique // len(inside), unique % len(inside)], dim=-1)
    return Crossings(edges, faces)


def _inside_first(tets: Int[Tensor, "t 4"], inside: Bool[Tensor, " v"]) -> Int[Tensor, "t 4"]:
    """Reorders each tetrahedron by an even permutation so that its inside vertices come first."""
    order = torch.argsort((~inside[tets]).int(), dim=-1, stable=True)
    odd = _is_odd(order)
    # Swapping the last two vertices (both outside or both inside), or the first two, restores the orientation.
    swap_last = inside[tets].sum(-1) != 3
    last = order[:, [0, 1, 3, 2]]
    first = order[:, [1, 0, 2, 3]]
    fixed = torch.where(swap_last[:, None], last, first)
    return tets.gather(1, torch.where(odd[:, None], fixed, order))


def _is_odd(order: Int[Tensor, "t 4"]) -> Bool[Tensor, " t"]:
    inversions = sum((order[:, a] > order[:, b]).int() for a, b in _EDGES)
    return torch.as_tensor(inversions) % 2 == 1


def _triangles(tets: Int[Tensor, "t 4"], num_inside: int) -> Int[Tensor, "f 3 2"]:
    """Triangle corners as (inside, outside) edges of tetrahedra whose inside vertices come first."""
    a, b, c, d = tets.unbind(-1)

    def triangle(*edges: tuple[Tensor, Tensor]) -> Tensor:
        return torch.stack([torch.stack(edge, dim=-1) for edge in edges], dim=1)

    if num_inside == 1:
        return triangle((a, b), (a, c), (a, d))
    if num_inside == 3:
        return triangle((a, d), (b, d), (c, d))
    return torch.cat([triangle((a, c), (a, d), (b, d)), triangle((a, c), (b, d), (b, c))])


def interpolate(values: Float[Tensor, "e 2 d"], sdf: Float[Tensor, "e 2"]) -> Float[Tensor, "e d"]:
    """Values where the signed distance is zero on each crossed edge, linear along it and differentiable in both."""
    inside, outside = sdf[:, :1], sdf[:, 1:]
    weight = inside / (inside - outside)  # inside < 0 <= outside, so the divisor is never zero
    return values[:, 0] * (1 - weight) + values[:, 1] * weight
