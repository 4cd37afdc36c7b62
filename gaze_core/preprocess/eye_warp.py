"""One eye of a picture turned to another gaze, from the picture's own pixels.

The eyeball turns about its centre and carries the iris's pixels along; the lids keep their place over the iris. What
comes out from under a lid is made of the iris's mean colour at that radius and of the sclera beside it. What sticks to
a lid's margin (lashes, shadow) stays with it, and highlights of lamps move half as far as the iris, as on a cornea.
Without a change of gaze every pixel keeps its value.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.interpolate import PchipInterpolator

from gaze_core.geometry.rotations import eye_rotation
from gaze_core.preprocess.head_pose import rays
from gaze_core.preprocess.iris_gaze import IRIS_DEPTH_M

Pixels = Float[ndarray, "h w 3"]

UPPER_LID_GAIN = 1.0  # of the iris's motion up and down (Evinger et al. 1991)
LOWER_LID_GAIN = 0.5
_CORNEA_GAIN = 0.55  # of the iris's motion: a reflection on a cornea whose centre lies 5.6 mm before the eyeball's
_SKIN_REACH = (0.42, 0.3)  # over the eye's width: how far above and below the lids the skin moves along
_RAMP, _MARGIN = 0.08, (0.2, 0.1)  # over the opening's height: blend into the lid; untrusted below and above a lid
_RIGID, _FADE = 1.15, 1.5  # iris radii: what turns with the iris, and how far the turn fades out
_EPS = 0.1  # of the range: ratios of dark colours would amplify noise


@dataclass(frozen=True, eq=False)
class Eye:
    """One eye in a picture.

    Args:
        lids_px: the lid margins, a closed polygon: outer corner, seven points of the upper lid, inner corner, seven of
            the lower lid; pixel centres at +0.5.
        center_m: the eyeball's centre, camera frame.
        iris_radius_m: of the visible iris.
        head_rotation: head frame to camera frame.
        intrinsics_px: of the picture.
        gaze_head: `[pitch, yaw]` in radians, head frame, with which the iris projects to where it is seen.
    """

    lids_px: Float[ndarray, "16 2"]
    center_m: Float[ndarray, "3"]
    iris_radius_m: float
    head_rotation: Float[ndarray, "3 3"]
    intrinsics_px: Float[ndarray, "3 3"]
    gaze_head: Float[ndarray, "2"]

    @cached_property
    def axes(self) -> Float[ndarray, "2 2"]:
        """Rows: unit vectors along the line of the corners to image right, and down from it."""
        outer, inner = self.lids_px[0], self.lids_px[8]
        along = inner - outer if inner[0] > outer[0] else outer - inner
        along = along / np.linalg.norm(along)
        return np.array([along, [-along[1], along[0]]])

    @cached_property
    def width_px(self) -> float:
        """Distance of the corners."""
        return float(np.linalg.norm(self.lids_px[0] - self.lids_px[8]))

    @property
    def openness(self) -> float:
        """Distance of the lids in the middle, over the eye's width."""
        return float(np.linalg.norm(self.lids_px[4] - self.lids_px[12])) / self.width_px

    @property
    def origin_px(self) -> Float[ndarray, "2"]:
        """Midway between the corners."""
        return np.asarray((self.lids_px[0] + self.lids_px[8]) / 2)

    def turned(self, gaze_head: Float[ndarray, "2"]) -> Float[ndarray, "3 3"]:
        """The frame of the iris (x, y in its plane, z into the eye) in camera axes, at a gaze."""
        turn = eye_rotation(torch.as_tensor(gaze_head, dtype=torch.float64)).numpy()
        return np.asarray(self.head_rotation @ turn)

    def project(self, points_m: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 2"]:
        """Points of the camera frame in pixels."""
        seen = points_m @ self.intrinsics_px.T
        return np.asarray(seen[..., :2] / seen[..., 2:])

    def iris_px(self, gaze_head: Float[ndarray, "2"]) -> Float[ndarray, "2"]:
        """The iris's centre at a gaze."""
        return self.project(self.center_m - IRIS_DEPTH_M * self.turned(gaze_head)[:, 2])

    def on_iris(self, pixels: Float[ndarray, "*n 2"], gaze_head: Float[ndarray, "2"]) -> Float[ndarray, "*n 2"]:
        """Where the pixels' rays meet the plane of the iris at a gaze, in radii of the iris."""
        frame = self.turned(gaze_head)
        direction, origin = rays(pixels, self.intrinsics_px) @ frame, self.center_m @ frame
        depth = (origin[2] - IRIS_DEPTH_M) / direction[..., 2]
        return np.asarray((direction[..., :2] * depth[..., None] - origin[:2]) / self.iris_radius_m)

    def off_iris(self, local: Float[ndarray, "*n 2"], gaze_head: Float[ndarray, "2"]) -> Float[ndarray, "*n 2"]:
        """The inverse of `on_iris`."""
        frame = self.turned(gaze_head)
        flat = local * self.iris_radius_m
        points = self.center_m + flat @ frame[:, :2].T - IRIS_DEPTH_M * frame[:, 2]
        return self.project(points)


@dataclass(frozen=True, eq=False)
class _Lids:
    """Both lid margins as heights over the line of the corners, and how far they move. Pixels, axes of the eye."""

    upper: PchipInterpolator
    lower: PchipInterpolator
    half_px: float
    moves_px: tuple[float, float]  # upper, lower; down is positive
    opening_px: float

    @classmethod
    def of(cls, eye: Eye, iris_down_px: float) -> "_Lids":
        local = (eye.lids_px - eye.origin_px) @ eye.axes.T
        curves = []
        for lid in (local[0:9], local[[8, *range(9, 16), 0]]):
            order = np.argsort(lid[:, 0])
            x = np.maximum.accumulate(lid[order, 0] + 1e-6 * np.arange(9))
            curves.append(PchipInterpolator(x, lid[order, 1]))
        upper, lower = curves
        opening_px = float(lower(0.0) - upper(0.0))
        gains = (UPPER_LID_GAIN, LOWER_LID_GAIN)
        reach = [0.55 * share * eye.width_px for share in _SKIN_REACH]  # or the skin would fold
        moves = [float(np.clip(gain * iris_down_px, -most, most)) for gain, most in zip(gains, reach, strict=True)]
        # The lids must stay apart.
        closing = moves[0] - moves[1]
        if closing > (most := 0.75 * opening_px):
            moves[0] -= closing - most
        return cls(upper, lower, eye.width_px / 2, (moves[0], moves[1]), opening_px)

    def heights(self, x: ndarray) -> tuple[ndarray, ndarray]:
        """Margins (upper, lower) of the picture at `x`."""
        inside = x.clip(-self.half_px, self.half_px)
        return np.asarray(self.upper(inside)), np.asarray(self.lower(inside))

    def shift(self, x: ndarray, y: ndarray) -> ndarray:
        """How far down the skin and the lids at `(x, y)` of the result have come."""
        profile = np.cos(np.pi / 2 * (x / self.half_px).clip(-1, 1)) ** 1.5
        up, low = (move * profile for move in self.moves_px)
        upper, lower = self.heights(x)
        upper, lower = upper + up, lower + low
        share = ((y - upper) / np.maximum(lower - upper, 1e-3)).clip(0, 1)
        above = _falloff((upper - y) / (_SKIN_REACH[0] * 2 * self.half_px))
        below = _falloff((y - lower) / (_SKIN_REACH[1] * 2 * self.half_px))
        return np.asarray((up * (1 - share) + low * share) * above * below)

    def inside_px(self, x: ndarray, y: ndarray) -> tuple[ndarray, ndarray]:
        """Distances below the upper and above the lower margin of the picture; negative outside the opening."""
        upper, lower = self.heights(x)
        outside = np.abs(x) - self.half_px
        return np.minimum(y - upper, -outside), np.minimum(lower - y, -outside)


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
    lids = _Lids.of(eye, down_px)
    ball = _Eyeball.of(patch, eye, lids, pixels)
    x, y = np.moveaxis((pixels - eye.origin_px) @ eye.axes.T, -1, 0)
    moved = lids.shift(x, y)
    before = pixels - moved[..., None] * eye.axes[1]  # where the skin and the lids at this pixel were
    skin = _sample(patch, before - corner)
    turned = eye.on_iris(pixels, gaze_head)
    weight = _falloff((np.linalg.norm(turned, axis=-1) - _RIGID) / _FADE)[..., None]
    source = before + weight * (eye.off_iris(turned, eye.gaze_head) - before)
    half = before + weight * _CORNEA_GAIN * (eye.off_iris(turned, eye.gaze_head) - before)
    eyeball = (_sample(ball.plain, source - corner) + _EPS) * _sample(ball.shadow, before - corner) - _EPS
    rim = _sample(ball.rim, before - corner)
    eyeball += np.where(rim > 0, 1 - eyeball, eyeball) * rim
    eyeball += _sample(ball.highlights, half - corner)
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
    def of(cls, patch: Pixels, eye: Eye, lids: _Lids, pixels: ndarray) -> "_Eyeball":
        x, y = np.moveaxis((pixels - eye.origin_px) @ eye.axes.T, -1, 0)
        below, above = lids.inside_px(x, y)
        opening = max(lids.opening_px, 1.0)
        alpha = _rise(np.minimum(below, above) / max(_RAMP * opening, 1.0)).astype(np.float32)
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
        rim = np.where(inside, rest / np.where(rest > 0, 1 - shaded, shaded).clip(1e-3), 0)
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
    levels = [(values * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 1:
        size = tuple((n + 1) // 2 for n in levels[-1][1].shape[::-1])
        levels.append(tuple(cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in levels[-1]))
    out = np.ones_like(levels[-1][0])
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
    strength = _rise((excess.mean(axis=-1) - 0.12) / 0.1) * (1 - _rise((radius - 0.8) / 0.15))
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


def _rise(t: ndarray) -> ndarray:
    """0 up to 0, 1 from 1 on, smooth between."""
    t = t.clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _falloff(t: ndarray) -> ndarray:
    return 1 - _rise(t)
