"""Pictures of the report page: held-out heads beside what was drawn of them, embedded in the page."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gaze_core.evaluation.figures import PicturePoint

EYES_TITLE = "The eyes, closer"
_ARRAYS = ("original", "reconstruction", "gazes", "poses", "eyes", "curve_eyes", "curve_deg")
PictureGroups = list[tuple[str, list[tuple[str, str]]]]
"""Groups of one head: title, then caption and address of each picture."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """uint8 RGB pictures of n held-out heads: as recorded, as drawn, and drawn at each asked gaze and head pose.

    The labels name the second axis of `gazes` and of `poses`; `eyes` are close-ups of the original and of each gaze.
    `curve_eyes` are the eyes of a few heads at many gazes, and `curve_deg` how far each was moved, the error of the
    drawing and that of the unchanged picture.
    """

    original: np.ndarray  # [n, h, w, 3]
    reconstruction: np.ndarray  # [n, h, w, 3]
    gazes: np.ndarray  # [n, g, h, w, 3]
    poses: np.ndarray  # [n, p, h, w, 3]
    eyes: np.ndarray  # [n, 1 + g, k, l, 3]
    gaze_labels: Sequence[str]
    pose_labels: Sequence[str]
    curve_eyes: np.ndarray  # [m, c, k, l, 3]
    curve_deg: np.ndarray  # [m, c, 3], NaN where the judge could not read
    curve_gazes_deg: Sequence[Sequence[float]] = ()  # c times [pitch, yaw]
    head_labels: Sequence[str] = ()

    @classmethod
    def load(cls, path: Path) -> "Pictures":
        """Reads the npz that the evaluate stage writes: the arrays, and their `labels` as JSON."""
        with np.load(path, allow_pickle=False) as file:
            labels = json.loads(str(file["labels"]))
            arrays = {name: file[name] for name in _ARRAYS}
        return cls(
            **arrays,
            gaze_labels=labels["gazes"],
            pose_labels=labels["poses"],
            curve_gazes_deg=labels["curve"],
            head_labels=labels["heads"],
        )


def picture_groups(pictures: Pictures, baseline: Pictures | None) -> list[PictureGroups]:
    """For each head titled groups of captioned pictures: heads cut to one square without the white around, and eyes."""
    rows, columns = content_box(np.concatenate([pictures.original[:, None], pictures.gazes, pictures.poses], axis=1))
    heads = []
    for n in range(len(pictures.original)):
        own = [("original", pictures.original[n]), ("drawn", pictures.reconstruction[n])]
        if baseline is not None:
            own.append(("baseline", baseline.reconstruction[n]))
        groups = (
            ("Held out", own),
            ("Asked gaze", zip(pictures.gaze_labels, pictures.gazes[n], strict=True)),
            ("Asked head pose", zip(pictures.pose_labels, pictures.poses[n], strict=True)),
        )
        heads.append(
            [
                (title, [(_bare(label), png_data_uri(image[rows, columns])) for label, image in group])
                for title, group in groups
            ]
            + [(EYES_TITLE, _eyes(pictures, n))]
        )
    return heads


def curve_points(pictures: Pictures) -> list[PicturePoint]:
    """A point of the redirection curve for each drawing of the curve's heads that the judge could read."""
    points = []
    for head, (eyes, numbers) in enumerate(zip(pictures.curve_eyes, pictures.curve_deg, strict=True)):
        for image, (moved, error, copied), (pitch, yaw) in zip(eyes, numbers, pictures.curve_gazes_deg, strict=True):
            if np.isfinite([moved, error]).all():
                lines = (
                    pictures.head_labels[head],
                    _bare(f"asked for {pitch:+.0f}°, {yaw:+.0f}°"),
                    f"moved {moved:.0f}°, {error:.1f}° off",
                    f"unchanged it would be {copied:.0f}° off",
                )
                points.append(PicturePoint(float(moved), float(error), png_data_uri(image), lines))
    return points


def _eyes(pictures: Pictures, n: int) -> list[tuple[str, str]]:
    labels = ["original", *(_bare(label) for label in pictures.gaze_labels)]
    return [(label, png_data_uri(image)) for label, image in zip(labels, pictures.eyes[n], strict=True)]


def _bare(label: str) -> str:
    """The label without the word that the group's own title says, and with proper signs."""
    return label.removeprefix("gaze ").removeprefix("head ").replace("+0°", "0°").replace("-", "\N{MINUS SIGN}")


def content_box(images: np.ndarray, margin_px: int = 3) -> tuple[slice, slice]:
    """Rows and columns of the smallest square that holds all that is not white in uint8 pictures [..., H, W, 3]."""
    drawn = (images.min(axis=-1) < 250).reshape(-1, *images.shape[-3:-1]).any(axis=0)
    if not drawn.any():
        return slice(None), slice(None)
    ends = [np.flatnonzero(np.any(drawn, axis=other))[[0, -1]] for other in (1, 0)]
    side = min(max(int(high - low) + 1 + 2 * margin_px for low, high in ends), *drawn.shape)
    starts = [
        int(np.clip((low + high + 1 - side) // 2, 0, size - side))
        for (low, high), size in zip(ends, drawn.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def png_data_uri(image: np.ndarray) -> str:
    """A uint8 RGB image [H, W, 3] as a `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
