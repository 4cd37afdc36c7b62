"""Gaze drawn into a picture: an arrow from each eye, the cone of its expected error, and a line of text."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont

from gaze_core.preprocess.face_mesh import IRISES
from gaze_core.preprocess.gaze_reader import FaceReading
from gaze_core.preprocess.images import RgbImage

_COLOURS = ((0, 225, 255), (255, 196, 0), (255, 110, 210), (160, 240, 90))  # of face 0, 1, ...
_EDGE = (16, 20, 28)
_LENGTH, _THICKNESS = 1.1, 0.014  # of an arrow at a right angle to the view, over the face's width
_MIN_LENGTH = 4.0  # of an arrow that is drawn, over its thickness
_CONE_OPACITY = 0.15
_SHIFT = 4  # fractional bits of OpenCV's coordinates


def draw_gaze(image: RgbImage, readings: Sequence[FaceReading], note: str = "") -> RgbImage:
    """A copy of the picture with each face's gaze; `note` says why there is none where no face was found."""
    out = image.copy()
    for reading in readings:
        _draw_face(out, reading)
    _draw_legend(out, legend(readings) or note)
    return out


def legend(readings: Sequence[FaceReading]) -> str:
    """One line about all faces: `gaze in the camera: pitch +3°, yaw -12° (±9°)`."""
    parts = []
    for reading in readings:
        name = f"face {reading.face}: " if len(readings) > 1 else "gaze in the camera: "
        if reading.gaze.camera is None:
            parts.append(name + reading.gaze.why_none.replace("_", " "))
            continue
        pitch, yaw = np.rad2deg(reading.gaze.camera)
        sigma = reading.gaze.sigma_rad
        doubt = "" if sigma is None else f" (±{np.rad2deg(sigma):.0f}°)"
        parts.append(f"{name}pitch {round(pitch):+d}°, yaw {round(yaw):+d}°{doubt}")
    return "   ".join(parts)


def arrow_px(reading: FaceReading) -> tuple[Float[ndarray, "2 2"], Float[ndarray, "2"]] | None:
    """Where the arrows of both eyes (left, right) begin, and the way from there to their tips, px; None without a gaze.

    The way is that of a point that moves from the eyes along the gaze, so that eyes that look into the camera have none.
    """
    if reading.gaze.camera is None:
        return None
    pitch, yaw = reading.gaze.camera
    v = np.array([-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
    x, y, z = reading.pose.translation_m
    way = v[:2] - np.array([x, y]) / z * v[2]
    return reading.points_px[list(IRISES)], _LENGTH * _width_px(reading) * way


def _width_px(reading: FaceReading) -> float:
    return float(np.ptp(reading.points_px, axis=0).max())


def _draw_face(image: RgbImage, reading: FaceReading) -> None:
    arrow = arrow_px(reading)
    if arrow is None:
        return
    starts, way = arrow
    width_px = _width_px(reading)
    colour = _COLOURS[reading.face % len(_COLOURS)]
    thick_px = max(1.2, _THICKNESS * width_px)
    if reading.gaze.sigma_rad is not None:
        radius_px = _LENGTH * width_px * np.sin(reading.gaze.sigma_rad)
        _blend(image, [_cone(start, way, radius_px) for start in starts], colour)
    is_long = np.linalg.norm(way) > _MIN_LENGTH * thick_px  # else the dot alone says: into the camera
    for start in starts:
        for colour_, grow in ((_EDGE, max(1.0, 0.35 * thick_px)), (colour, 0.0)):
            if is_long:
                _fill(image, _arrow(start, way, thick_px, grow), colour_)
            _disc(image, start, 0.9 * thick_px + grow, colour_)


def _cone(start: Float[ndarray, "2"], way: Float[ndarray, "2"], radius_px: float) -> Float[ndarray, "n 2"]:
    """The outline of the start and a disc about the tip."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    disc = start + way + radius_px * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return cv2.convexHull(np.vstack([disc, start]).astype(np.float32))[:, 0].astype(np.float64)


def _arrow(
    start: Float[ndarray, "2"], way: Float[ndarray, "2"], thick_px: float, grow_px: float
) -> Float[ndarray, "7 2"]:
    """Outline of a shaft with a head; `grow_px` wider on every side. A short way has a small head."""
    length = float(np.linalg.norm(way))
    along = way / length if length > 1e-6 else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    head_px = min(4.5 * thick_px, 0.6 * length)
    half, wing = thick_px / 2 + grow_px, 0.5 * head_px + 1.3 * grow_px
    neck, tip = length - head_px, length + 1.6 * grow_px
    outline = [
        (0, half),
        (neck, half),
        (neck - grow_px, wing),
        (tip, 0),
        (neck - grow_px, -wing),
        (neck, -half),
        (0, -half),
    ]
    return np.array([start + a * along + b * across for a, b in outline])


def _fill(image: RgbImage, outline: Float[ndarray, "n 2"], colour: tuple[int, int, int]) -> None:
    cv2.fillPoly(image, [_fixed(outline)], colour, cv2.LINE_AA, _SHIFT)


def _disc(image: RgbImage, centre: Float[ndarray, "2"], radius_px: float, colour: tuple[int, int, int]) -> None:
    x, y = (int(value) for value in _fixed(centre))
    cv2.circle(image, (x, y), round(radius_px * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def _fixed(points_px: Float[ndarray, "*n 2"]) -> ndarray:
    """OpenCV's coordinates: whole numbers are pixel centres."""
    limit = 2**14
    return np.round((points_px - 0.5).clip(-limit, limit) * 2**_SHIFT).astype(np.int32)


def _blend(image: RgbImage, outlines: Sequence[Float[ndarray, "n 2"]], colour: tuple[int, int, int]) -> None:
    """Fills outlines with a transparent colour. Only the part of the picture about them is touched."""
    corners = np.vstack(list(outlines))
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 2
    part = image[top:bottom, left:right]
    if part.size == 0:
        return
    over = part.copy()
    for outline in outlines:
        _fill(over, outline - (left, top), colour)
    part[:] = cv2.addWeighted(over, _CONE_OPACITY, part, 1 - _CONE_OPACITY, 0)


def _draw_legend(image: RgbImage, text: str) -> None:
    if not text:
        return
    height, width = image.shape[:2]
    size_px = max(9, min(round(max(height, width) / 38), height // 6))
    font = _font(size_px)
    while size_px > 7 and font.getlength(text) > width - size_px:
        size_px -= 1
        font = _font(size_px)
    strip = image[max(0, height - round(1.7 * size_px)) :]
    dark = Image.fromarray((strip * 0.35).astype(np.uint8))
    ImageDraw.Draw(dark).text((size_px // 2, strip.shape[0] / 2), text, (245, 245, 245), font, anchor="lm")
    strip[:] = np.asarray(dark)


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
