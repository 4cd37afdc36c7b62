"""One eye of a picture turned to another gaze, from the picture's own pixels.

The eyeball turns about its centre and carries the iris's pixels along; the lids keep their place over the iris. What
comes out from under a lid is made of the iris's mean colour at that radius and of the sclera beside it. What sticks to
a lid's margin (lashes, shadow) stays with it, and highlights of lamps move half as far as the iris, as on a cornea.
Without a change of gaze every pixel keeps its value.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gaze_core.preprocess.eye_geometry import Eye, Lids, falloff, rise

Pixels = Float[ndarray, "h w 3"]

_CORNEA_GAIN = 0.55  # of the iris's motion: a reflection on a cornea whose centre lies 5.6 mm before the eyeball's
_RAMP, _MARGIN = 0.08, (0.2, 0.1)  # over the opening's height: blend into the lid; untrusted below and above a lid
_RIGID, _FADE = 1.15, 1.5  # iris radii: what turns with the iris, and how far the turn fades out
_EPS, _DARK = 0.1, 0.3  # of the range, added before ratios of colours, which would amplify the noise of dark ones


def turn_eye(image: Pixels, eye: Eye, gaze_head: Float[ndarray, "2"]) -> tuple[Pixels, Bool[ndarray, "h w"]]:
    """The picture with this eye at another gaze, and where it differs.

    Args:
        image: values in [0, 1]; not changed.
        eye: the eye.
        gaze_head: `[pitch, yaw]` in radians, head frame.
    """
    box = _box(eye, image.shape[:2])
    patch = np.ascontiguousarray(image[box], dtype=np.float32)
    ys, xs = np.mgrid[box]
    pixels = np.stack([xs, ys], axis=-1) + 0.5
    corner = np.array([box[1].start, box[0].start])
    down_px = float(eye.axes[1] @ (eye.iris_px(gaze_head) - eye.iris_px(eye.gaze_head)))
    lids = Lids.of(eye, down_px)
    ball = _Eyeball.of(patch, eye, lids, pixels)
    x, y = np.moveaxis((pixels - eye.origin_px) @ eye.axes.T, -1, 0)
    moved = lids.shift(x, y)
    before = pixels - moved[..., None] * eye.axes[1]  # where the skin and the lids at this pixel were
    skin = _sample(patch, before - corner)
    turned = eye.on_iris(pixels, gaze_head)
    radius = np.linalg.norm(turned, axis=-1)
    weight = falloff((radius - _RIGID) / _FADE)[..., None]
    source = before + weight * (eye.off_iris(turned, eye.gaze_head) - before)
    half = before + weight * _CORNEA_GAIN * (eye.off_iris(turned, eye.gaze_head) - before)
    eyeball = (_sample(ball.plain, source - corner) + _EPS) * _sample(ball.shadow, before - corner) - _EPS
    rim = _sample(ball.rim, before - corner)
    eyeball += np.where(rim > 0, 1 - eyeball, eyeball + _DARK) * rim
    eyeball += _sample(ball.highlights, half - corner) * falloff((radius - 1) / 0.3)[..., None]  # only on a cornea
    alpha = _sample(ball.alpha, before - corner)[..., None]
    away = np.linalg.norm(source - pixels, axis=-1) > 1e-3
    touched = (np.abs(moved) > 1e-3) | ((alpha[..., 0] > 0) & away)
    result, changed = image.copy(), np.zeros(image.shape[:2], bool)
    result[box][touched] = (skin + alpha * (eyeball - skin))[touched].clip(0, 1)
    changed[box] = touched
    return result, changed


@dataclass(frozen=True, eq=False)
class _Eyeball:
    """The eye's opening of a patch, taken apart. At the eye's own gaze the parts give the patch back."""

    plain: Pixels  # iris and sclera, also behind the lids, without highlights and without what sticks to the lids
    shadow: Pixels  # a factor up to 1: lashes and shadow of the lids
    rim: Pixels  # how much of the way to white (above 0) or black the lids' rims move what is behind them
    highlights: Pixels
    alpha: Float[ndarray, "h w"]  # 1 in the opening, 0 on the lids

    @classmethod
    def of(cls, patch: Pixels, eye: Eye, lids: Lids, pixels: ndarray) -> "_Eyeball":
        x, y = np.moveaxis((pixels - eye.origin_px) @ eye.axes.T, -1, 0)
        below, above = lids.inside_px(x, y)
        opening = max(lids.opening_px, 1.0)
        alpha = rise(np.minimum(below, above) / max(_RAMP * opening, 1.0)).astype(np.float32)
        radius = np.linalg.norm(eye.on_iris(pixels, eye.gaze_head), axis=-1)
        known = (below > max(_MARGIN[0] * opening, 1.0)) & (above > max(_MARGIN[1] * opening, 1.0))
        base = _radial(patch, radius, known)
        ratio = _extended((patch + _EPS) / (base + _EPS), known)
        plain = (base + _EPS) * ratio - _EPS
        highlights = _highlights(plain, radius, eye.iris_radius_m * eye.intrinsics_px[0, 0] / eye.center_m[2])
        plain, matt = plain - highlights, patch - highlights
        inside = (alpha > 0)[..., None]
        darker = (matt.mean(axis=-1, keepdims=True) + _EPS) / (plain.mean(axis=-1, keepdims=True) + _EPS)
        shadow = np.where(inside, darker.clip(0, 1), 1).repeat(3, axis=-1)
        shaded = (plain + _EPS) * shadow - _EPS
        rest = matt - shaded
        rim = np.where(inside, rest / np.where(rest > 0, 1 - shaded, shaded + _DARK).clip(1e-3), 0)
        return cls(plain, shadow, rim, highlights, alpha)


def _radial(patch: Pixels, radius: ndarray, known: Bool[ndarray, "h w"]) -> Pixels:
    """The mean colour at each distance from the iris's centre, where it is seen; beyond 1.5 radii one colour."""
    bins = (radius.clip(0, 1.5) * 12).astype(int)
    counts = np.bincount(bins[known], minlength=19).astype(float)
    filled = np.flatnonzero(counts)
    if not len(filled):
        return np.full_like(patch, patch.mean())
    nodes = (np.arange(19) + 0.5) / 12
    out = np.empty_like(patch)
    for channel in range(3):
        sums = np.bincount(bins[known], patch[..., channel][known], minlength=19)
        out[..., channel] = np.interp(radius, nodes[filled], sums[filled] / counts[filled])
    return out


