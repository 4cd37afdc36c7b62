"""What this machine has, what is missing and how to get it."""

import importlib.metadata
import importlib.util
import os
import platform

import torch

from gaze_core import assets
from gaze_core.config import Config
from gaze_core.errors import BadInput
from tasks import environment
from tasks.redaction import redacted


class Finding(Config):
    """One line of the doctor's report."""

    name: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """Looks at the processor, CUDA, the rasteriser's backends, the assets, the store and the tracking."""
    return [
        Finding(name="python", ok=True, detail=f"{platform.python_version()} on {platform.machine()}"),
        Finding(name="cpu", ok=True, detail=f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"),
        _cuda(),
        *_backends(),
        _package("anny", "synthetic subjects", "pip install 'gazeworks[synthesis]'"),
        _package("mitsuba", "rendering synthetic subjects", "pip install 'gazeworks[synthesis]'"),
        *_assets(),
        *_places(),
    ]


def _places() -> list[Finding]:
    rows = (
        ("store", environment.store_uri(), environment.STORE_VARIABLE),
        ("tracking", environment.tracking_uri(), "MLFLOW_TRACKING_URI"),
        ("prefect", os.environ.get("PREFECT_API_URL") or "its own server for each run", "PREFECT_API_URL"),
    )
    found = [Finding(name=name, ok=True, detail=f"{redacted(at)} (set {where} to move it)") for name, at, where in rows]
    return [_home(), *found]


def _home() -> Finding:
    try:
        detail = f"{environment.require_home()} (set {environment.HOME_VARIABLE} to move it)"
    except BadInput as error:
        return Finding(name="home", ok=False, detail=str(error))
    return Finding(name="home", ok=True, detail=detail)


def _cuda() -> Finding:
    if not torch.cuda.is_available():
        return Finding(name="cuda", ok=False, detail="no CUDA device; everything runs on the CPU, only slower")
    return Finding(name="cuda", ok=True, detail=torch.cuda.get_device_name())


def _backends() -> list[Finding]:
    gsplat = _package("gsplat", "rasteriser on CUDA", "pip install 'gazeworks[gpu]'")
    if gsplat.ok and not torch.cuda.is_available():
        gsplat = Finding(name="gsplat", ok=False, detail="installed, but needs a CUDA device")
    numba = _package("numba", "rasteriser on the CPU", "pip install numba")
    return [numba, gsplat, Finding(name="reference", ok=True, detail="rasteriser in plain torch: the slow reference")]


def _package(name: str, purpose: str, remedy: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(name=name, ok=False, detail=f"{purpose}; run: {remedy}")
    return Finding(name=name, ok=True, detail=f"{importlib.metadata.version(name)}, {purpose}")


def _assets() -> list[Finding]:
    return [
        Finding(name=row.name, ok=row.path is not None, detail=str(row.path) if row.path else row.remedy)
        for row in assets.status()
    ]
