"""How much it takes before a check or verdict that depends on gaze may speak. With less it says "cannot tell".

Number of images. The percentile interval of n samples is too narrow for small n: of a difference that is not there, a nominal
5 % of intervals exclude zero, in truth 15 % at n = 5, 10 % at 10 and 7 % at 20. Frames of one video resemble each other, which
adds to it. So what decides about a model needs 20. A question about whole images (colours, orientation), whose answers
differ by far more than their scatter, needs 5.

Range of gaze. A reader of real people errs by a bias b that all images of a person share; 4 to 11 degrees were measured. Let
c be what is claimed, r its rival (the angles under a wrong convention, the unchanged image, a constant) and d = c - r. The
mean squared error of readings c + b is |b|^2 under the claim and E|d + b|^2 under the rival. Their difference,
var(d) + |E d|^2 + 2 b . E d, is at least var(d) - |b|^2: no bias makes a wrong rival win, or a right claim lose, as long as d
deviates from its mean by at least |b| (root mean square). So a rival counts only if that deviation, its contrast, is 10
degrees or more: mirrored angles need a standard deviation of 5 degrees.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

MIN_IMAGES = 5
MIN_GAZES = 20
MIN_CONTRAST_DEG = 10.0
# A line through fewer angles fits anything; ten readings are two frames at five angles.
MIN_SWEEP_ANGLES, MIN_SWEEP_READINGS = 3, 10


def contrast_deg(differences_rad: Sequence[Float[np.ndarray, "n 2"]]) -> float:
    """Root mean square deviation of claim minus rival from its mean, of each subject, then over subjects."""
    spreads = [((part - part.mean(axis=0)) ** 2).sum(axis=1).mean() for part in differences_rad if len(part)]
    return float(np.rad2deg(np.sqrt(np.mean(spreads)))) if spreads else 0.0


def lacking_images(count: int, needed: int = MIN_GAZES) -> str:
    """Why so few images tell nothing; empty if they are enough."""
    return "" if count >= needed else f"{count} readable images, {needed} are needed"


def lacking_range(contrasts_deg: Mapping[str, float]) -> str:
    """Which rivals the gazes do not tell from the claim, by name -> contrast; empty if they tell all."""
    close = {name: value for name, value in contrasts_deg.items() if value < MIN_CONTRAST_DEG}
    if not close:
        return ""
    named = ", ".join(f"{name} ({value:.0f}°)" for name, value in close.items())
    if len(close) == len(contrasts_deg) > 1:
        named = f"any fault (at most {max(close.values()):.0f}°)"
    return f"the range of gaze is too small ({MIN_CONTRAST_DEG:.0f}° are needed) to tell from: {named}"


def lacking_sweep(readings: int, angles: int) -> str:
    """Why a sweep has no slope; empty if it has."""
    if readings >= MIN_SWEEP_READINGS and angles >= MIN_SWEEP_ANGLES:
        return ""
    return f"{readings} readings at {angles} angles; {MIN_SWEEP_READINGS} at {MIN_SWEEP_ANGLES} are needed"
