"""Initialises GazeGaussian from a fitted MeshHead: its surface, eyeball caps, and network weights."""

import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.geometry.landmarks import EYE_LANDMARKS
from gaze_core.models.redirection.gaze_gaussian import GazeGaussian, GazeGaussianConfig
from gaze_core.models.redirection.mesh_head import MeshHead
from gaze_core.models.redirection.streams import eyeball_cap, lid_opening, lid_weight, neighbour_distance_m

_FACE_OPACITY_LOGIT, _OPENING_OPACITY_LOGIT, _EYE_OPACITY_LOGIT = 2.0, -2.0, 3.0


@torch.no_grad()
def initialise_from_mesh_head(
    config: GazeGaussianConfig, mesh_head: MeshHead, eye_centers_m: Float[Tensor, "2 3"]
) -> GazeGaussian:
    """A GazeGaussian that initially renders about what MeshHead renders; `eye_centers_m` are (left, right), head frame."""
    surface = mesh_head.surface(config.cell_m)
    model = GazeGaussian(config, mesh_head.config, len(surface.vertices_m))
    landmarks = mesh_head.neutral_landmarks_m
    opening = lid_opening(surface.vertices_m, landmarks)
    # The mesh covers the eyeballs; its points there are initially almost transparent, so the eyes are visible.
    logits = torch.where(opening > 0, _OPENING_OPACITY_LOGIT, _FACE_OPACITY_LOGIT)
    spacing_m = neighbour_distance_m(surface.vertices_m)
    model.face.place(surface.vertices_m, surface.features, spacing_m, logits)
    model.face.near.copy_(mesh_head.nearness(surface.vertices_m))
    model.face.lids.copy_(lid_weight(surface.vertices_m, landmarks))
    _place_eyes(model, landmarks, eye_centers_m, surface.vertices_m, surface.features)
    _copy_weights(mesh_head, model)
    return model


def _place_eyes(
    model: GazeGaussian, landmarks_m: Tensor, eye_centers_m: Tensor, vertices_m: Tensor, features: Tensor
) -> None:
    cap = eyeball_cap(model.config.points_per_eye).to(eye_centers_m)
    points = []
    for center, eye in zip(eye_centers_m, EYE_LANDMARKS, strict=True):
        # Lids lie on the eyeball, so their distance from its centre is about its radius.
        radius_m = (landmarks_m[eye] - center).norm(dim=-1).mean()
        points.append(center + radius_m * cap)
    means = torch.cat(points)
    nearest = torch.cdist(means, vertices_m).argmin(dim=-1)
    model.eyes.place(means, features[nearest], neighbour_distance_m(means), _EYE_OPACITY_LOGIT)
    model.eyes.centers_m.copy_(eye_centers_m)


def _copy_weights(mesh_head: MeshHead, model: GazeGaussian) -> None:
    """Copies MeshHead's branches to both streams; other networks keep their own initialisation."""
    face, eyes = model.face, model.eyes
    pairs = [
        (mesh_head.shape_color, face.color["shape"]),
        (mesh_head.pose_color, face.color["pose"]),
        (mesh_head.shape_deform, face.deform["shape"]),
        (mesh_head.pose_deform, face.deform["pose"]),
        (mesh_head.shape_color, eyes.color["shape"]),
        (mesh_head.eye_color, eyes.color["gaze"]),
        (mesh_head.shape_deform, eyes.deform),
    ]
    for source, target in pairs:
        target.load_state_dict(source.state_dict())
