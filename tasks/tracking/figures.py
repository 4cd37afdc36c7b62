"""Figures of a stage's result for MLflow: its training curves, and images among its files."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from gaze_core.reports.curves import curve_title, curves_of
from gaze_core.training.history import STATS_FILE, read_history

CURVES_FILE = "curves.png"
_IMAGE_SUFFIXES, _MAX_BYTES = {".png", ".jpg", ".svg"}, 5_000_000


def figures_of(files: Mapping[str, Path], folder: Path) -> list[Path]:
    """Paths of a stage's figures; training curves are plotted to `folder`."""
    images = [path for path in files.values() if path.suffix in _IMAGE_SUFFIXES and path.stat().st_size <= _MAX_BYTES]
    if STATS_FILE in files:
        images.append(plot_curves(read_history(files[STATS_FILE].parent), folder / CURVES_FILE))
    return images


def plot_curves(rows: list[dict[str, float]], path: Path) -> Path:
    """One panel for each logged number over steps, written to `path`: validation first, weighted terms last."""
    curves = curves_of(rows)
    columns = min(4, max(1, len(curves)))
    figure = Figure(figsize=(3.2 * columns, 2.2 * -(-max(1, len(curves)) // columns)), layout="constrained")
    for position, (name, (steps, values)) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(-(-len(curves) // columns), columns, position)
        axes.plot(steps, values, linewidth=1.2, marker="." if len(steps) < 5 else "")
        axes.set_title(curve_title(name), fontsize=9)
        axes.tick_params(labelsize=7)
        if min(values) > 0:
            axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)
    return path
