"""What stands behind a rendered talker: a wall, and shoulders that do not move."""

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray


def wall(size_px: int, seed: int) -> UInt8[ndarray, "h w 3"]:
    """A wall with soft, coloured shapes, RGB."""
    rng = np.random.default_rng([seed, 41])
    y, x = np.mgrid[:size_px, :size_px] / size_px
    colors = np.stack([150 - 40 * y, 165 - 35 * y + 12 * x, 178 - 25 * x], axis=-1)
    for _ in range(7):
        (cx, cy), spread = rng.uniform(0, 1, 2), rng.uniform(0.08, 0.22)
        colors += rng.uniform(-35, 35, 3) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread**2))[..., None]
    return np.asarray(np.clip(colors, 0, 255)).astype(np.uint8)


def shirt_and_shoulders(size_px: int, shirt_srgb: tuple[int, ...]) -> UInt8[ndarray, "h w 4"]:
    """Shoulders in the shirt's colour, RGBA."""
    large = 4 * size_px
    mask = np.zeros((large, large), np.uint8)
    center, axes = (large // 2, round(1.2 * large)), (round(0.56 * large), round(0.325 * large))
    cv2.ellipse(mask, center, axes, 0, 0, 360, 255, -1)
    alpha = cv2.resize(mask, (size_px, size_px), interpolation=cv2.INTER_AREA)
    shade = 1 - 0.35 * np.abs(np.linspace(-1, 1, size_px))[None, :, None] ** 2
    color = np.broadcast_to(np.array(shirt_srgb) * shade, (*alpha.shape, 3))
    return np.concatenate([color.astype(np.uint8), alpha[..., None]], axis=-1)


def over(front: UInt8[ndarray, "h w 4"], back: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "h w 3"]:
    """RGBA with straight alpha over RGB."""
    alpha = front[..., 3:].astype(np.float64) / 255
    return np.asarray(front[..., :3] * alpha + back * (1 - alpha) + 0.5).astype(np.uint8)
