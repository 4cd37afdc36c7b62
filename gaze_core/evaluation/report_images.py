"""Images of the report page: held-out heads and their renderings, embedded in the page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaze_core.reports.blocks import ImageGroup, ImageStrip
from gaze_core.reports.charts import ImagePoint
from gaze_core.reports.images import content_box, png_data_uri

_ARRAYS = ("original", "reconstruction", "gazes", "poses", "eyes", "curve_eyes", "curve_deg")


@dataclass(frozen=True, eq=False)
class ReportImages:
    """uint8 RGB images of n held-out heads: recorded, reconstructed, and rendered at each target gaze and head pose.

    The labels name the second axis of `gazes` and of `poses`; `eyes` are close-ups of the original and of each gaze.
    `curve_eyes` are the eyes of a few heads at many gazes, and `curve_deg` the angle between original and target gaze,
    the error of the rendering and that of the original image.
    """

    original: np.ndarray  # [n, h, w, 3]
    reconstruction: np.ndarray  # [n, h, w, 3]
    gazes: np.ndarray  # [n, g, h, w, 3]
    poses: np.ndarray  # [n, p, h, w, 3]
    eyes: np.ndarray  # [n, 1 + g, k, l, 3]
    gaze_labels: Sequence[str]
    pose_labels: Sequence[str]
    curve_eyes: np.ndarray  # [m, c, k, l, 3]
    curve_deg: np.ndarray  # [m, c, 3], NaN where the judge found no face
    curve_gazes_deg: Sequence[Sequence[float]] = ()  # c times [pitch, yaw]
    head_labels: Sequence[str] = ()

    @classmethod
    def load(cls, path: Path) -> "ReportImages":
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


def image_strips(images: ReportImages, baseline: ReportImages | None) -> list[ImageStrip]:
    """For each head, titled groups of captioned images: heads cropped to a common square without white margins, and eyes."""
    rows, columns = content_box(np.concatenate([images.original[:, None], images.gazes, images.poses], axis=1))
    strips = []
    for n in range(len(images.original)):
        own = [("original", images.original[n]), ("rendered", images.reconstruction[n])]
        if baseline is not None:
            own.append(("baseline", baseline.reconstruction[n]))
        groups = (
            ("Held out", own),
            ("Target gaze", zip(images.gaze_labels, images.gazes[n], strict=True)),
            ("Target head pose", zip(images.pose_labels, images.poses[n], strict=True)),
        )
        heads = [
            ImageGroup(title, [(_bare(label), png_data_uri(image[rows, columns])) for label, image in group])
            for title, group in groups
        ]
        strips.append(ImageStrip([*heads, ImageGroup("Eyes, enlarged", _eyes(images, n), is_row=True)]))
    return strips


def curve_points(images: ReportImages) -> list[ImagePoint]:
    """A point of the redirection curve for each rendering of the curve's heads in which the judge found a face."""
    points = []
    for head, (eyes, numbers) in enumerate(zip(images.curve_eyes, images.curve_deg, strict=True)):
        for image, (moved, error, copied), (pitch, yaw) in zip(eyes, numbers, images.curve_gazes_deg, strict=True):
            if np.isfinite([moved, error]).all():
                lines = (
                    images.head_labels[head],
                    _bare(f"target {pitch:+.0f}°, {yaw:+.0f}°"),
                    f"redirected by {moved:.0f}°, error {error:.1f}°",
                    f"identity baseline {copied:.0f}°",
                )
                points.append(ImagePoint(float(moved), float(error), png_data_uri(image), lines))
    return points


def _eyes(images: ReportImages, n: int) -> list[tuple[str, str]]:
    labels = ["original", *(_bare(label) for label in images.gaze_labels)]
    return [(label, png_data_uri(image)) for label, image in zip(labels, images.eyes[n], strict=True)]


def _bare(label: str) -> str:
    """The label without its first word, which the group's title repeats, and with typographic minus signs."""
    return label.removeprefix("gaze ").removeprefix("head ").replace("+0°", "0°").replace("-", "\N{MINUS SIGN}")
