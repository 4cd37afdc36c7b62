"""Provenance of an artifact for its manifest: commit and package versions."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "gazeworks",
    "torch",
    "numpy",
    "numba",
    "gsplat",
    "lightning",
    "diffusers",
    "timm",
    "ai-edge-litert",
    "opencv-python-headless",
    "av",
    "prefect",
    "mlflow",
)
CODE = ("flows", "tasks", "gaze_core", "benchmarks", "pyproject.toml", "constraints.txt")
"""What can change a number; documents cannot."""


@cache
def git_commit() -> str:
    """The commit of the checkout that this code runs from, `+changes` if the code is edited; empty outside git."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    commit = _git(root, "rev-parse", "HEAD")
    return f"{commit}+changes" if commit and _git(root, "status", "--porcelain", "--", *CODE) else commit


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


@cache
def package_versions() -> dict[str, str]:
    """Versions of the installed packages that can change a number."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
