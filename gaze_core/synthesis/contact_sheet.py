"""A sheet of several people who look in several directions: `python -m gaze_core.synthesis.contact_sheet OUT.png`."""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from numpy import ndarray

from gaze_core.data.schema import ARKIT
from gaze_core.errors import BadInput
from gaze_core.synthesis.factory import SubjectConfig, make_person, render_moment
from gaze_core.synthesis.head import lid_actions, load_anny
from gaze_core.synthesis.identity import Moment, converging_gaze
from gaze_core.synthesis.rig import View
from gaze_core.synthesis.scene import LIGHTS, load_mitsuba

# [pitch, yaw] in degrees, head frame, of each column; yaw > 0 looks to image left.
GAZES_DEG = {"ahead": (0, 0), "image left": (0, 24), "image right": (0, -24), "up": (16, 0), "down, right": (-14, -16)}
PEOPLE = (41, 46, 55, 50, 83, 86)
_CLOSE_UP = View(size_px=160, focal_px=660.0)  # the face fills the image
_TARGET_M, _LIDS_FULL_AT_DEG = 1.0, 25.0


def contact_sheet(
    people: tuple[int, ...] = PEOPLE, view: View = _CLOSE_UP, num_samples: int = 64, subdivisions: int = 2
) -> UInt8[ndarray, "r c h w 3"]:
    """An image of each identity seed (row) at each of `GAZES_DEG` (column), seen from the front.

    Each row has another light. The face is neutral except for the lids, which follow the gaze.

    Raises:
        BadInput: anny or mitsuba is not installed.
    """
    load_mitsuba()
    load_anny()
    lights = tuple(LIGHTS)
    config = SubjectConfig(rig="frontal", view=view, num_samples=num_samples, subdivisions=subdivisions)
    rows = []
    for row, identity_seed in enumerate(people):
        person = make_person(identity_seed, subdivisions)
        moments = (_looking(np.deg2rad(gaze), person.head.eye_centers_m) for gaze in GAZES_DEG.values())
        light = lights[row % len(lights)]
        rows.append([render_moment(person, moment, config, 0, light, seed=0)["image"] for moment in moments])
    return np.array(rows)


def _looking(gaze_rad: Float[ndarray, "2"], eye_centers_m: Float[ndarray, "2 3"]) -> Moment:
    eyes = converging_gaze(gaze_rad, _TARGET_M, eye_centers_m)
    lids = lid_actions(eyes, float(np.deg2rad(_LIDS_FULL_AT_DEG)))
    return Moment(eyes, np.zeros(3), np.zeros(3), np.array([lids.get(name, 0.0) for name in ARKIT]))


def write_sheet(images: UInt8[ndarray, "r c h w 3"], out: Path) -> None:
    """Writes the images as one PNG, each column under its name."""
    num_rows, num_columns, height, width, _ = images.shape
    figure = Figure(figsize=(num_columns * width / 100, num_rows * height / 100 + 0.24), dpi=100)
    axes = figure.subplots(num_rows, num_columns, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    figure.subplots_adjust(left=0, right=1, bottom=0, top=1 - 0.24 / figure.get_figheight())
    for cells, row in zip(axes, images, strict=True):
        for cell, image in zip(cells, row, strict=True):
            cell.imshow(image, interpolation="none")
            cell.set_axis_off()
    for cell, name in zip(axes[0], GAZES_DEG, strict=True):
        cell.set_title(name, fontsize=9, pad=3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, pil_kwargs={"optimize": True})


def main(arguments: list[str]) -> None:
    """Writes the sheet to the one path given."""
    if len(arguments) != 1:
        raise BadInput(f"{len(arguments)} arguments; expected one, the PNG to write, such as sheet.png")
    write_sheet(contact_sheet(), Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
