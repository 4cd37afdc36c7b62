"""One eye in a picture: its ball, the place of its iris at any gaze, and its lids, which go with the iris."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.interpolate import PchipInterpolator

from gaze_core.geometry.rotations import eye_rotation
from gaze_core.preprocess.head_pose import rays
from gaze_core.preprocess.iris_gaze import IRIS_DEPTH_M

UPPER_LID_GAIN = 1.0  # of the iris's motion up and down (Evinger et al. 1991)
LOWER_LID_GAIN = 0.5
_SKIN_REACH = (0.42, 0.3)  # over the eye's width: how far above and below the lids the skin moves along


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
class Lids:
    """Both lid margins as heights over the line of the corners, and how far they move. Pixels, axes of the eye."""

    upper: PchipInterpolator
    lower: PchipInterpolator
    half_px: float
    moves_px: tuple[float, float]  # upper, lower; down is positive
    opening_px: float

    @classmethod
    def of(cls, eye: Eye, iris_down_px: float) -> "Lids":
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
        above = falloff((upper - y) / (_SKIN_REACH[0] * 2 * self.half_px))
        below = falloff((y - lower) / (_SKIN_REACH[1] * 2 * self.half_px))
        return np.asarray((up * (1 - share) + low * share) * above * below)

    def inside_px(self, x: ndarray, y: ndarray) -> tuple[ndarray, ndarray]:
        """Distances below the upper and above the lower margin of the picture; negative outside the opening."""
        upper, lower = self.heights(x)
        outside = np.abs(x) - self.half_px
        return np.minimum(y - upper, -outside), np.minimum(lower - y, -outside)


def rise(t: ndarray) -> ndarray:
    """0 up to 0, 1 from 1 on, smooth between."""
    t = t.clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def falloff(t: ndarray) -> ndarray:
    """1 up to 0, 0 from 1 on, smooth between."""
    return 1 - rise(t)
