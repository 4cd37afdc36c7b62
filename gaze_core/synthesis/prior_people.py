"""Rendered people who teach what holds of real ones: `python -m gaze_core.synthesis.prior_people FOLDER`.

FOLDER/near: a camera before the face, for the gaze reader of landmarks. FOLDER/around: cameras on all sides, for the head
that is known before a recording. The same people in both; those of `test` are met in no training.
"""

import os
import sys
from pathlib import Path
from typing import Literal

import numpy as np

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject
from gaze_core.synthesis.identity import Ranges
from gaze_core.synthesis.rig import View

PriorSet = Literal["near", "around"]
# Identity seeds; none is a shipped pack's or one of the judge's.
TRAINING, TEST = range(2001, 2161), range(2901, 2913)
NUM_IMAGES: dict[PriorSet, int] = {"near": 10, "around": 12}
SIZE_PX = 256  # what the landmark model sees of a face
_DISTANCES_M = (0.3, 1.2)
_FACE_M = 0.28  # what a view shows of the face's plane
_RANGES: dict[PriorSet, Ranges] = {
    "near": Ranges(
        gaze_pitch_deg=(-38, 26), gaze_yaw_deg=(-36, 36), head_pitch_deg=(-22, 22), head_yaw_deg=(-26, 26),
        head_roll_deg=(-8, 8), target_distance_m=(0.3, 2.0),
    ),
    "around": Ranges(gaze_pitch_deg=(-28, 24), gaze_yaw_deg=(-34, 34), blink=(0, 1.0)),
}  # fmt: skip


def prior_subject(identity_seed: int, which: PriorSet) -> SubjectConfig:
    """One person in all lights, seen from a distance of their own through a lens that fills the image with the face."""
    distance_m = float(np.exp(np.random.default_rng([identity_seed, 2]).uniform(*np.log(_DISTANCES_M))))
    return SubjectConfig(
        subject=f"prior_{identity_seed}",
        identity_seed=identity_seed,
        seed=identity_seed + (0 if which == "near" else 10_000),
        num_images=NUM_IMAGES[which],
        num_held_out=0,
        view=View(size_px=SIZE_PX, focal_px=SIZE_PX * distance_m / _FACE_M, distance_m=distance_m),
        rig="compact" if which == "near" else "eth_xgaze",
        num_samples=8,
        subdivisions=1,
        lights=("studio", "window", "office", "flash"),
        ranges=_RANGES[which],
    )


def main(arguments: list[str]) -> None:
    """Renders everyone who is not there yet to FOLDER/{near,around}/{training,test}."""
    if len(arguments) != 1:
        raise BadInput(f"{len(arguments)} arguments; expected one, the folder for the subject files, such as people")
    runtime = Runtime(num_workers=os.cpu_count() or 1)
    for which in NUM_IMAGES:
        for split, seeds in (("test", TEST), ("training", TRAINING)):
            for seed in seeds:
                out = Path(arguments[0]) / which / split / f"prior_{seed}.h5"
                if not out.exists():
                    synthesize_subject(prior_subject(seed, which), out, runtime)


if __name__ == "__main__":
    main(sys.argv[1:])
