"""The geometry of a synthetic head: anny's mesh with identity and expression, and two eyeballs.

All results are in the head frame of `data/schema.py`: origin midway between the eyeball centres,
x image right when the head faces the camera, y down, z away from it, metres.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse

from gaze_core.data.schema import ARKIT, GAZE_COEFFICIENTS
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.rotations import eye_rotation
from gaze_core.synthesis.anatomy import (
    LANDMARK_VERTICES,
    LOCAL_CHANGES,
    LOWER_LIDS,
    NUM_ANNY_VERTICES,
    PHENOTYPES,
    SIDED,
)
from gaze_core.synthesis.lids import IRIS_RADIUS_M, SIDES, Lids, measure_lids
from gaze_core.synthesis.meshes import boundary_edges, components, extrude, loop_subdivision, vertex_normals

_ANNY_TO_HEAD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # anny: x subject's left, y back, z up
# anny holds its chin up: laid on the average face that gives recordings their head frame (`preprocess/face_mesh.py`) by
# brows, eyes and nose, its faces point 6.5 degrees up (12 people, spread 2.7). Equal poses must mean equal heads.
_CHIN_UP = np.deg2rad(6.0)
_UPRIGHT = np.array([[1.0, 0, 0], [0, np.cos(_CHIN_UP), np.sin(_CHIN_UP)], [0, -np.sin(_CHIN_UP), np.cos(_CHIN_UP)]])
_NECK_RINGS, _NECK_END_M = 4, 0.17
LIMBUS_RAD, _BULGE = np.deg2rad(21.0), 0.03  # cornea: share of the radius by which its apex stands out
EYEBALL_RADIUS_M = 0.012  # on which a real iris's apex turns; anny's balls are 16.4 mm wide at the same place
_LOWEST_M = (-0.001, 0.003)  # how far below anny's ball an eyeball's centre may lie
_LID_GAP_M = 2.5e-4


@lru_cache(maxsize=1)
def load_anny() -> Any:
    """anny's head model. The first call on a machine builds a cache of 0.7 GB, which takes minutes."""
    try:
        import anny
    except ImportError as error:
        raise BadInput(
            "making synthetic subjects needs the packages anny and mitsuba, which are not installed; "
            "run: pip install gazeworks[synthesis]"
        ) from error
    return anny.Anny(
        rig="makehuman-head", topology="head", local_changes="all", facial_actions="all", phenotypes="all",
        pose_parameterization="local-bone",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Shape:
    """Shape parameters: values in [0, 1] in the order of PHENOTYPES, in [-1, 1] in the order of LOCAL_CHANGES."""

    phenotypes: Float[ndarray, "p"]
    local_changes: Float[ndarray, "c"]
    lid_cover_m: float = 0.0012  # how much of the upper iris lies under the lid


@dataclass(frozen=True, eq=False)
class Topology:
    """Mesh topology shared by all heads. Coarse vertices are anny's; fine ones include the neck and the subdivision."""

    eyeballs: tuple[Int[ndarray, " l"], Int[ndarray, " r"]]  # coarse vertices of the left and right eyeball
    rim: Int[ndarray, " k"]  # coarse vertices where the neck ends
    refine: sparse.csr_matrix
    faces: Int[ndarray, "t 3"]
    tongue: ndarray  # bool, fine vertices
    reference_m: Float[ndarray, "n 3"]  # fine vertices of anny's average head: coordinates to paint by


@dataclass(frozen=True, eq=False)
class Head:
    """One person's head, able to show expressions.

    anny's eyeballs are as wide as its lids need, but wider than anyone's: an iris on them would go a third too far.
    So they stay as the surface, and turn as far as carries their iris to where an eyeball of `EYEBALL_RADIUS_M` would.
    """

    shape: Shape
    topology: Topology
    eye_centers_m: Float[ndarray, "2 3"]  # left, right; what gaze turns about
    surface_centers_m: Float[ndarray, "2 3"]  # of the spheres that are seen
    surface_radius_m: float
    lids: Lids
    neutral_m: Float[ndarray, "n 3"]
    normals: Float[ndarray, "n 3"]
    origin_m: Float[ndarray, "3"]  # in anny's upright frame

    def vertices(
        self, expression: Float[ndarray, "52"], gaze_head_eyes: Float[ndarray, "2 2"]
    ) -> Float[ndarray, "n 3"]:
        """Fine vertices with an expression (ARKIT order); lids rest on the turned eyeballs."""
        moved = self.lids.following(expression, gaze_head_eyes, EYEBALL_RADIUS_M, self.shape.lid_cover_m)
        fine = _fine_vertices(self.topology, _anny_vertices(self.shape, moved), self.origin_m)
        return self._lids_outside(fine, self.surface_gaze(gaze_head_eyes))

    def surface_gaze(self, gaze_head_eyes: Float[ndarray, "2 2"]) -> Float[ndarray, "2 2"]:
        """`[pitch, yaw]` of the turned surfaces that put each iris where the gaze of its eye does."""
        irises = self.eye_centers_m + EYEBALL_RADIUS_M * vector_from_pitchyaw(torch.tensor(gaze_head_eyes)).numpy()
        return np.asarray(pitchyaw_from_vector(torch.tensor(irises - self.surface_centers_m)).numpy())

    def landmarks(self, vertices_m: Float[ndarray, "n 3"]) -> Float[ndarray, "68 3"]:
        """iBUG-68 of a posed head."""
        return np.asarray(vertices_m[LANDMARK_VERTICES])

    def _lids_outside(
        self, vertices_m: Float[ndarray, "n 3"], surface_gaze: Float[ndarray, "2 2"]
    ) -> Float[ndarray, "n 3"]:
        # anny moves lids along straight lines, which cut through the eyeball half-way through a blink.
        out = vertices_m.copy()
        for center, gaze in zip(self.surface_centers_m, surface_gaze, strict=True):
            spoke = out - center
            distance = np.linalg.norm(spoke, axis=1)
            direction = spoke / np.maximum(distance, 1e-9)[:, None]
            eyes_own = direction @ eye_rotation(torch.tensor(gaze)).numpy()
            needed = self.surface_radius_m * eyeball_profile(np.arccos(np.clip(-eyes_own[:, 2], -1, 1))) + _LID_GAP_M
            inside = distance < needed
            out[inside] = center + direction[inside] * needed[inside, None]
        return out


def eyeball_profile(angle_rad: ndarray) -> ndarray:
    """Radius of the eyeball, in units of the sclera's, at an angle from the gaze axis."""
    within = np.clip(1 - (angle_rad / (1.15 * LIMBUS_RAD)) ** 2, 0, None)
    return np.asarray(1 + _BULGE * within**1.5)


def make_head(shape: Shape, subdivisions: int) -> Head:
    """The head of an identity. Its eyes' surfaces are spheres fitted to anny's eyeballs, whose right one is a half."""
    topology = _topology(subdivisions)
    coarse = _anny_vertices(shape, np.zeros(len(ARKIT)))
    spheres = [_fit_sphere(coarse[vertices] @ _UPRIGHT.T) for vertices in topology.eyeballs]
    surfaces = np.stack([center for center, _ in spheres])
    radius = float(np.mean([radius for _, radius in spheres]))
    centers = _eye_centers(coarse @ _UPRIGHT.T, surfaces, radius)
    origin = centers.mean(axis=0)
    neutral = _fine_vertices(topology, coarse, origin)
    lids = measure_lids(lambda expression: _anny_vertices(shape, expression) @ _UPRIGHT.T - origin)
    normals = vertex_normals(neutral, topology.faces)
    return Head(shape, topology, centers - origin, surfaces - origin, radius, lids, neutral, normals, origin)


def _fine_vertices(
    topology: Topology, coarse_m: Float[ndarray, "n 3"], origin_m: Float[ndarray, "3"]
) -> Float[ndarray, "m 3"]:
    """Fine vertices in the head frame of coarse ones in anny's."""
    return np.asarray(topology.refine @ _with_neck(coarse_m, topology.rim, origin_m @ _UPRIGHT) @ _UPRIGHT.T - origin_m)


def _eye_centers(
    coarse_m: Float[ndarray, "n 3"], surfaces_m: Float[ndarray, "2 3"], radius_m: float
) -> Float[ndarray, "2 3"]:
    """Centres of eyeballs of a real size behind the fronts of anny's, at heights whose iris rests on the lower lid."""
    lower = np.array([coarse_m[list(lid), 1].mean() for lid in LOWER_LIDS])
    below = np.clip(lower.mean() - IRIS_RADIUS_M - surfaces_m[:, 1].mean(), *_LOWEST_M)
    return surfaces_m + [0, below, EYEBALL_RADIUS_M - radius_m]


@lru_cache(maxsize=2)
def _topology(subdivisions: int) -> Topology:
    model = load_anny()
    all_faces = model.get_triangular_faces().numpy()
    average = Shape(np.full(len(PHENOTYPES), 0.5), np.zeros(len(LOCAL_CHANGES)))
    coarse = _anny_vertices(average, np.zeros(len(ARKIT)))
    if len(coarse) != NUM_ANNY_VERTICES:
        raise ContractViolation(
            f"anny's head mesh has {len(coarse)} vertices, the landmark table in synthesis/anatomy.py is for "
            f"{NUM_ANNY_VERTICES}; install the anny version of the constraints file (0.6)"
        )
    part = components(all_faces, len(coarse))
    parts = sorted(set(part[all_faces[:, 0]]), key=lambda p: -(part == p).sum())
    skin, tongue, *eyes = parts
    left, right = sorted(eyes, key=lambda p: -coarse[part == p, 0].mean())
    eyeballs = (np.flatnonzero(part == left), np.flatnonzero(part == right))
    faces = all_faces[np.isin(part[all_faces[:, 0]], [skin, tongue])]
    faces, rim = extrude(faces, boundary_edges(faces), len(coarse), _NECK_RINGS)
    count = len(coarse) + _NECK_RINGS * len(rim)
    refine: sparse.csr_matrix = sparse.identity(count, format="csr")
    on_tongue = np.zeros(count)
    on_tongue[: len(coarse)] = part == tongue
    for _ in range(subdivisions):
        step, faces = loop_subdivision(faces, refine.shape[0])
        refine = step @ refine
    origin = np.mean([_fit_sphere(coarse[vertices])[0] for vertices in eyeballs], axis=0)
    reference = refine @ (_with_neck(coarse, rim, origin) - origin)
    return Topology(eyeballs, rim, refine, faces, refine @ on_tongue > 0.5, reference)


def _anny_vertices(shape: Shape, expression: Float[ndarray, "52"]) -> Float[ndarray, "n 3"]:
    """Coarse vertices in our axes, about anny's origin."""
    model = load_anny()
    changes = {
        name: float(value)
        for base, value in zip(LOCAL_CHANGES, shape.local_changes, strict=True)
        for name in ((f"l-{base}", f"r-{base}") if base.startswith(SIDED) else (base,))
    }
    actions = {name: float(value) for name, value in zip(ARKIT, expression, strict=True)}
    with torch.no_grad():
        out = model(
            phenotype_kwargs=dict(zip(PHENOTYPES, map(float, shape.phenotypes), strict=True)),
            local_changes_kwargs=changes,
            facial_actions=actions,
        )
    return np.asarray(out["rest_vertices"][0].numpy() @ _ANNY_TO_HEAD.T)


def _with_neck(
    coarse_m: Float[ndarray, "n 3"], rim: Int[ndarray, " r"], eyes_m: Float[ndarray, "3"]
) -> Float[ndarray, "m 3"]:
    """Adds rings that carry the neck from anny's slanted cut down to a level end below the eyes; all in anny's frame."""
    start = coarse_m[rim] - eyes_m
    end = start * [1.12, 0, 1.0] + [0, _NECK_END_M, 0.012]
    rings = [eyes_m + start + (end - start) * share for share in np.linspace(0, 1, _NECK_RINGS + 1)[1:]]
    return np.concatenate([coarse_m, *rings])


def _fit_sphere(points: Float[ndarray, "n 3"]) -> tuple[Float[ndarray, "3"], float]:
    """Least-squares centre and radius; a half sphere is enough."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    *center, rest = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    return np.asarray(center), float(np.sqrt(rest + np.dot(center, center)))


def lid_actions(gaze_head_eyes: Float[ndarray, "2 2"], full_at_rad: float) -> dict[str, float]:
    """The vertical `eyeLook*` coefficients by which lids follow the gaze of their eye."""
    actions = dict.fromkeys(GAZE_COEFFICIENTS, 0.0)
    for side, (pitch, _) in zip(SIDES, gaze_head_eyes, strict=True):
        actions[f"eyeLookUp{side}"] = float(np.clip(pitch / full_at_rad, 0, 1))
        actions[f"eyeLookDown{side}"] = float(np.clip(-pitch / full_at_rad, 0, 1))
    return actions
