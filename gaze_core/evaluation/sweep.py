"""The sweep: how far the eyes of renderings turn for each degree of the target gaze, by every reader at hand.

An error in degrees can be small because little was asked for; a slope cannot: of eyes that do not move it is 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gaze_core.data.batch import GazeBatch
from gaze_core.evaluation.evidence import lacking_sweep
from gaze_core.evaluation.judge import Judge
from gaze_core.evaluation.renderings import Prediction, Redirector, render
from gaze_core.evaluation.report import SweepAxis, SweepLine
from gaze_core.evaluation.report_renderings import as_uint8, eye_crops
from gaze_core.sampling import evenly_spaced

ANGLES_DEG: Mapping[SweepAxis, tuple[float, ...]] = {
    "yaw": (-20.0, -10.0, 0.0, 10.0, 20.0),
    "pitch": (-12.0, -6.0, 0.0, 6.0, 12.0),
}
"""Target gazes in the head, the other angle zero: what people's eyes do before they turn their heads."""
_COLUMN: Mapping[SweepAxis, int] = {"pitch": 0, "yaw": 1}
_NUM_FRAMES, _NUM_SHOWN = 8, 2


@dataclass(frozen=True, eq=False)
class Sweep:
    """What each reader predicted, and close-ups of the eyes of a few frames at the angles of both axes."""

    lines: tuple[SweepLine, ...] = ()
    frames: tuple[str, ...] = ()  # whose eyes are shown
    eyes: Mapping[SweepAxis, np.ndarray] = field(default_factory=dict)  # uint8 [frame, angle, h, w, 3]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What `report_images.ReportImages` reads."""
        eyes = {f"sweep_{axis}": images for axis, images in self.eyes.items()}
        return {**eyes, "sweep_frames": np.array(self.frames, dtype=str)}


def sweep(
    redirector: Redirector, frames: Sequence[tuple[str, Callable[[], GazeBatch]]], readers: Mapping[str, Judge]
) -> Sweep:
    """Renders some of the frames at each target gaze and lets all readers predict the gaze in the head.

    Args:
        redirector: what is measured.
        frames: the held-out frames, each as its name and what reads it as a batch of one.
        readers: by name.
    """
    chosen = evenly_spaced(len(frames), _NUM_FRAMES)
    predicted: dict[tuple[str, SweepAxis], list[np.ndarray]] = {}
    eyes: dict[SweepAxis, list[np.ndarray]] = {axis: [] for axis in ANGLES_DEG}
    shown = [chosen[k] for k in evenly_spaced(len(chosen), _NUM_SHOWN)]
    for k in chosen:
        batch = frames[k][1]()
        for axis, angles_deg in ANGLES_DEG.items():
            heads = batch[[0] * len(angles_deg)]
            rendered = render(redirector, heads.camera, heads.head.with_gaze(_targets(axis, heads)))
            for name, reader in readers.items():
                predicted.setdefault((name, axis), []).append(_read(reader, rendered, heads)[:, _COLUMN[axis]])
            if k in shown:
                eyes[axis].append(as_uint8(eye_crops(rendered, heads.landmarks_2d_px)))
    lines = (sweep_line(name, axis, np.stack(values)) for (name, axis), values in predicted.items())
    return Sweep(
        tuple(lines), tuple(frames[k][0] for k in shown), {axis: np.stack(rows) for axis, rows in eyes.items()}
    )


def sweep_line(reader: str, axis: SweepAxis, predicted_deg: Float[np.ndarray, "f a"]) -> SweepLine:
    """The line through predictions of F frames at the angles of one axis, NaN where an image could not be read.

    Each frame keeps an offset of its own, which is the reader's bias for that person and pose: slope and R2 are those of
    the deviations from the frame's means.
    """
    known = np.isfinite(predicted_deg)
    target_deg = np.broadcast_to(ANGLES_DEG[axis], predicted_deg.shape)
    x, y = (_deviations(np.where(known, values, np.nan)) for values in (target_deg, predicted_deg))
    angles = int((known.any(axis=0)).sum())
    reason = lacking_sweep(int(known.sum()), angles)
    slope = r2 = None
    if not reason:
        slope = float((x * y).sum() / (x * x).sum())
        moved = float((y * y).sum())
        r2 = float((x * y).sum() ** 2 / ((x * x).sum() * moved)) if moved > 1e-9 else 0.0
    means = [
        float(column[seen].mean()) if seen.any() else None
        for column, seen in zip(predicted_deg.T, known.T, strict=True)
    ]
    return SweepLine(
        reader=reader, axis=axis, target_deg=ANGLES_DEG[axis], predicted_deg=tuple(means), slope=slope, r2=r2,
        num_readings=int(known.sum()), num_renderings=known.size, reason=reason,
    )  # fmt: skip


def _deviations(values: Float[np.ndarray, "f a"]) -> Float[np.ndarray, " n"]:
    """From the mean of each frame, of all known values."""
    rows = [row[np.isfinite(row)] for row in values]
    return np.concatenate([row - row.mean() for row in rows if len(row)] or [np.zeros(0)])


def _targets(axis: SweepAxis, heads: GazeBatch) -> Float[Tensor, "a 2"]:
    gaze = torch.zeros_like(heads.gaze_head)
    gaze[:, _COLUMN[axis]] = torch.deg2rad(gaze.new_tensor(ANGLES_DEG[axis]))
    return gaze


def _read(reader: Judge, rendered: Float[Tensor, "a 3 h w"], heads: GazeBatch) -> Float[np.ndarray, "a 2"]:
    """`[pitch, yaw]` in the head, degrees; NaN where it could not be read."""
    found = Prediction.of(reader, rendered).in_head(heads)
    values = torch.rad2deg(found.gaze_camera).cpu().double().numpy()
    return np.where(found.valid.cpu().numpy()[:, None], values, np.nan)
