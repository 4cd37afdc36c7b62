"""Training images of the judge: read from subject files, mirrored and augmented."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.data.augmentation import downscaled, roll_rotations, rotated, signed, warped
from gaze_core.data.batch import GazeBatch, TensorRecord, concatenate
from gaze_core.data.loading import SubjectLoader, require_compatible
from gaze_core.data.subjects import Pixels, SubjectDataset, assemble
from gaze_core.geometry.angles import vector_from_pitchyaw
from gaze_core.models.estimation.gaze_net import MIRRORED_POINTS, POINTS, head_pitchyaw

EYEBALL_RADIUS_M = 0.015


class AugmentConfig(Config):
    """Augmentation of training images; the judge must also work on blurred renderings."""

    shift_px: NonNegativeFloat = 3.0
    roll_deg: NonNegativeFloat = 6.0
    scale: NonNegativeFloat = 0.08  # relative, either way
    color: NonNegativeFloat = 0.2  # gain of each channel, relative, either way
    brightness: NonNegativeFloat = 0.3
    grey: NonNegativeFloat = 0.3  # largest share of desaturation
    noise: NonNegativeFloat = 0.03  # largest standard deviation
    blur_sigma_px: PositiveFloat = 1.2
    resampled_share: NonNegativeFloat = 0.2
    smallest_resampled_px: PositiveInt = 64


@dataclass(frozen=True, eq=False)
class Faces(TensorRecord):
    """N face images as bytes and the judge's labels; coordinate frames as in `GazeNetOutput`."""

    rgb: UInt8[Tensor, "n 3 h w"]
    head_mask: UInt8[Tensor, "n 1 h w"]  # 0 or 1
    gaze_camera: Float[Tensor, "n 2"]
    head_pitchyaw: Float[Tensor, "n 2"]
    points_px: Float[Tensor, "n k 2"]
    irises_px: Float[Tensor, "n 2 2"]
    eyeballs_px: Float[Tensor, "n 2 2"]

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def rgb_on_white(self) -> Float[Tensor, "n 3 h w"]:
        """The head on a white background, in [0, 1]."""
        return self.rgb / 255 * self.head_mask + (1.0 - self.head_mask)


def read_faces(datasets: Sequence[SubjectDataset]) -> Faces:
    """All samples of some subject files, as bytes so that a dozen subjects fit into memory.

    Raises:
        BadInput: none is usable, or the files differ in image size or normalisation.
    """
    require_compatible(datasets)
    loader = SubjectLoader(list(datasets), _face_batch, batch_size=1, cache_bytes=0)
    ends = np.cumsum([0, *map(len, datasets)]).tolist()
    return concatenate([loader.batch(range(first, end)) for first, end in pairwise(ends)])


def _face_batch(
    pixels: Pixels, labels: dict[str, ndarray], frames: ndarray, subjects: ndarray, size_px: tuple[int, int],
    allocate: object = None,
) -> Faces:  # fmt: skip
    return faces_of(assemble(pixels, labels, frames, subjects, size_px))


def faces_of(batch: GazeBatch) -> Faces:
    """The faces of a batch, as bytes."""
    irises_px, eyeballs_px = _eye_points(batch)
    return Faces(
        rgb=(batch.rgb * 255).round().byte(),
        head_mask=batch.head_mask.byte(),
        gaze_camera=batch.gaze_camera,
        head_pitchyaw=head_pitchyaw(batch.camera.world_to_camera @ batch.head.head_to_world),
        points_px=batch.landmarks_2d_px[:, list(POINTS)],
        irises_px=irises_px,
        eyeballs_px=eyeballs_px,
    )


def _eye_points(batch: GazeBatch) -> tuple[Float[Tensor, "n 2 2"], Float[Tensor, "n 2 2"]]:
    """Projected centres of the irises and of the eyeballs, (left, right)."""
    eyeballs_m = batch.eye_centers_head_m
    irises_m = eyeballs_m + EYEBALL_RADIUS_M * vector_from_pitchyaw(batch.head.gaze_head_eyes)
    camera = batch.camera.seen_from(batch.head.head_to_world)
    return camera.project(irises_m), camera.project(eyeballs_m)


def mirrored(faces: Faces) -> Faces:
    """The mirrored faces: yaw changes its sign, left and right points are swapped."""
    flip = faces.gaze_camera.new_tensor([1.0, -1.0])

    def points(positions_px: Tensor) -> Tensor:
        return torch.stack([faces.rgb.shape[-1] - positions_px[..., 0], positions_px[..., 1]], dim=-1)

    return Faces(
        rgb=faces.rgb.flip(-1),
        head_mask=faces.head_mask.flip(-1),
        gaze_camera=faces.gaze_camera * flip,
        head_pitchyaw=faces.head_pitchyaw * flip,
        points_px=points(faces.points_px[:, list(MIRRORED_POINTS)]),
        irises_px=points(faces.irises_px.flip(1)),
        eyeballs_px=points(faces.eyeballs_px.flip(1)),
    )


