"""Times the rasteriser's backends against the reference, in one run on one machine, with interleaved repeats."""

import resource
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from gaze_core.reproducibility import generator
from gaze_core.splat.rasterize import Backend, choose_backend, rasterize

SCENES = ((5_000, 128), (30_000, 256))  # Gaussians, image side in px
FULL_SCENES = (*SCENES, (100_000, 512))
CHANNELS = (3, 32)
NUM_REPEATS = 5


@dataclass(frozen=True)
class Row:
    """Medians over the repeats; `speedup` is the reference's forward + backward time over this one's."""

    backend: str
    gaussians: int
    size_px: int
    channels: int
    forward_ms: float
    forward_backward_ms: float
    first_call_ms: float
    peak_mb: float  # of the process so far
    speedup: float


def run(full: bool = False, num_repeats: int = NUM_REPEATS) -> list[dict[str, Any]]:
    """One row for each backend that this machine can run, scene and number of channels."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backends = [choose_backend("auto", device), "reference"]
    rows = []
    for num_points, size_px in FULL_SCENES if full else SCENES:
        for channels in CHANNELS:
            rows += _time_scene(backends, num_points, size_px, channels, num_repeats, device)
    return [asdict(row) for row in rows]


def _time_scene(
    backends: list[Any], num_points: int, size_px: int, channels: int, num_repeats: int, device: torch.device
) -> list[Row]:
    arguments = head_like_scene(num_points, size_px, channels, device)
    first = {name: 1e3 * sum(_timed(arguments, name)) for name in backends}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in backends}
    for _ in range(num_repeats):
        for name in backends:  # interleaved, so that other load on the machine hits all alike
            times[name].append(_timed(arguments, name))
    forward = {name: 1e3 * median(t[0] for t in times[name]) for name in backends}
    both = {name: 1e3 * median(sum(t) for t in times[name]) for name in backends}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Row(
            name, num_points, size_px, channels, round(forward[name], 2), round(both[name], 2), round(first[name], 1),
            round(peak_mb), round(both["reference"] / both[name], 2),
        )
        for name in backends
    ]  # fmt: skip


def head_like_scene(num_points: int, size_px: int, channels: int, device: torch.device) -> dict[str, Any]:
    """Arguments of `rasterize` for a two-sided shell of the size of a head that fills most of the image."""
    random = generator("splat benchmark", num_points)
    directions = torch.nn.functional.normalize(torch.randn(num_points, 3, generator=random), dim=-1)
    spacing_m = 0.1 * (4 * torch.pi / num_points) ** 0.5
    K = torch.tensor([[2.4 * size_px, 0, size_px / 2], [0, 2.4 * size_px, size_px / 2], [0, 0, 1]])
    viewmat = torch.eye(4)
    viewmat[2, 3] = 0.65
    tensors = {
        "means": 0.1 * directions,
        "quats_wxyz": torch.randn(num_points, 4, generator=random),
        "scales": spacing_m * (0.4 + 0.8 * torch.rand(num_points, 3, generator=random)),
        "opacities": 0.2 + 0.7 * torch.rand(num_points, generator=random),
        "features": torch.rand(num_points, channels, generator=random),
        "viewmats": viewmat,
    }
    leaves = {name: tensor[None].to(device).requires_grad_() for name, tensor in tensors.items()}
    return {**leaves, "Ks": K[None].to(device), "size_px": (size_px, size_px)}


def _timed(arguments: dict[str, Any], backend: Backend) -> tuple[float, float]:
    """Seconds of the forward and of the backward pass."""
    _synchronize(arguments["means"])
    started = time.perf_counter()
    features = rasterize(**arguments, backend=backend).features
    _synchronize(features)
    drawn = time.perf_counter()
    features.sum().backward()
    _synchronize(features)
    return drawn - started, time.perf_counter() - drawn


def _synchronize(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows for a terminal."""
    shown = Table(*(name.replace("_", " ") for name in rows[0]))
    for row in rows:
        shown.add_row(*(str(value) for value in row.values()))
    return shown
