"""Evaluation of a gaze redirector on held-out frames; the protocol is in `EvaluationReport`'s docstring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaze_core.data.batch import GazeBatch, HeadParameters
from gaze_core.errors import BadInput
from gaze_core.evaluation.judge import Judge, JudgeReading
from gaze_core.evaluation.metrics import constant_reading, gaze_error_deg, head_error_deg, psnr_db, ssim
from gaze_core.evaluation.report import AngleRow, EvaluationReport, MovedRow, SampleValues, Values
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.cameras import Camera
from gaze_core.models.estimator import head_pitchyaw
from gaze_core.reproducibility import generator

SWEEP_DEG = ((0.0, 0.0), (0.0, 25.0), (0.0, -25.0), (15.0, 0.0), (-15.0, 0.0))
"""Gazes `[pitch, yaw]` in the head frame that each swept head is asked for."""
MOVED_EDGES_DEG = (0.0, 10.0, 20.0, 30.0, 45.0, 180.0)
_NUM_SWEPT_HEADS = 8
_CHUNK = 8


class Redirector(Protocol):
    """Draws a head on white as seen by a camera: a trained model, or anything to compare with it."""

    def __call__(self, camera: Camera, head: HeadParameters, /) -> Float[Tensor, "b 3 h w"]: ...


@dataclass(frozen=True, eq=False)
class _Redirected:
    """Readings of images that were asked for a gaze, in the camera frame; `moved_deg` from the original's label."""

    error_deg: Float[Tensor, " b"]
    copy_error_deg: Float[Tensor, " b"]
    moved_deg: Float[Tensor, " b"]


def evaluate(redirector: Redirector, heldout: GazeBatch, judge: Judge, seed: int = 0) -> EvaluationReport:
    """Measures `redirector` on at least two held-out frames. The same seed gives the same pairs.

    Raises:
        BadInput: fewer than two frames, so no frame has another's gaze to take on.
    """
    if len(heldout) < 2:
        raise BadInput(f"{len(heldout)} held-out frames; expected at least 2, to redirect each to another's gaze")
    partner = derangement(len(heldout), seed)
    original = judge.read(heldout.rgb_on_white)
    own = _draw(redirector, heldout.camera, heldout.head)
    target = heldout.rgb_on_white
    # What lies beyond the border of the recorded picture is not known, so nothing drawn there is wrong.
    seen = torch.where(heldout.observed_mask > 0, own, target)
    values_psnr, values_ssim = psnr_db(seen, target), ssim(seen, target)
    own_reading = judge.read(own)
    pairs = _redirect(redirector, heldout, heldout.gaze_head[partner], judge, original)
    swept = _spread(len(heldout), _NUM_SWEPT_HEADS)
    sweep = [_swept(redirector, heldout, swept, angle, judge, original) for angle in SWEEP_DEG]
    posed = heldout.head.with_pose(heldout.head.head_to_world[partner])
    turned = judge.read(_draw(redirector, _camera_of(heldout, partner), posed))
    facing = head_pitchyaw(heldout.camera.world_to_camera @ heldout.head.head_to_world)
    asked_camera = gaze_in_camera(heldout, heldout.gaze_head[partner])
    return EvaluationReport(
        num_samples=len(heldout),
        num_unreadable=int(pairs.error_deg.isnan().sum()),
        psnr_db=float(values_psnr.mean()),
        ssim=float(values_ssim.mean()),
        head_psnr_db=float(psnr_db(own, target, heldout.head_mask).mean()),
        eyes_psnr_db=_mean(psnr_db(own, target, heldout.eyes_mask)),
        gaze_error_deg=_mean(pairs.error_deg),
        gaze_error_vs_original_deg=_mean(_masked(_error(own_reading, original.gaze_camera), original.valid)),
        self_gaze_error_deg=_mean(_error(own_reading, heldout.gaze_camera)),
        identity_copy_gaze_error_deg=_mean(pairs.copy_error_deg),
        constant_gaze_error_deg=float(gaze_error_deg(constant_reading(asked_camera), asked_camera).mean()),
        estimator_floor_deg=_mean(_error(original, heldout.gaze_camera)),
        head_error_deg=_mean(_head_error(turned, facing[partner])),
        identity_copy_head_error_deg=_mean(_head_error(original, facing[partner])),
        head_floor_deg=_mean(_head_error(original, facing)),
        by_angle=_by_angle(sweep),
        by_distance=_by_distance([pairs, *sweep]),
        judge_name=judge.name,
        judge_digest=judge.digest,
        seed=seed,
        samples=SampleValues(
            sample_index=tuple(heldout.sample_index.tolist()),
            gaze_index=tuple(heldout.sample_index[partner].tolist()),
            psnr_db=_values(values_psnr),
            ssim=_values(values_ssim),
            gaze_error_deg=_values(pairs.error_deg),
            identity_copy_gaze_error_deg=_values(pairs.copy_error_deg),
            moved_deg=_values(pairs.moved_deg),
        ),
    )


