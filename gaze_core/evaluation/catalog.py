"""Every metric by its stable name: title, unit, direction of improvement, source.

The names are keys of `report.json`, of tracked runs and of the published numbers.
"""

from dataclasses import dataclass
from typing import Literal

RowName = Literal["model", "copy", "constant", "floor"]
"""Rows of the results: the model; the identity baseline (`copy`); the best constant prediction; the judge's error on ground
truth (`floor`)."""


@dataclass(frozen=True)
class Metric:
    """One metric. `better` is the direction of improvement; `source` is the publication that defined it."""

    title: str
    unit: str
    better: Literal["lower", "higher"]
    source: str
    digits: int = 2


_ZHANG = "angle between directions, Zhang et al. 2015 (MPIIGaze)"
_STED = "Zheng et al. 2020 (self-learning transformations)"
_PUBLISHED = (
    "estimator's predictions for both images, as Ruzzi et al. 2023 (GazeNeRF) and Wei et al. 2025 (GazeGaussian)"
)

METRICS: dict[str, Metric] = {
    # Redirected to another frame's gaze, or to its camera and pose:
    "gaze_error_deg": Metric("Gaze error, redirected: prediction against the label", "°", "lower", _ZHANG),
    "head_error_deg": Metric("Head error, redirected: prediction against the label", "°", "lower", _STED),
    "head_moved_by_gaze_deg": Metric("Head change when only the target gaze changes", "°", "lower", _STED),
    "gaze_moved_by_head_deg": Metric(
        "Gaze change in the head when only the target head pose changes", "°", "lower", _STED
    ),
    # Rendered from a held-out frame's own labels, beside its recorded image:
    "self_gaze_error_deg": Metric("Gaze error, own labels: prediction against the label", "°", "lower", _ZHANG),
    "gaze_error_vs_original_deg": Metric("Gaze, prediction against that for the original", "°", "lower", _PUBLISHED),
    "head_error_vs_original_deg": Metric("Head, prediction against that for the original", "°", "lower", _PUBLISHED),
    "psnr_db": Metric("PSNR, whole image", " dB", "higher", "10 log10(1 / MSE), mean of dB"),
    "head_psnr_db": Metric("PSNR, head only", " dB", "higher", "over the head mask"),
    "eyes_psnr_db": Metric("PSNR, eyes only", " dB", "higher", "over the masks of both eyeballs"),
    "ssim": Metric("SSIM, whole image", "", "higher", "Wang et al. 2004, by torchmetrics", digits=3),
    "lpips": Metric("LPIPS", "", "lower", "Zhang et al. 2018, VGG-16 v0.1, by torchmetrics", digits=3),
    "st_lpips": Metric("ST-LPIPS (not LPIPS)", "", "lower", "Ghildyal & Liu 2022, shift-tolerant AlexNet", digits=3),
    "identity_distance": Metric(
        "Identity distance (0.6 or more: another person)", "", "lower", "dlib's face descriptor, King 2017", digits=3
    ),
    # Between the sets of all rendered and all recorded images:
    "kid": Metric("KID", "", "lower", "Binkowski et al. 2018, by torchmetrics", digits=4),
    "fid": Metric("FID", "", "lower", "Heusel et al. 2017, by torchmetrics", digits=1),
}
_FLOORS = {"gaze_error_deg": "estimator_floor_deg", "head_error_deg": "head_floor_deg"}
_PREFIXES: dict[RowName, str] = {"model": "", "copy": "identity_copy_", "constant": "constant_"}


def flat_name(row: RowName, metric: str) -> str:
    """The flat key of a number: the metric's name for the model, with a prefix for the baselines."""
    return _FLOORS[metric] if row == "floor" else f"{_PREFIXES[row]}{metric}"
