"""Several synthetic people of the same kind."""

from typing import cast

from gaze_core.errors import BadInput
from gaze_core.synthesis.factory import SubjectConfig
from gaze_core.synthesis.rig import RIGS, View
from gaze_core.synthesis.scene import LIGHTS, LightName

PX_AT_STANDARD_FOCAL, STANDARD_FOCAL_PX = 128, 264.0


def subject_configs(
    subjects: int,
    images: int,
    size_px: int,
    seed: int,
    rig: str = "compact",
    lights: tuple[str, ...] = ("studio",),
) -> list[SubjectConfig]:
    """`subjects` people with seeds from `seed` on, with the view of the shipped pack.

    Raises:
        BadInput: no such rig or light.
    """
    if rig not in RIGS:
        raise BadInput(f"no rig named {rig!r}; expected one of: {', '.join(RIGS)}")
    if unknown := set(lights) - set(LIGHTS):
        raise BadInput(f"no light named {sorted(unknown)[0]!r}; expected some of: {', '.join(LIGHTS)}")
    view = View(size_px=size_px, focal_px=STANDARD_FOCAL_PX * size_px / PX_AT_STANDARD_FOCAL)
    return [
        SubjectConfig(
            subject=f"synthetic_{seed + i:04d}",
            identity_seed=seed + i,
            seed=seed + i,
            num_images=images - images // 5,
            num_held_out=images // 5,
            view=view,
            rig=rig,
            lights=cast(tuple[LightName, ...], lights),
        )
        for i in range(subjects)
    ]
