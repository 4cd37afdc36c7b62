"""Upper and lower lids that follow the eye: what anny's actions do to a head's lids, and how much of which is needed.

A lid goes with the iris in vertical gaze: its margin keeps its place over the iris, up and down (Evinger et al. 1991,
Malbouisson et al. 2000; gain near 1 from 25 degrees up to 35 down). anny's `eyeLookDown` lowers it by 3 mm where the
iris sinks by 6. The rest is made of `eyeBlink`, `eyeWide` and a negative `eyeSquint`, *below* the labels: written into
an expression code they would tell where the eyes look.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.data.schema import ARKIT
from gaze_core.synthesis.anatomy import LOWER_LIDS, UPPER_LIDS

IRIS_RADIUS_M = 0.00585  # of adults
SIDES = ("Left", "Right")
# Amounts of closing at which the upper lid's height is measured: below 0 `eyeWide`, above 0 `eyeBlink`.
_CLOSING = np.array([-1.2, -0.6, 0.0, 0.25, 0.5, 0.75, 1.0])
_LOWERED = 0.5  # negative `eyeSquint` of a lower lid whose eye looks fully down


@dataclass(frozen=True, eq=False)
class Lids:
    """Heights of a head's lids below its eyeballs' centres, metres, y down; (left, right) first."""

    upper_m: Float[ndarray, "2"]  # neutral
    lower_m: Float[ndarray, "2"]
    looking_m: Float[ndarray, "2 2"]  # what full (eyeLookUp, eyeLookDown) adds to `upper_m`
    closing_m: Float[ndarray, "2 k"]  # what each amount of `_CLOSING` adds to `upper_m`

    def following(
        self, expression: Float[ndarray, "52"], gaze_head_eyes: Float[ndarray, "2 2"], radius_m: float, cover_m: float
    ) -> Float[ndarray, "52"]:
        """The expression with what the lids lack, so that they cover the upper `cover_m` of irises on balls of `radius_m`."""
        out = expression.copy()
        for eye, (side, (pitch, _)) in enumerate(zip(SIDES, gaze_head_eyes, strict=True)):
            up, down = (expression[ARKIT.index(f"eyeLook{way}{side}")] for way in ("Up", "Down"))
            wanted = -radius_m * np.sin(pitch) - IRIS_RADIUS_M * np.cos(pitch) + cover_m
            lacking = wanted - self.upper_m[eye] - self.looking_m[eye] @ (up, down)
            closing = float(np.interp(lacking, self.closing_m[eye], _CLOSING))
            out[ARKIT.index(f"eyeBlink{side}")] = min(out[ARKIT.index(f"eyeBlink{side}")] + max(closing, 0.0), 1.0)
            out[ARKIT.index(f"eyeWide{side}")] += max(-closing, 0.0)
            out[ARKIT.index(f"eyeSquint{side}")] -= _LOWERED * down
        return out


def measure_lids(vertices_of: Callable[[Float[ndarray, "52"]], Float[ndarray, "n 3"]]) -> Lids:
    """Reads the lids off anny's coarse vertices under each action, about the eyeballs' centres at height 0."""

    def heights(lids: tuple[tuple[int, int], tuple[int, int]], **actions: float) -> Float[ndarray, "2"]:
        expression = np.zeros(len(ARKIT))
        for name, value in actions.items():
            for side in SIDES:
                expression[ARKIT.index(name + side)] = value
        points = vertices_of(expression)
        return np.array([points[list(lid), 1].mean() for lid in lids])

    upper = heights(UPPER_LIDS)
    closing = [heights(UPPER_LIDS, **{"eyeBlink" if c > 0 else "eyeWide": abs(float(c))}) - upper for c in _CLOSING]
    looking = [heights(UPPER_LIDS, **{name: 1.0}) - upper for name in ("eyeLookUp", "eyeLookDown")]
    return Lids(upper, heights(LOWER_LIDS), np.stack(looking, axis=1), np.stack(closing, axis=1))
