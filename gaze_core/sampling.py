"""Selection of evenly spaced items."""

import numpy as np


def evenly_spaced(num_items: int, num_wanted: int) -> list[int]:
    """At most `num_wanted` positions from the first to the last of `num_items`, at equal distances, each once."""
    count = min(num_wanted, num_items)
    return sorted({int(position) for position in np.linspace(0, num_items - 1, count).round()})
