"""Verifies the signs of a table's angles by the pixel coordinates of the glasses' scene camera."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gaze_core.driver.sensors import GazeTrack


@dataclass(frozen=True)
class SignCheck:
    """Sign factors for (azimuth, elevation), and the correlations with the scene camera's pixels that decided them."""

    factors: tuple[float, float]
    correlations: tuple[float | None, float | None]  # azimuth with x, elevation with y; None: undecidable
    warnings: tuple[str, ...]


MIN_CORRELATION = 0.3


def check_signs(track: GazeTrack, trust_pixels: bool = True) -> SignCheck:
    """Compares the angles with the scene's pixels: x grows to the right and y downward, so signs are + and -.

    If the pixels disagree with the tracker's convention, the sign is flipped (if `trust_pixels`) and a warning is added.
    """
    seen = [g for g in track.gaze.values() if g.scene_px is not None]
    factors, correlations, warnings = [], [], []
    for axis, (name, expected, meant) in enumerate((("azimuth", 1.0, "right"), ("elevation", -1.0, "up"))):
        angles = np.array([(g.azimuth_deg, g.elevation_deg)[axis] for g in seen])
        pixels = np.array([g.scene_px[axis] for g in seen if g.scene_px])
        correlation = _correlation(angles, pixels)
        factor = 1.0
        if correlation is None or abs(correlation) < MIN_CORRELATION:
            found = "no pixel columns" if correlation is None else f"correlation with the pixels {correlation:+.2f}"
            warnings.append(f"sign of {name} not verified ({found}); taken as documented, > 0 is {meant}")
        elif correlation * expected < 0:
            factor = -1.0 if trust_pixels else 1.0
            done = "the sign is turned" if trust_pixels else "the documented sign is kept"
            warnings.append(
                f"{name} > 0 should be {meant}, but its correlation with the scene's pixels is {correlation:+.2f}; {done}"
            )
        factors.append(factor)
        correlations.append(correlation)
    return SignCheck((factors[0], factors[1]), (correlations[0], correlations[1]), tuple(warnings))


def _correlation(a: Float[ndarray, " n"], b: Float[ndarray, " n"]) -> float | None:
    if len(a) < 10 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
