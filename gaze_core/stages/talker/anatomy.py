"""Where eyes and mouth of a talker subject are, from its points and its label maps."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from gaze_core.geometry.cameras import Camera
from gaze_core.models.talker.initialisation import Anatomy
from gaze_core.stages.talker.frames import open_eyed
from gaze_core.talker.subject import TalkerSubject
from gaze_core.talker.subject_schema import LEFT_EYE, LIPS, MOUTH, RIGHT_EYE

_MOST_FRAMES = 24
_LIPS_DEPTH_M = 0.04
_DEFAULT_MOUTH_M, _DEFAULT_HALF_WIDTH_M = (0.0, 0.065, 0.01), 0.025  # of an average head, below the eyes
_DEFAULT_RGB = (0.25, 0.1, 0.1)


def anatomy_of(subject: TalkerSubject, rows: Int[ndarray, " k"]) -> Anatomy:
    """Reads them off some frames with open eyes; points that lie over the openings of the eyes are left out."""
    awake = open_eyed(subject, rows)
    chosen = awake[np.unique(np.linspace(0, len(awake) - 1, min(_MOST_FRAMES, len(awake))).astype(int))]
    points = torch.from_numpy(np.asarray(subject.points_m, np.float32))
    rgb = torch.from_numpy(np.asarray(subject.points_rgb, np.float32))
    rgb = rgb / 255 if float(rgb.max()) > 1.5 else rgb
    classes = _classes(subject, chosen, points)
    centres = torch.from_numpy(np.asarray(subject.eye_centres_m, np.float32))
    radius_m = float(subject.facts.eye_radius_m)
    is_near = torch.cdist(points, centres).min(dim=1).values < 2 * radius_m
    is_eye = ((classes == LEFT_EYE) | (classes == RIGHT_EYE)).float().mean(dim=0) > 0.5
    is_lip = ((classes == LIPS) | (classes == MOUTH)).float().mean(dim=0) > 0.5
    lips = points[is_lip]
    if len(lips):  # without the back of the head behind them
        lips = lips[lips[:, 2] < lips[:, 2].min() + _LIPS_DEPTH_M]
    middle, half_width_m = torch.tensor(_DEFAULT_MOUTH_M), _DEFAULT_HALF_WIDTH_M
    if len(lips) >= 4:
        middle, half_width_m = lips.mean(dim=0), float((lips[:, 0].amax() - lips[:, 0].amin()) / 2)
    kept = ~(is_eye & is_near)
    return Anatomy(
        points[kept], rgb[kept].clamp(0, 1), centres, radius_m, middle, half_width_m, _inside_rgb(subject, chosen)
    )


def _classes(subject: TalkerSubject, rows: Int[ndarray, " k"], points_m: Float[Tensor, "p 3"]) -> Int[Tensor, "k p"]:
    """The class of the pixel that each point falls on, in each frame."""
    height, width = subject.labels.shape[1:]
    viewmat = torch.from_numpy(np.asarray(subject.viewmat[rows], np.float32))
    intrinsics = torch.from_numpy(np.asarray(subject.intrinsics, np.float32)).expand(len(rows), 3, 3)
    places = Camera(intrinsics, viewmat, (width, height)).project(points_m.expand(len(rows), -1, 3)).floor().long()
    labels = torch.from_numpy(np.ascontiguousarray(subject.labels[rows]).astype(np.int64))
    x, y = places[..., 0].clamp(0, width - 1), places[..., 1].clamp(0, height - 1)
    return labels.flatten(1).gather(1, y * width + x)


def _inside_rgb(subject: TalkerSubject, rows: Int[ndarray, " k"]) -> Float[Tensor, " 3"]:
    """The mean colour of the mouth's interior."""
    widest = rows[np.argsort(subject.mouth_open[rows])[-4:]]
    inside = subject.images(np.sort(widest))[subject.labels[np.sort(widest)] == MOUTH]
    return torch.tensor(inside.mean(axis=0) / 255 if len(inside) else _DEFAULT_RGB, dtype=torch.float32)
