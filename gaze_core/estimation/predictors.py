"""Gaze of the test frames by the temporal model and by everything that must stand beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from gaze_core.estimation import filters
from gaze_core.estimation.features import histories
from gaze_core.estimation.metrics import error_deg
from gaze_core.estimation.report import RowName
from gaze_core.estimation.table import FrameTable
from gaze_core.evaluation.baselines import constant, head_pose_regression
from gaze_core.models.estimation.temporal import FrameSequence, TemporalHead
from gaze_core.reproducibility import derived_seed

_BATCH = 1024
Angles = Float[ndarray, "n 2"]


@dataclass
class Predictions:
    """Angles of each row, in radians, notes on them, and the rows that could not be computed with the reason."""

    rows: dict[RowName, Angles] = field(default_factory=dict)
    notes: dict[RowName, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def predict_all(
    head: TemporalHead, train: FrameTable, validation: FrameTable, test: FrameTable, seed: int
) -> Predictions:
    """All rows on the test frames; baselines are fitted to the training people, filters to the validation people."""
    found = Predictions()
    found.rows["constant"] = constant(train.truth_rad, len(test))
    _add_head_pose(found, train, test)
    found.rows["single frame"] = test.single_rad
    length = head.config.length
    past = histories(test.starts, length)
    for kind, name in (("EMA", "EMA"), ("median", "median")):
        strength, chosen = filters.best(
            kind, validation.single_rad, histories(validation.starts, length), _error(validation)
        )
        found.rows[name] = chosen(test.single_rad, past)  # type: ignore[index]
        found.notes[name] = f"{strength}, chosen on the validation participants"  # type: ignore[index]
    found.rows["shuffled time"] = run_head(head, test, shuffled(past, seed))
    found.rows["temporal"] = run_head(head, test, past)
    found.notes["shuffled time"] = "the temporal model with each frame's earlier frames in random order"
    return found


@torch.no_grad()
def run_head(head: TemporalHead, table: FrameTable, past: Int[ndarray, "n t"]) -> Angles:
    """The head's gaze of the last frame of each history, in which -1 stands for no frame."""
    return np.concatenate([
        _outputs(head, table, past[start : start + _BATCH])[:, -1] for start in range(0, len(past), _BATCH)
    ])  # fmt: skip


def errors_by_position(head: TemporalHead, table: FrameTable) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean angular error at each position of full clips, of the head and of the single-frame model; empty without any."""
    past = histories(table.starts, head.config.length)
    full = past[(past >= 0).all(axis=1)]
    sums = np.zeros((2, head.config.length))
    truth = table.truth_rad
    for start in range(0, len(full), _BATCH):
        part = full[start : start + _BATCH]
        outputs = (_outputs(head, table, part), table.single_rad[part])
        for number, gaze in enumerate(outputs):
            sums[number] += [error_deg(gaze[:, at], truth[part[:, at]]).sum() for at in range(part.shape[1])]
    if not len(full):
        return (), ()
    return tuple((sums[0] / len(full)).tolist()), tuple((sums[1] / len(full)).tolist())


def shuffled(past: Int[ndarray, "n t"], seed: int) -> Int[ndarray, "n t"]:
    """Each history with its earlier frames in random order; the newest frame stays the newest."""
    rng = np.random.default_rng(derived_seed("shuffled time", seed))
    order = rng.random(past[:, :-1].shape)
    order[past[:, :-1] < 0] = -1  # what is missing stays first
    mixed = np.take_along_axis(past[:, :-1], np.argsort(order, axis=1, kind="stable"), axis=1)
    return np.concatenate([mixed, past[:, -1:]], axis=1)


@torch.no_grad()
def _outputs(head: TemporalHead, table: FrameTable, past: Int[ndarray, "n t"]) -> Float[ndarray, "n t 2"]:
    """The head's gaze at every position; positions without a frame repeat a frame and are forgotten."""
    device = next(head.parameters()).device
    present = past >= 0
    starts = ~present
    first = present.argmax(axis=1)
    starts[np.arange(len(past)), first] = True
    starts[:, 0] = True
    at = np.where(present, past, past[:, -1:])
    frames = FrameSequence(
        token=torch.from_numpy(table.token[at]),
        gaze_rad=torch.from_numpy(table.single_rad[at].astype(np.float32)),
        starts=torch.from_numpy(starts),
    )
    out: Float[ndarray, "n t 2"] = head(frames.to(device)).cpu().numpy().astype(np.float64)
    return out


def _add_head_pose(found: Predictions, train: FrameTable, test: FrameTable) -> None:
    poses = [np.asarray(table.labels["head_rad"], dtype=np.float64) for table in (train, test)]
    known = [np.isfinite(pose).all(axis=1) for pose in poses]
    if not known[0].any() or not known[1].all():
        found.absent["head pose"] = "the recordings have no head pose"
        return
    features = [_pose_features(pose) for pose in poses]
    predict = head_pose_regression(features[0][known[0]], train.truth_rad[known[0]])
    found.rows["head pose"] = predict(features[1])


def _pose_features(pose: Angles) -> Float[ndarray, "n k"]:
    """Both angles, their squares and their product."""
    return np.concatenate([pose, pose**2, pose[:, :1] * pose[:, 1:]], axis=1)


def _error(table: FrameTable) -> Callable[[ndarray], float]:
    """Mean angular error over people, which the choice of a filter minimises."""
    people, names = table.groups("participant")
    truth = table.truth_rad

    def error(gaze: ndarray) -> float:
        values = error_deg(gaze, truth)
        return float(
            np.mean([values[people == number].mean() for number in range(len(names)) if (people == number).any()])
        )

    return error
