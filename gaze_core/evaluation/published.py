"""Published numbers (`published.csv`), each with its source, table and known faults."""

import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources

from gaze_core.config import Config

SOURCES = {
    "gazegaussian": "Wei et al., GazeGaussian, ICCV 2025 (arXiv 2411.12981)",
    "dit_gaze": "3D Gaussian and Diffusion-Based Gaze Redirection, 2025 (arXiv 2511.11231)",
    "rtgaze": "RTGaze, AAAI 2026 (arXiv 2511.11289)",
    "sted": "Zheng et al., Self-Learning Transformations, NeurIPS 2020 (arXiv 2010.12307)",
}


class PublishedNumber(Config):
    """One value of one method in one experiment.

    `metric` is a name of `catalog.METRICS` if it is measured the same way, else a name of its own. `fault` describes
    what is wrong with the value at its source.
    """

    experiment: str
    method: str
    setting: str
    metric: str
    value: float
    unit: str
    source: str
    table: str
    fault: str

    @property
    def citation(self) -> str:
        """The citation: paper and table."""
        return f"{SOURCES[self.source]}, {self.table}"


@cache
def published_numbers() -> tuple[PublishedNumber, ...]:
    """All published numbers, in the order of the file."""
    text = (resources.files("gaze_core.evaluation") / "published.csv").read_text(encoding="utf-8")
    return tuple(PublishedNumber.model_validate(row) for row in csv.DictReader(text.splitlines()))


def published_table(experiment: str, metrics: Sequence[str]) -> dict[str, dict[str, PublishedNumber]]:
    """Method -> metric -> number, of one experiment."""
    table: dict[str, dict[str, PublishedNumber]] = {}
    for number in published_numbers():
        if number.experiment == experiment and number.metric in metrics:
            table.setdefault(number.method, {})[number.metric] = number
    return table
