"""Trains the gaze judge on synthetic identities that no redirection model is evaluated on.

Not part of a flow: the weights are shipped, and this module says how they were made.
`docs/decisions/0006-judge.md` records why and what came out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.data.batch import TensorRecord
from gaze_core.data.subjects import SubjectDataset
from gaze_core.errors import BadInput
from gaze_core.geometry.angles import angular_error_deg, vector_from_pitchyaw
from gaze_core.models.estimator import (
    MIRRORED_POINTS,
    POINTS,
    GazeNet,
    GazeNetConfig,
    GazeNetOutput,
    head_pitchyaw,
)
from gaze_core.reproducibility import generator, seed_everything
from gaze_core.training.checkpoint import save_weights
from gaze_core.training.sampling import step_indices

NAME, VERSION = "estimator", 1
JUDGE_FILE = "judge.safetensors"


class AugmentConfig(Config):
    """How far a training image may differ from the recorded one; the judge must also read soft renderings."""

    shift_px: NonNegativeFloat = 4.0
    scale: NonNegativeFloat = 0.08  # relative, either way
    color: NonNegativeFloat = 0.15  # gain of each channel, relative, either way
    brightness: NonNegativeFloat = 0.25
    noise: NonNegativeFloat = 0.03  # largest standard deviation
    blur_sigma_px: PositiveFloat = 1.2
    resampled_share: NonNegativeFloat = 0.3
    smallest_resampled_px: PositiveInt = 64


class EstimatorConfig(Config):
    """How the judge is trained. `num_validation_subjects` whole subjects are only ever measured on."""

    network: GazeNetConfig = GazeNetConfig()
    augment: AugmentConfig = AugmentConfig()
    num_steps: PositiveInt = 2500
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 0.02
    head_weight: NonNegativeFloat = 0.5
    points_weight: NonNegativeFloat = 2.0
    num_validation_subjects: PositiveInt = 2
    seed: NonNegativeInt = 0


@dataclass(frozen=True, eq=False)
class Faces(TensorRecord):
    """N face images as they are stored and what the judge learns to read; frames as in `GazeNetOutput`."""

    rgb: UInt8[Tensor, "n 3 h w"]
    head_mask: UInt8[Tensor, "n 1 h w"]  # 0 or 1
    gaze_camera: Float[Tensor, "n 2"]
    head_pitchyaw: Float[Tensor, "n 2"]
    points_px: Float[Tensor, "n k 2"]

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def rgb_on_white(self) -> Float[Tensor, "n 3 h w"]:
        """The head on a white background, in [0, 1]."""
        return self.rgb / 255 * self.head_mask + (1.0 - self.head_mask)


def train_judge(files: Sequence[Path], config: EstimatorConfig, out_dir: Path) -> dict[str, Any]:
    """Trains a `GazeNet` on these subject files, writes `out_dir/judge.safetensors` and returns its card.

    The same files, configuration and number of threads give the same weights.

    Raises:
        BadInput: too few subjects to keep some for validation.
    """
    subjects = {dataset.subject: dataset for dataset in map(SubjectDataset, sorted(files))}
    training, validation = _split_subjects(sorted(subjects), config)
    faces, unseen = (_concatenate([read_faces(subjects[name]) for name in names]) for names in (training, validation))
    seed_everything("judge", config.seed)
    model = GazeNet(config.network)
    _optimise(model, faces, config)
    card = {
        "stage": NAME,
        "version": VERSION,
        "config": config.model_dump(mode="json"),
        "training_subjects": training,
        "validation_subjects": validation,
        "num_training_images": len(faces),
        "num_validation_images": len(unseen),
        "validation_error_deg": errors_deg(model, unseen),
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    save_weights(out_dir / JUDGE_FILE, model, card)
    return card


def read_faces(dataset: SubjectDataset) -> Faces:
    """All samples of a subject file as bytes, which keeps a dozen subjects in memory."""
    batch = dataset.everything
    return Faces(
        rgb=(batch.rgb * 255).round().byte(),
        head_mask=batch.head_mask.byte(),
        gaze_camera=batch.gaze_camera,
        head_pitchyaw=head_pitchyaw(batch.camera.world_to_camera @ batch.head.head_to_world),
        points_px=batch.landmarks_2d_px[:, list(POINTS)],
    )


@torch.no_grad()
def errors_deg(model: GazeNet, faces: Faces) -> dict[str, float]:
    """Mean angle in degrees between what the model reads and the labels, of `gaze` and of `head`."""
    model.eval()
    parts = [model(faces[start : start + 32].rgb_on_white) for start in range(0, len(faces), 32)]
    gaze, head = (torch.cat([getattr(part, name) for part in parts]) for name in ("gaze_camera", "head_pitchyaw"))
    return {
        "gaze": float(angular_error_deg(gaze, faces.gaze_camera).mean()),
        "head": float(angular_error_deg(head, faces.head_pitchyaw).mean()),
    }


def _split_subjects(names: list[str], config: EstimatorConfig) -> tuple[list[str], list[str]]:
    count = config.num_validation_subjects
    if len(names) <= count:
        raise BadInput(f"{len(names)} subjects; expected more than the {count} kept for validation; synthesize more")
    order = torch.randperm(len(names), generator=generator("judge subjects", config.seed)).tolist()
    chosen = set(order[:count])
    return [n for i, n in enumerate(names) if i not in chosen], [names[i] for i in sorted(chosen)]


def _concatenate(parts: list[Faces]) -> Faces:
    return Faces(**{name: torch.cat([getattr(part, name) for part in parts]) for name in Faces.__dataclass_fields__})


def _optimise(model: GazeNet, faces: Faces, config: EstimatorConfig) -> None:
    """AdamW with a one-cycle learning rate (Smith & Topin 2019)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, config.num_steps, pct_start=0.1)
    model.train()
    for step in range(config.num_steps):
        seed_everything("judge step", config.seed, step)
        batch = mirrored_half(faces[step_indices(len(faces), config.batch_size, step, config.seed)])
        rgb, points_px = augment(batch, config.augment)
        loss = _loss(model(rgb), replace(batch, points_px=points_px), config)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _loss(output: GazeNetOutput, batch: Faces, config: EstimatorConfig) -> Tensor:
    def distance(read: Tensor, label: Tensor) -> Tensor:  # of unit vectors; nearly their angle in radians
        squared = (vector_from_pitchyaw(read) - vector_from_pitchyaw(label)).square().sum(-1)
        return (squared + 1e-6).sqrt().mean()

    points = (output.points_px - batch.points_px).abs().mean() / config.network.image_px
    gaze = distance(output.gaze_camera, batch.gaze_camera)
    head = distance(output.head_pitchyaw, batch.head_pitchyaw)
    return gaze + config.head_weight * head + config.points_weight * points