def mirrored_half(faces: Faces) -> Faces:
    """The faces with every second one mirrored; batches are shuffled, so this is a random half."""
    return concatenate([faces[::2], mirrored(faces[1::2])])


def augment(faces: Faces, config: AugmentConfig) -> tuple[Float[Tensor, "n 3 h w"], Faces]:
    """Augmented images on white, and their labels: random shift, scale, roll, colour, blur and noise."""
    n, size = len(faces), faces.rgb.shape[-1]
    scale = 1 + config.scale * _uniform(faces, n)
    shift_px = config.shift_px * _uniform(faces, n, 2)
    roll = roll_rotations(_uniform(faces, n).mul(config.roll_deg).deg2rad())
    rgb = _transformed(_recolored(faces, config), scale, shift_px, roll[:, :2, :2])
    rgb = _resample(_blur(rgb, config), config)
    rgb = rgb + config.noise * torch.rand(n, 1, 1, 1).to(rgb) * torch.randn(rgb.shape).to(rgb)

    def moved(positions_px: Tensor) -> Tensor:
        return scale[:, None, None] * (positions_px - size / 2) @ roll[:, :2, :2].mT + size / 2 + shift_px[:, None]

    labels = replace(
        faces,
        gaze_camera=rotated(faces.gaze_camera, roll),
        head_pitchyaw=rotated(faces.head_pitchyaw, roll),
        **{name: moved(getattr(faces, name)) for name in ("points_px", "irises_px", "eyeballs_px")},
    )
    return rgb.clamp(0, 1), labels


def _recolored(faces: Faces, config: AugmentConfig) -> Float[Tensor, "n 3 h w"]:
    n = len(faces)
    gain = 1 + config.color * _uniform(faces, n, 3, 1, 1) + config.brightness * _uniform(faces, n, 1, 1, 1)
    rgb = (faces.rgb / 255).pow(1 + config.brightness * _uniform(faces, n, 1, 1, 1)) * gain
    rgb = torch.lerp(rgb, rgb.mean(dim=1, keepdim=True), config.grey * torch.rand(n, 1, 1, 1).to(rgb))
    return rgb.clamp(0, 1) * faces.head_mask + (1.0 - faces.head_mask)


def _uniform(faces: Faces, *shape: int) -> Tensor:
    """Uniform in [-1, 1], on the faces' device; drawn on the CPU, so every device gets the same numbers."""
    return signed(*shape).to(faces.gaze_camera)


def _transformed(
    rgb: Float[Tensor, "n 3 h w"],
    scale: Float[Tensor, " n"],
    shift_px: Float[Tensor, "n 2"],
    roll: Float[Tensor, "n 2 2"],
) -> Float[Tensor, "n 3 h w"]:
    """Each image scaled and rotated about its centre, then shifted; the outside is white."""
    inverse = roll.mT / scale[:, None, None]  # affine_grid maps output pixels to input positions
    offset = -inverse @ (2 * shift_px / rgb.shape[-1])[..., None]
    return warped(rgb, inverse, offset, on_white=True)


def _blur(rgb: Float[Tensor, "n 3 h w"], config: AugmentConfig) -> Float[Tensor, "n 3 h w"]:
    """A random mixture of each image and its Gaussian blur."""
    radius = int(3 * config.blur_sigma_px)
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / config.blur_sigma_px) ** 2).to(rgb)
    soft = functional.pad(rgb, (radius,) * 4, mode="replicate")
    for axis in (2, 3):  # sums of shifted images are some eight times faster here than a grouped convolution
        shifted = (soft.narrow(axis, k, rgb.shape[axis]) for k in range(len(line)))
        soft = sum((w * image for w, image in zip(line / line.sum(), shifted, strict=True)), rgb.new_zeros(()))
    return torch.lerp(rgb, soft, torch.rand(len(rgb), 1, 1, 1).square().to(rgb))


def _resample(rgb: Float[Tensor, "n 3 h w"], config: AugmentConfig) -> Float[Tensor, "n 3 h w"]:
    """Downsamples a random share of the images and upsamples them again."""
    count, size = round(config.resampled_share * len(rgb)), rgb.shape[-1]
    chosen = torch.randperm(len(rgb))[:count]
    small = int(torch.randint(min(config.smallest_resampled_px, size), size + 1, ()))
    return downscaled(rgb, chosen, small)
