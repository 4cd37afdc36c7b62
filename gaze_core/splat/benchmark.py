"""Times the rasteriser's backends against the reference, in one run on one machine, with interleaved repeats."""

import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from gaze_core.machine import cpu_name
from gaze_core.reproducibility import generator
from gaze_core.splat.rasterize import Backend, choose_backend, rasterize

SCENES = ((5_000, 128, (3, 32)), (30_000, 256, (3, 32)), (100_000, 512, (3, 32)))  # Gaussians, side in px, channels
CUDA_SCENES = (*SCENES, (150_000, 128, (32,)))
NUM_REPEATS = 9
_LONG_S = 0.5  # a backend whose first call takes longer is timed a third as often


@dataclass(frozen=True)
class Row:
    """Medians over the repeats; `speedup` is the reference's forward + backward time over this one's."""

    backend: str
    gaussians: int
    size_px: int
    channels: int
    forward_ms: float
    forward_backward_ms: float
    peak_mb: float  # above the inputs, of one forward + backward pass in a process of its own
    speedup: float
    repeats_ms: list[tuple[float, float]]  # of the forward and of the backward pass, each repeat


def run(num_repeats: int = NUM_REPEATS, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Timings by backend, scene and number of channels, the machine, and the times of first calls."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backends = [choose_backend("auto", device), "reference"]
    rows: list[Row] = []
    for num_points, size_px, all_channels in CUDA_SCENES if device.type == "cuda" else SCENES:
        for channels in all_channels:
            report(f"{num_points} Gaussians, {size_px} px, {channels} channels")
            rows += _time_scene(backends, num_points, size_px, channels, num_repeats, device)
    first = first_call_s() if backends[0] == "numba" else {}
    return {"machine": machine(device), "first_call_s": first, "rows": [asdict(row) for row in rows]}


def _time_scene(
    backends: list[Any], num_points: int, size_px: int, channels: int, num_repeats: int, device: torch.device
) -> list[Row]:
    arguments = head_scene(num_points, size_px, channels, device)
    first_s = {name: sum(_timed(arguments, name)) for name in backends}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in backends}
    for repeat in range(num_repeats):
        for name in backends:  # interleaved, so that other load on the machine affects all backends equally
            if first_s[name] < _LONG_S or repeat % 3 == 0:
                times[name].append(_timed(arguments, name))
    forward = {name: 1e3 * median(t[0] for t in times[name]) for name in backends}
    both = {name: 1e3 * median(sum(t) for t in times[name]) for name in backends}
    return [
        Row(
            name, num_points, size_px, channels, round(forward[name], 2), round(both[name], 2),
            round(peak_mb(name, num_points, size_px, channels, device)), round(both["reference"] / both[name], 2),
            [(round(1e3 * forward_s, 3), round(1e3 * backward_s, 3)) for forward_s, backward_s in times[name]],
        )
        for name in backends
    ]  # fmt: skip


def head_scene(num_points: int, size_px: int, channels: int, device: torch.device) -> dict[str, Any]:
    """Arguments of `rasterize` for a two-sided shell of head size that fills most of the image."""
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
    forward_done = time.perf_counter()
    features.sum().backward()
    _synchronize(features)
    return forward_done - started, time.perf_counter() - forward_done


def _synchronize(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def peak_mb(backend: Backend, num_points: int, size_px: int, channels: int, device: torch.device) -> float:
    """Memory of one forward and backward pass above its inputs, measured in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure_peak_mb, (backend, num_points, size_px, channels, device))


def _measure_peak_mb(backend: Backend, num_points: int, size_px: int, channels: int, device: torch.device) -> float:
    _timed(head_scene(50, 16, channels, device), backend)  # compiled code and thread pools do not count
    arguments = head_scene(num_points, size_px, channels, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _timed(arguments, backend)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before_mb = _memory_mb("VmRSS")
    _timed(arguments, backend)
    return _memory_mb("VmHWM") - before_mb


def _memory_mb(kind: str) -> float:
    """Memory of this process: resident now (VmRSS), or peak (VmHWM); NaN if not on Linux.

    `getrusage` would not do: what a process inherits from the one that started it counts there.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(kind)), math.nan)


_FIRST_CALL = """
import time
from gaze_core.splat.benchmark import _timed, head_scene
import torch
scene = head_scene(50, 16, 3, torch.device("cpu"))
started = time.perf_counter()
_timed(scene, "numba")
print(time.perf_counter() - started)
"""


def first_call_s() -> dict[str, float]:
    """Seconds of the first call in a process: `cold` without compiled code, `warm` in any later process."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder, "PYTHONPATH": os.pathsep.join(sys.path)}
        cold, warm = (
            float(subprocess.check_output([sys.executable, "-c", _FIRST_CALL], env=environment, text=True))
            for _ in range(2)
        )
    return {"cold": round(cold, 2), "warm": round(warm, 2)}


def machine(device: torch.device) -> str:
    """A description of the machine that the times were measured on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{cpu_name()}, {torch.get_num_threads()} threads of {os.cpu_count()}, torch {torch.__version__}"


def table(result: dict[str, Any]) -> Table:
    """The table of the timings for a terminal."""
    rows = [{name: value for name, value in row.items() if name != "repeats_ms"} for row in result["rows"]]
    first = ", ".join(f"{name} {seconds} s" for name, seconds in result["first_call_s"].items())
    shown = Table(
        *(name.replace("_", " ") for name in rows[0]),
        caption=f"{result['machine']}" + (f"; first call {first}" if first else ""),
    )
    for row in rows:
        shown.add_row(*(str(value) for value in row.values()))
    return shown