def derangement(count: int, seed: int) -> list[int]:
    """For each of `count` samples another one, each used once: the successor in a seeded circle through all."""
    order = torch.randperm(count, generator=generator("pairs", seed)).tolist()
    partner = [0] * count
    for here, there in zip(order, order[1:] + order[:1], strict=True):
        partner[here] = there
    return partner


def gaze_in_camera(batch: GazeBatch, gaze_head: Float[Tensor, "b 2"]) -> Float[Tensor, "b 2"]:
    """A gaze given in each sample's head frame, in its camera frame."""
    rotation = (batch.camera.world_to_camera @ batch.head.head_to_world)[:, :3, :3]
    return pitchyaw_from_vector((rotation @ vector_from_pitchyaw(gaze_head)[..., None])[..., 0])


def _redirect(
    redirector: Redirector,
    batch: GazeBatch,
    gaze_head: Float[Tensor, "b 2"],
    judge: Judge,
    original: JudgeReading,
) -> _Redirected:
    asked = gaze_in_camera(batch, gaze_head)
    reading = judge.read(_draw(redirector, batch.camera, batch.head.with_gaze(gaze_head)))
    return _Redirected(_error(reading, asked), _error(original, asked), gaze_error_deg(batch.gaze_camera, asked))


def _swept(
    redirector: Redirector, heldout: GazeBatch, chosen: list[int], angle_deg: tuple[float, float], judge: Judge,
    original: JudgeReading,
) -> _Redirected:  # fmt: skip
    part = JudgeReading(original.gaze_camera[chosen], None, original.valid[chosen])
    gaze = torch.deg2rad(heldout.gaze_head.new_tensor(angle_deg)).expand(len(chosen), 2)
    return _redirect(redirector, heldout[chosen], gaze, judge, part)


def _draw(redirector: Redirector, camera: Camera, head: HeadParameters) -> Float[Tensor, "b 3 h w"]:
    """In chunks, since an image needs far more memory than its parameters."""
    count = len(head.head_to_world)
    parts = []
    with torch.no_grad():
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            view = Camera(camera.intrinsics_px[part], camera.world_to_camera[part], camera.size_px)
            parts.append(redirector(view, head[part]))
    return torch.cat(parts)


def _camera_of(batch: GazeBatch, items: list[int]) -> Camera:
    camera = batch.camera
    return Camera(camera.intrinsics_px[items], camera.world_to_camera[items], camera.size_px)


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of `count` positions, evenly spread."""
    return sorted(set(torch.linspace(0, count - 1, min(count, wanted)).round().int().tolist()))


def _error(reading: JudgeReading, expected: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
    """Gaze error in degrees; NaN where the judge could not read."""
    return _masked(gaze_error_deg(reading.gaze_camera, expected), reading.valid)


def _head_error(reading: JudgeReading, expected: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
    if reading.head_pitchyaw is None:
        return torch.full_like(expected[:, 0], torch.nan)
    return _masked(head_error_deg(reading.head_pitchyaw, expected), reading.valid)


def _masked(values: Float[Tensor, " b"], valid: Bool[Tensor, " b"]) -> Float[Tensor, " b"]:
    return torch.where(valid, values, torch.nan)


def _by_angle(sweep: Sequence[_Redirected]) -> tuple[AngleRow, ...]:
    return tuple(
        AngleRow(
            pitch_deg=pitch, yaw_deg=yaw, gaze_error_deg=_mean(row.error_deg), num_samples=_count(row.error_deg)
        )
        for (pitch, yaw), row in zip(SWEEP_DEG, sweep, strict=True)
    )  # fmt: skip


def _by_distance(parts: Sequence[_Redirected]) -> tuple[MovedRow, ...]:
    error, copy, moved = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("error_deg", "copy_error_deg", "moved_deg")
    )
    rows = []
    for low, high in zip(MOVED_EDGES_DEG[:-1], MOVED_EDGES_DEG[1:], strict=True):
        inside = (moved >= low) & (moved < high)
        rows.append(
            MovedRow(
                low_deg=low, high_deg=high, gaze_error_deg=_mean(error[inside]),
                identity_copy_gaze_error_deg=_mean(copy[inside]), num_samples=_count(error[inside]),
            )
        )  # fmt: skip
    return tuple(rows)


def _mean(values: Float[Tensor, " b"]) -> float | None:
    """Mean over what could be read; None if nothing could."""
    return float(values.nanmean()) if _count(values) else None


def _count(values: Float[Tensor, " b"]) -> int:
    return int((~values.isnan()).sum())


def _values(values: Float[Tensor, " b"]) -> Values:
    return tuple(None if value != value else value for value in values.tolist())
