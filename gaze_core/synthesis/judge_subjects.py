"""Training and test people of the gaze judge: `python -m gaze_core.synthesis.judge_subjects FOLDER`.

Many people with few images each, since generalisation to new people is harder than to new images.
"""

import os
import sys
from pathlib import Path

from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject
from gaze_core.synthesis.identity import Ranges

# Number of images by identity seed; disjoint from the seeds of shipped packs.
SPLITS = {
    "training": dict.fromkeys(range(101, 117), 64) | dict.fromkeys(range(201, 230), 32),
    "validation": dict.fromkeys(range(901, 905), 50),
    "test": dict.fromkeys(range(951, 957), 50),
}
WIDE = Ranges(
    gaze_pitch_deg=(-25, 25), gaze_yaw_deg=(-35, 35), head_pitch_deg=(-13, 13), head_yaw_deg=(-18, 18),
    head_roll_deg=(-6, 6),
)  # fmt: skip


def judge_subject(identity_seed: int, num_images: int) -> SubjectConfig:
    """One person in all lights, with wider ranges of gaze and pose than the subjects to be judged."""
    return SubjectConfig(
        subject=f"judge_{identity_seed}",
        identity_seed=identity_seed,
        seed=identity_seed,
        num_images=num_images,
        num_held_out=0,
        num_samples=16,
        subdivisions=1,
        lights=("studio", "window", "office", "flash"),
        ranges=WIDE,
    )


def main(arguments: list[str]) -> None:
    """Renders all missing people to FOLDER/training, FOLDER/validation and FOLDER/test."""
    if len(arguments) != 1:
        raise BadInput(f"{len(arguments)} arguments; expected one, the folder for the subject files, such as people")
    runtime = Runtime(num_workers=os.cpu_count() or 1)
    for split, people in SPLITS.items():
        for seed, num_images in people.items():
            out = Path(arguments[0]) / split / f"judge_{seed}.h5"
            if not out.exists():
                synthesize_subject(judge_subject(seed, num_images), out, runtime)


if __name__ == "__main__":
    main(sys.argv[1:])
