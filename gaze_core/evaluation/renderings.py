"""Renders pairs of frames with a redirector and measures each rendering."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaze_core.data.batch import GazeBatch, HeadParameters
from gaze_core.evaluation import checks
from gaze_core.evaluation.catalog import RowName
from gaze_core.evaluation.judge import Judge, JudgePrediction
from gaze_core.evaluation.metric_networks import MetricNetworks
from gaze_core.evaluation.metrics import gaze_error_deg, head_error_deg, psnr_db, ssim
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.cameras import Camera
from gaze_core.models.estimation.gaze_net import head_pitchyaw

_CHUNK = 8


class Redirector(Protocol):
    """Renders a head on white as seen by a camera: a trained model, or anything to compare with it."""

    def __call__(self, camera: Camera, head: HeadParameters, /) -> Float[Tensor, "b 3 h w"]: ...


@dataclass(frozen=True, eq=False)
class Prediction:
    """A judge's prediction; errors are NaN where it is not valid."""

    gaze_camera: Float[Tensor, "b 2"]
    facing: Float[Tensor, "b 2"] | None
    valid: Bool[Tensor, " b"]

    @classmethod
    def of(cls, judge: Judge, rgb: Float[Tensor, "b 3 h w"]) -> "Prediction":
        """The judge's prediction for images on white."""
        predicted: JudgePrediction = judge.predict(rgb)
        return cls(predicted.gaze_camera, predicted.head_pitchyaw, predicted.valid)

    def gaze_error_deg(self, expected: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """Angle to these gazes, camera frame."""
        return self._known(gaze_error_deg(self.gaze_camera, expected))

    def head_error_deg(self, expected: Float[Tensor, "b 2"]) -> Float[Tensor, " b"]:
        """Angle to these facing directions, camera frame; NaN if the judge predicts no head direction."""
        if self.facing is None:
            return torch.full_like(expected[:, 0], torch.nan)
        return self._known(head_error_deg(self.facing, expected))

    def gaze_change_deg(self, other: "Prediction") -> Float[Tensor, " b"]:
        """Angle to the gaze of another prediction; NaN unless both are valid."""
        return other._known(self.gaze_error_deg(other.gaze_camera))

    def head_change_deg(self, other: "Prediction") -> Float[Tensor, " b"]:
        """Angle to the facing direction of another prediction; NaN unless both are valid."""
        if other.facing is None:
            return torch.full_like(self.gaze_camera[:, 0], torch.nan)
        return other._known(self.head_error_deg(other.facing))

    def in_head(self, batch: GazeBatch) -> "Prediction":
        """The gaze as seen from each sample's labelled head, instead of its camera."""
        gaze = pitchyaw_from_vector(
            (_head_rotation(batch).mT @ vector_from_pitchyaw(self.gaze_camera)[..., None])[..., 0]
        )
        return replace(self, gaze_camera=gaze)

    def _known(self, values: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        return torch.where(self.valid, values, torch.nan)


@dataclass(frozen=True, eq=False)
class Measured:
    """Measurements of some pairs: values by row and metric, errors of the checks, and the target labels."""

    rows: Mapping[RowName, Mapping[str, Tensor]]
    answers: Mapping[str, checks.Answers]
    labels: Mapping[str, Tensor]
    moved_deg: Float[Tensor, " b"]
    features: tuple[Tensor, Tensor] | None  # of rendered and recorded targets


def measure_pairs(redirector: Redirector, inputs: GazeBatch, targets: GazeBatch, networks: MetricNetworks) -> Measured:
    """Renders and judges each pair in the three settings of `EvaluationReport`."""
    judge = networks.judge
    source, goal = (Prediction.of(judge, batch.rgb_on_white) for batch in (inputs, targets))
    own = render(redirector, targets.camera, targets.head)
    before = Prediction.of(judge, render(redirector, inputs.camera, inputs.head))
    target_gaze = gaze_in_camera(inputs, targets.gaze_head)
    _, redirected = redirect(redirector, inputs, targets.gaze_head, judge)
    facing = head_pitchyaw(targets.camera.world_to_camera @ targets.head.head_to_world)
    turned = Prediction.of(judge, render(redirector, targets.camera, inputs.head.with_pose(targets.head.head_to_world)))
    read_own = Prediction.of(judge, own)
    model = _reconstruction(own, targets, networks) | {
        "gaze_error_deg": redirected.gaze_error_deg(target_gaze),
        "head_error_deg": turned.head_error_deg(facing),
        "head_moved_by_gaze_deg": redirected.head_change_deg(before),
        "gaze_moved_by_head_deg": turned.in_head(targets).gaze_change_deg(before.in_head(inputs)),
        "self_gaze_error_deg": read_own.gaze_error_deg(targets.gaze_camera),
        "gaze_error_vs_original_deg": read_own.gaze_change_deg(goal),
        "head_error_vs_original_deg": read_own.head_change_deg(goal),
    }
    unchanged = _reconstruction(inputs.rgb_on_white, targets, networks) | {
        "gaze_error_deg": source.gaze_error_deg(target_gaze),
        "head_error_deg": source.head_error_deg(facing),
        "gaze_error_vs_original_deg": source.gaze_change_deg(goal),
        "head_error_vs_original_deg": source.head_change_deg(goal),
    }
    floor = {
        "gaze_error_deg": goal.gaze_error_deg(targets.gaze_camera),
        "head_error_deg": goal.head_error_deg(facing),
    }
    return Measured(
        rows={"model": model, "copy": unchanged, "floor": floor},
        answers={
            **_answers(inputs, targets, goal, redirected, own, facing),
            "redirection": {
                checks.CLAIM: model["gaze_error_deg"],
                "doing nothing is nearer": unchanged["gaze_error_deg"],
            },
        },
        labels={"gaze": targets.gaze_camera, "target_gaze": target_gaze, "target_facing": facing},
        moved_deg=gaze_error_deg(inputs.gaze_camera, target_gaze),
        features=_features(own, targets, networks),
    )


def redirect(
    redirector: Redirector, batch: GazeBatch, gaze_head: Float[Tensor, "b 2"], judge: Judge
) -> tuple[Float[Tensor, "b 3 h w"], Prediction]:
    """The heads of `batch` looking along `[pitch, yaw]` rad of their head frames, and the judge's prediction for them."""
    rendered = render(redirector, batch.camera, batch.head.with_gaze(gaze_head))
    return rendered, Prediction.of(judge, rendered)


def render(redirector: Redirector, camera: Camera, head: HeadParameters) -> Float[Tensor, "b 3 h w"]:
    """Renders in chunks, since an image needs far more memory than its parameters."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(head.head_to_world), _CHUNK):
            part = slice(start, start + _CHUNK)
            view = Camera(camera.intrinsics_px[part], camera.world_to_camera[part], camera.size_px)
            parts.append(redirector(view, head[part]))
    return torch.cat(parts)


def gaze_in_camera(batch: GazeBatch, gaze_head: Float[Tensor, "b 2"]) -> Float[Tensor, "b 2"]:
    """A gaze given in each sample's head frame, in its camera frame."""
    return pitchyaw_from_vector((_head_rotation(batch) @ vector_from_pitchyaw(gaze_head)[..., None])[..., 0])


def _head_rotation(batch: GazeBatch) -> Float[Tensor, "b 3 3"]:
    return (batch.camera.world_to_camera @ batch.head.head_to_world)[:, :3, :3]


def _reconstruction(
    rendered: Float[Tensor, "b 3 h w"], targets: GazeBatch, networks: MetricNetworks
) -> dict[str, Tensor]:
    """Reconstruction metrics against the recorded targets."""
    recorded = targets.rgb_on_white
    # Pixels beyond the border of the recorded image are unknown and are not compared.
    seen = torch.where(targets.observed_mask > 0, rendered, recorded)
    values = {
        "psnr_db": psnr_db(seen, recorded),
        "head_psnr_db": psnr_db(seen, recorded, targets.head_mask),
        "eyes_psnr_db": psnr_db(seen, recorded, targets.eyes_mask),
        "ssim": ssim(seen, recorded),
    }
    if networks.st_lpips:
        values["st_lpips"] = networks.st_lpips(seen, recorded)
    if networks.vgg16:
        values["lpips"] = networks.vgg16(seen, recorded)
    if networks.face_descriptor:
        values["identity_distance"] = networks.face_descriptor.distance(seen, recorded, targets.landmarks_2d_px)
    return values


def _features(rendered: Tensor, targets: GazeBatch, networks: MetricNetworks) -> tuple[Tensor, Tensor] | None:
    if networks.inception is None:
        return None
    return networks.inception(rendered), networks.inception(targets.rgb_on_white)


def _answers(
    inputs: GazeBatch, targets: GazeBatch, goal: Prediction, redirected: Prediction, own: Tensor, facing: Tensor
) -> dict[str, checks.Answers]:
    """Errors of all checks. A wrong convention affects labels in the camera frame, but target gazes in the head frame."""
    target_gaze = {
        name: gaze_in_camera(inputs, gaze) for name, gaze in checks.wrong_conventions(targets.gaze_head).items()
    }
    labels = targets.gaze_camera
    return {
        "labels of the recordings": checks.hypothesis_errors(
            goal.gaze_error_deg, labels, checks.wrong_conventions(labels)
        ),
        "head labels of the recordings": checks.hypothesis_errors(
            goal.head_error_deg, facing, checks.wrong_conventions(facing)
        ),
        "colours of the recordings": checks.colour_errors(targets),
        "gaze of the renderings": checks.hypothesis_errors(
            redirected.gaze_error_deg, gaze_in_camera(inputs, targets.gaze_head), target_gaze
        ),
        "orientation and colours of the renderings": checks.image_errors(own, targets.rgb_on_white),
    }