def mirrored(faces: Faces) -> Faces:
    """The same faces in a mirror: yaw changes its sign, and left points change places with right ones."""
    flip = faces.gaze_camera.new_tensor([1.0, -1.0])
    points = faces.points_px[:, list(MIRRORED_POINTS)]
    return Faces(
        rgb=faces.rgb.flip(-1),
        head_mask=faces.head_mask.flip(-1),
        gaze_camera=faces.gaze_camera * flip,
        head_pitchyaw=faces.head_pitchyaw * flip,
        points_px=torch.stack([faces.rgb.shape[-1] - points[..., 0], points[..., 1]], dim=-1),
    )


def mirrored_half(faces: Faces) -> Faces:
    """Every second face in a mirror; batches are shuffled, so this is a random half."""
    return _concatenate([faces[::2], mirrored(faces[1::2])])


def augment(faces: Faces, config: AugmentConfig) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n k 2"]]:
    """Images on white and their points after a random change of place, size, colour, sharpness and noise."""
    n, size = len(faces), faces.rgb.shape[-1]
    gain = 1 + config.color * _uniform(n, 3, 1, 1) + config.brightness * _uniform(n, 1, 1, 1)
    rgb = (faces.rgb / 255).pow(1 + config.brightness * _uniform(n, 1, 1, 1)) * gain
    rgb = rgb.clamp(0, 1) * faces.head_mask + (1.0 - faces.head_mask)
    scale, shift_px = 1 + config.scale * _uniform(n, 1), config.shift_px * _uniform(n, 2)
    rgb = _resample(_blur(_place(rgb, scale, shift_px), config), config)
    rgb = rgb + config.noise * torch.rand(n, 1, 1, 1) * torch.randn_like(rgb)
    points = (faces.points_px - size / 2) * scale[:, None] + size / 2 + shift_px[:, None]
    return rgb.clamp(0, 1), points


def _uniform(*shape: int) -> Tensor:
    return 2 * torch.rand(*shape) - 1


def _place(
    rgb: Float[Tensor, "n 3 h w"], scale: Float[Tensor, "n 1"], shift_px: Float[Tensor, "n 2"]
) -> Float[Tensor, "n 3 h w"]:
    """Each image scaled about its centre and then shifted; white comes in from outside."""
    inverse = (1 / scale)[..., None]  # affine_grid asks where each output pixel comes from
    offset = -2 * shift_px[..., None] / rgb.shape[-1] * inverse
    theta = torch.cat([inverse * torch.eye(2), offset], dim=-1)
    grid = functional.affine_grid(theta, list(rgb.shape), align_corners=False)
    return 1 - functional.grid_sample(1 - rgb, grid, align_corners=False)


def _blur(rgb: Float[Tensor, "n 3 h w"], config: AugmentConfig) -> Float[Tensor, "n 3 h w"]:
    """A random mixture of each image and its Gaussian blur."""
    radius = int(3 * config.blur_sigma_px)
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / config.blur_sigma_px) ** 2)
    line = (line / line.sum()).expand(3, 1, 1, -1)
    soft = functional.pad(rgb, (radius,) * 4, mode="replicate")
    soft = functional.conv2d(functional.conv2d(soft, line, groups=3), line.transpose(2, 3), groups=3)
    return torch.lerp(rgb, soft, torch.rand(len(rgb), 1, 1, 1).square())


def _resample(rgb: Float[Tensor, "n 3 h w"], config: AugmentConfig) -> Float[Tensor, "n 3 h w"]:
    """Some of the images through a smaller size and back."""
    count, size = round(config.resampled_share * len(rgb)), rgb.shape[-1]
    chosen = torch.randperm(len(rgb))[:count]
    small = int(torch.randint(min(config.smallest_resampled_px, size), size + 1, ()))
    down = functional.interpolate(rgb[chosen], size=(small, small), mode="area")
    result = rgb.clone()
    result[chosen] = functional.interpolate(down, size=(size, size), mode="bilinear", align_corners=False)
    return result
