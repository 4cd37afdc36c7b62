"""Synthetic viewing without a renderer: a person of six points, and pictures of plain colours."""

import numpy as np

from gaze_core.estimation.viewing.film import FilmConfig
from gaze_core.estimation.viewing.images import RenderConfig
from gaze_core.estimation.viewing.labels import PATCHES, HeadPoints
from gaze_core.estimation.viewing.plan import Moment, ViewingConfig, plan_viewing
from gaze_core.geometry.landmarks import LEFT_EYE, MOUTH_LEFT, MOUTH_RIGHT, RIGHT_EYE

RENDER = RenderConfig(face_px=48, eye_px=32, margin_px=4)
CLEAN = FilmConfig(
    noise=(0, 0),
    blur_px=(0.05, 0.05),
    blur_spread=0,
    flicker=0,
    dim_share=0,
    lost_share=0,
    crf=5,
    brightness=(120, 120),
)
CENTER_DOWN_PX = 540


def points():
    """A face: eyes 6 cm apart, the mouth below."""
    landmarks = np.zeros((68, 3))
    landmarks[LEFT_EYE] = [0.031, 0, -0.010]
    landmarks[RIGHT_EYE] = [-0.031, 0, -0.010]
    landmarks[[MOUTH_LEFT, MOUTH_RIGHT]] = [0, 0.07, -0.015]
    return HeadPoints(landmarks, np.array([[0.031, 0, 0], [-0.031, 0, 0.0]]))


def moment(x=960.0, y=540.0, head=(0.0,) * 6, closed=0.0):
    """A look at a point of the screen."""
    return Moment(np.array([x, y]), np.asarray(head, dtype=float), closed, 1.0)


def viewing(stimulus="image", seconds=1.0, seed=3):
    return plan_viewing(ViewingConfig(stimulus=stimulus, seconds=seconds, seed=seed))


def plain_images(count, render=RENDER):
    """Gray pictures with alpha for so many moments."""
    sides = {patch: 2 * render.margin_px + (render.face_px if patch == "face" else render.eye_px) for patch in PATCHES}
    return {patch: np.full((count, side, side, 4), (120, 120, 120, 255), np.uint8) for patch, side in sides.items()}