def _extended(values: Pixels, known: Bool[ndarray, "h w"]) -> Pixels:
    """Known values, and smooth ones elsewhere: averages of known values over ever larger neighbourhoods (push-pull)."""
    weight = known.astype(np.float32)
    if not known.any():
        return np.ones_like(values)
    levels: list[tuple[ndarray, ndarray]] = [(values * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 1:
        size = tuple((n + 1) // 2 for n in levels[-1][1].shape[::-1])
        total, part = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in levels[-1])
        levels.append((total, part))
    out: ndarray = np.ones_like(levels[-1][0])
    for total, part in reversed(levels):
        out = cv2.resize(out, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
        trust = np.minimum(part * 2, 1)[..., None]
        out = out + trust * (total / np.maximum(part, 1e-6)[..., None] - out)
    out[known] = values[known]
    return np.asarray(out, dtype=np.float32)


def _highlights(plain: Pixels, radius: ndarray, radius_px: float) -> Pixels:
    """What is brighter than its surroundings by far, inside the iris."""
    side = 2 * max(1, round(0.35 * radius_px)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    excess = plain - cv2.morphologyEx(plain, cv2.MORPH_OPEN, kernel)
    strength = rise((excess.mean(axis=-1) - 0.12) / 0.1) * (1 - rise((radius - 0.8) / 0.15))
    return np.asarray(np.maximum(excess, 0) * strength[..., None], dtype=np.float32)


def _box(eye: Eye, size: tuple[int, int]) -> tuple[slice, slice]:
    """The part of a picture of (height, width) in which pixels may move."""
    half = np.array([0.75, 0.85]) * eye.width_px
    low = np.maximum(np.floor(eye.origin_px - half), 0).astype(int)
    high = np.minimum(np.ceil(eye.origin_px + half), size[::-1]).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _sample(patch: ndarray, at_px: Float[ndarray, "h w 2"]) -> ndarray:
    """Values at pixels of the patch, centres at +0.5; the border is repeated."""
    x, y = np.moveaxis(np.asarray(at_px, dtype=np.float32) - 0.5, -1, 0)
    return np.asarray(cv2.remap(patch, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
