"""Stage: measure a trained GazeGaussian on the test frames that no training stage has seen, and draw what it does."""

import json
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional

from gaze_core.artifacts import Produced
from gaze_core.assets import resolve
from gaze_core.config import Config
from gaze_core.data.batch import GazeBatch, HeadParameters, concatenate
from gaze_core.data.splits import SPLITS_FILE, read_splits
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import ContractViolation
from gaze_core.evaluation.judge import CnnJudge, IrisJudge, Judge, require_unseen
from gaze_core.evaluation.redirection import evaluate
from gaze_core.geometry.cameras import Camera, rigid_transform
from gaze_core.geometry.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from gaze_core.geometry.rotations import eye_rotation
from gaze_core.models.gaze_gaussian import GazeGaussian
from gaze_core.preprocess.iris_judge import read_gaze
from gaze_core.reproducibility import choose_device
from gaze_core.stages import gaze_gaussian
from gaze_core.stages.context import Inputs, StageContext

NAME, VERSION = "evaluate", 1
EVALUATION_FILE, PICTURES_FILE = "evaluation.json", "pictures.npz"

PitchYawDeg = tuple[float, float]


class EvaluateConfig(Config):
    """What is measured and shown. Angles in degrees, `[pitch, yaw]`, head frame for gaze, camera frame for pose."""

    judge: Literal["cnn", "iris"] = "cnn"
    seed: NonNegativeInt = 0
    num_shown: PositiveInt = 4
    shown_gazes_deg: tuple[PitchYawDeg, ...] = ((0, 0), (0, 25), (0, -25), (15, 0), (-15, 0))
    shown_poses_deg: tuple[PitchYawDeg, ...] = ((0, -20), (0, 0), (0, 20))


def run(config: EvaluateConfig, inputs: Inputs, context: StageContext) -> Produced:
    """Evaluates `inputs["checkpoint"]` on the test frames of `inputs["data"]`.

    Raises:
        ContractViolation: the checkpoint, or the judge, has seen a test frame or the subject.
    """
    model, card = gaze_gaussian.load(inputs["checkpoint"])
    data_dir: Path = inputs["data"]
    splits = read_splits(data_dir / SPLITS_FILE)
    judge = _judge(config)
    for one in splits.subjects:
        _require_unseen_frames(card["trained_on"], one.subject, one.test)
        require_unseen(judge, one.subject)
    device = choose_device(context.runtime)
    model = model.to(device)
    test = concatenate([SubjectDataset(data_dir / s.file, subset=s.test).everything for s in splits.subjects]).to(
        device
    )
    report = evaluate(partial(render_rgb, model), test, judge, config.seed)
    files = {name: context.work_dir / name for name in (EVALUATION_FILE, PICTURES_FILE)}
    files[EVALUATION_FILE].write_text(report.model_dump_json(indent=1))
    np.savez_compressed(files[PICTURES_FILE], allow_pickle=False, **pictures(model, test, config))
    numbers = {name: value for name, value in report.numbers.items() if value is not None}
    return Produced(kind="report", files=files, metrics=numbers, subjects={"test": splits.names})


def render_rgb(model: GazeGaussian, camera: Camera, head: HeadParameters) -> Float[Tensor, "b 3 h w"]:
    """The model as a redirector: parameters in, final image out."""
    with torch.no_grad():
        rgb: Tensor = model(camera, head).rgb
    return rgb


def _require_unseen_frames(trained_on: object, subject: str, test: tuple[int, ...]) -> None:
    assert isinstance(trained_on, dict)
    seen = sorted(set(trained_on.get(subject, ())) & set(test))
    if seen:
        raise ContractViolation(
            f"the checkpoint was trained on {len(seen)} of the {len(test)} test frames of {subject} "
            f"(first: {seen[0]}); expected none; evaluate on the split it was trained with, or train again"
        )


def _judge(config: EvaluateConfig) -> Judge:
    if config.judge == "cnn":
        return CnnJudge()
    landmarker = resolve("face_landmarker")
    return IrisJudge(lambda images: read_gaze(images, landmarker))


def pictures(model: GazeGaussian, test: GazeBatch, config: EvaluateConfig) -> dict[str, np.ndarray]:
    """uint8 pictures of evenly spread test heads: original, reconstruction, and each shown gaze and pose."""
    chosen = np.unique(np.linspace(0, len(test) - 1, config.num_shown).round().astype(int)).tolist()
    batch = test[chosen]
    head, camera = batch.head, batch.camera
    gazes = [render_rgb(model, camera, head.with_gaze(_radians(gaze, batch))) for gaze in config.shown_gazes_deg]
    poses = [
        render_rgb(model, camera, head.with_pose(posed(camera, head, _radians(pose, batch))))
        for pose in config.shown_poses_deg
    ]
    labels = {
        "gazes": [f"gaze {pitch:+.0f}°, {yaw:+.0f}°" for pitch, yaw in config.shown_gazes_deg],
        "poses": [f"head {pitch:+.0f}°, {yaw:+.0f}°" for pitch, yaw in config.shown_poses_deg],
    }
    closer = [close_up(images, batch.landmarks_2d_px) for images in (batch.rgb_on_white, *gazes)]
    return {
        "original": _as_uint8(batch.rgb_on_white),
        "reconstruction": _as_uint8(render_rgb(model, camera, head)),
        "gazes": np.stack([_as_uint8(images) for images in gazes], axis=1),
        "poses": np.stack([_as_uint8(images) for images in poses], axis=1),
        "eyes": np.stack([_as_uint8(images) for images in closer], axis=1),
        "labels": np.array(json.dumps(labels)),
    }


def close_up(
    images: Float[Tensor, "b 3 h w"], landmarks_px: Float[Tensor, "b 68 2"], size_px: tuple[int, int] = (160, 64)
) -> Float[Tensor, "b 3 k l"]:
    """Both eyes of each image, enlarged to `size_px` (width, height): 1.5 times as wide as the outer corners are apart."""
    corners = landmarks_px[:, [RIGHT_EYE_OUTER, LEFT_EYE_OUTER]]
    half_width = (corners[:, 1] - corners[:, 0]).norm(dim=-1) * 0.75
    half_size = torch.stack([half_width, half_width * size_px[1] / size_px[0]], dim=-1)
    extent = images.new_tensor([images.shape[-1], images.shape[-2]])
    theta = torch.cat([(2 * half_size / extent).diag_embed(), (2 * corners.mean(1) / extent - 1)[..., None]], dim=-1)
    grid = functional.affine_grid(theta, [len(images), 3, size_px[1], size_px[0]], align_corners=False)
    return functional.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)


def posed(camera: Camera, head: HeadParameters, pitchyaw: Float[Tensor, "b 2"]) -> Float[Tensor, "b 4 4"]:
    """Head-to-world of a head that stays where it is and faces `[pitch, yaw]` in the camera frame, without roll."""
    to_camera = camera.world_to_camera @ head.head_to_world
    turned = rigid_transform(eye_rotation(pitchyaw), to_camera[:, :3, 3])
    return torch.linalg.inv(camera.world_to_camera) @ turned


def _radians(pitchyaw_deg: PitchYawDeg, batch: GazeBatch) -> Float[Tensor, "b 2"]:
    return torch.deg2rad(batch.gaze_head.new_tensor(pitchyaw_deg)).expand(len(batch), 2)


def _as_uint8(images: Float[Tensor, "b 3 h w"]) -> np.ndarray:
    return (images.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().cpu().numpy()
