"""Synthetic people for pretraining the face estimator: many people, few images each, from a dome of cameras."""

from gaze_core.driver.view import DRIVER_FACE
from gaze_core.synthesis.factory import SubjectConfig
from gaze_core.synthesis.identity import Ranges
from gaze_core.synthesis.rig import View

FIRST_SEED = 301  # disjoint from the seeds of shipped packs and of synthetic drives
WIDE = Ranges(
    gaze_pitch_deg=(-22, 22), gaze_yaw_deg=(-32, 32), head_pitch_deg=(-12, 12), head_yaw_deg=(-18, 18),
    head_roll_deg=(-8, 8), head_shift_m=(-0.03, 0.03),
)  # fmt: skip


def driver_people(count: int, images: int, size_px: int = 128, num_samples: int = 16) -> list[SubjectConfig]:
    """Configurations of `count` people with `images` images each; a larger `count` keeps the first ones unchanged.

    `num_samples` is the number of light paths per pixel.
    """
    face = DRIVER_FACE.resized(size_px)
    view = View(size_px=size_px, focal_px=face.focal_px, distance_m=face.distance_m)
    return [
        SubjectConfig(
            subject=f"driver_person_{seed}",
            identity_seed=seed,
            seed=seed,
            num_images=images,
            num_held_out=0,
            view=view,
            rig="dome",
            lights=("studio", "window", "office", "flash"),
            ranges=WIDE,
            num_samples=num_samples,
            subdivisions=1,
        )
        for seed in range(FIRST_SEED, FIRST_SEED + count)
    ]
