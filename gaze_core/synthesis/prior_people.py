"""Rendered people from which what ships is learned: `python -m gaze_core.synthesis.prior_people SET FOLDER`.

`near` has few images of each face, with large variation of lens, gaze and light: the reader of gaze labels learns from
it (`stages/judge/landmark_gaze.py`). `around` has all sides of each head, at the size that is trained: the head prior
and, from the front, the gaze judge (`stages/judge/estimator.py`) learn from it. Training people and test people of both
sets are the same, and none is in a shipped pack.
"""

import os
import sys
from pathlib import Path

import numpy as np

from gaze_core.errors import BadInput
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject
from gaze_core.synthesis.identity import Ranges
from gaze_core.synthesis.rig import RigName, View
from gaze_core.synthesis.scene import LightName, use_one_thread
from gaze_core.workers import worker_pool

SEEDS = {"training": range(2001, 2161), "test": range(2901, 2913)}
NUM_IMAGES = {("near", "training"): 10, ("near", "test"): 20, ("around", "training"): 24, ("around", "test"): 24}
_LIGHTS: tuple[LightName, ...] = ("studio", "window", "office", "flash")
_NEAR = Ranges(
    gaze_pitch_deg=(-32, 26), gaze_yaw_deg=(-40, 40), head_pitch_deg=(-18, 18), head_yaw_deg=(-20, 20),
    head_roll_deg=(-10, 10), blink=(0, 0.35),
)  # fmt: skip
_AROUND = Ranges(
    gaze_pitch_deg=(-32, 26), gaze_yaw_deg=(-40, 40), head_pitch_deg=(-12, 12), head_yaw_deg=(-15, 15),
    head_roll_deg=(-6, 6), blink=(0, 1.0),
)  # fmt: skip
_FOCAL_AT_1M = 264.0 / 0.68 / 128  # in image sides: a face fills the image as in the other synthetic subjects


def prior_person(name: str, identity_seed: int, num_images: int) -> SubjectConfig:
    """One person of the set of this name.

    Raises:
        BadInput: no such set.
    """
    rig: RigName
    if name == "near":
        # Lenses differ: the same face at another distance, with the focal length that keeps its size.
        distance_m = float(np.random.default_rng([identity_seed, 2]).uniform(0.3, 1.0))
        view, rig, ranges = _view(192, distance_m, zoom=1.6), "dome", _NEAR
    elif name == "around":
        view, rig, ranges = _view(128, 0.68), "eth_xgaze", _AROUND
    else:
        raise BadInput(f"no set of people named {name!r}; expected near or around")
    return SubjectConfig(
        subject=f"{name}_{identity_seed}",
        identity_seed=identity_seed,
        seed=identity_seed,
        num_images=num_images,
        num_held_out=0,
        view=view,
        rig=rig,
        lights=_LIGHTS,
        ranges=ranges,
        num_samples=12 if name == "near" else 16,
        subdivisions=1,
    )


def _view(size_px: int, distance_m: float, zoom: float = 1.0) -> View:
    focal_px = zoom * _FOCAL_AT_1M * distance_m * size_px
    return View(size_px=size_px, focal_px=focal_px, distance_m=distance_m)


def main(arguments: list[str]) -> None:
    """Renders all missing people of a set to FOLDER/training and FOLDER/test, one person to a process."""
    if len(arguments) != 2:
        raise BadInput(
            f"{len(arguments)} arguments; expected two: near or around, and the folder for the subject files"
        )
    name, folder = arguments[0], Path(arguments[1])
    missing = {
        file: prior_person(name, seed, NUM_IMAGES[name, split])
        for split, seeds in SEEDS.items()
        for seed in seeds
        if not (file := folder / split / f"{name}_{seed}.h5").exists()
    }
    with worker_pool(os.cpu_count() or 1, use_one_thread) as pool:
        for _ in pool.map(synthesize_subject, missing.values(), missing):
            pass


if __name__ == "__main__":
    main(sys.argv[1:])
