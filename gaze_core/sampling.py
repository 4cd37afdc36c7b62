"""Selection of evenly spaced items."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def evenly_spaced(num_items: int, num_wanted: int) -> list[int]:
    """At most `num_wanted` positions from the first to the last of `num_items`, at equal distances, each once."""
    count = min(num_wanted, num_items)
    return sorted({int(position) for position in np.linspace(0, num_items - 1, count).round()})


def most_varied(features: Float[ndarray, "n d"], num_wanted: int) -> list[int]:
    """At most `num_wanted` positions of items that differ most, in order: farthest-point sampling (Gonzalez 1985).

    Each feature counts in its own standard deviation. The first item is the one next to the mean, and each further one
    lies farthest from all before it; of equals the first in order is taken.
    """
    if len(features) <= num_wanted:
        return list(range(len(features)))
    spread = features.std(axis=0)
    points = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    chosen = [int(np.linalg.norm(points, axis=1).argmin())]
    nearest = np.full(len(points), np.inf)
    while len(chosen) < num_wanted:
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        nearest[chosen[-1]] = -1.0  # an equal of a chosen item may be wanted, the item itself not again
        chosen.append(int(nearest.argmax()))
    return sorted(chosen)
