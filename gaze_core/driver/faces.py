"""Training data of the face estimator: face crops with their background, gaze labels, and augmentation of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.data.augmentation import downscaled, roll_rotations, rotated, signed, warped
from gaze_core.data.batch import TensorRecord
from gaze_core.data.loading import SubjectLoader
from gaze_core.data.subjects import Pixels, SubjectDataset
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.geometry.angles import vector_from_pitchyaw

_MEMORY_BYTES = 2 * 2**30  # a data set up to this size is kept in memory; a larger one is read batch by batch
_PREDICT_BATCH = 64


@dataclass(frozen=True, eq=False)
class FaceBatch(TensorRecord):
    """B face crops, RGB in [0, 1], and their gaze."""

    rgb: Float[Tensor, "b 3 h w"]
    head_mask: Float[Tensor, "b 1 h w"]  # 0 or 1
    gaze_camera: Float[Tensor, "b 2"]

    def __len__(self) -> int:
        return len(self.rgb)


FaceLoader = SubjectLoader[FaceBatch]


def face_batch(
    pixels: Pixels, labels: dict[str, ndarray], frames: ndarray, subjects: ndarray, size_px: tuple[int, int],
    allocate: object = None,
) -> FaceBatch:  # fmt: skip
    """Crops as bytes and their labels as a batch; the colours of a pixel stay beside each other in memory."""
    return FaceBatch(
        rgb=torch.from_numpy(pixels.rgb).permute(0, 3, 1, 2).float() / 255,
        head_mask=torch.from_numpy(pixels.masks & 1)[:, None].float(),  # the head mask's bit
        gaze_camera=torch.from_numpy(labels["gaze_camera"]).float(),
    )


def face_loader(parts: Sequence[SubjectDataset]) -> FaceLoader:
    """A loader over the crops of several subject files, kept in memory unless they are too large."""
    return SubjectLoader(list(parts), face_batch, _PREDICT_BATCH, cache_bytes=_MEMORY_BYTES)


def read_faces(files: Sequence[Path]) -> FaceLoader:
    """All samples of these subject files that have a gaze label; no other label is required.

    Raises:
        BadInput: a file is not a subject file, the files differ in size or view, or no sample is usable.
    """
    parts = [SubjectDataset(path, required_labels=("gaze",)) for path in files]
    if not sum(len(part) for part in parts):
        raise BadInput(f"{', '.join(path.name for path in files) or 'no subject file'}: no sample with a gaze label")
    for part in parts[1:]:
        require_view(part.normalization, parts[0].normalization, part.path.name)
        if part.size_px != parts[0].size_px:
            raise BadInput(f"{part.path.name}: {part.size_px} px, {parts[0].path.name}: {parts[0].size_px} px")
    return face_loader(parts)


def face_width_m(normalization: Mapping[str, Any]) -> float | None:
    """Width that a crop of this view covers at the face, in metres; None if the view is unknown."""
    values = [normalization.get(name) for name in ("distance_m", "size_px", "focal_px")]
    return None if None in values else float(values[0] * values[1] / values[2])  # type: ignore[operator]


def require_view(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Refuses crops whose view differs from that of the estimator's training crops, if both views are known.

    Raises:
        ContractViolation: with both widths.
    """
    width_m, expected_m = face_width_m(found), face_width_m(expected)
    if width_m and expected_m and abs(width_m - expected_m) > 0.03 * expected_m:
        raise ContractViolation(
            f"{where}: its crops are {100 * width_m:.1f} cm wide at the face, the estimator's {100 * expected_m:.1f} cm; "
            "extract with the estimator's normalisation, or use another estimator"
        )


class FaceAugmentation(Config):
    """Strengths of the random augmentation of training images; 0 switches one off."""

    shift: NonNegativeFloat = 0.03  # of the side
    scale: NonNegativeFloat = 0.05
    roll_deg: NonNegativeFloat = 3.0  # the gaze label rotates with the image
    brightness: NonNegativeFloat = 0.25
    contrast: NonNegativeFloat = 0.2
    color: NonNegativeFloat = 0.08
    noise: NonNegativeFloat = 0.015
    smallest: float = Field(0.6, gt=0, le=1)  # of the side: some images are downscaled to it and enlarged again
    mirror: bool = False
    background: bool = False  # replace the background outside the head mask by a plain gradient


def augmented(batch: FaceBatch, augmentation: FaceAugmentation) -> FaceBatch:
    """Each image with a random augmentation, by torch's random numbers on the CPU, which each step seeds."""
    n = len(batch)
    rgb, gaze = batch.rgb, batch.gaze_camera
    if augmentation.background:
        plain = torch.rand(n, 3, 1, 1).to(rgb) * torch.rand(n, 1, 1, 1).to(rgb)
        slope = torch.linspace(-1, 1, rgb.shape[-1]).to(rgb) * signed(n, 1, 1, 1).to(rgb) * 0.3
        rgb = rgb * batch.head_mask + (plain + slope).clamp(0, 1) * (1 - batch.head_mask)
    if augmentation.mirror:
        flipped = (torch.rand(n) < 0.5).to(rgb.device)
        rgb = torch.where(flipped[:, None, None, None], rgb.flip(-1), rgb)
        gaze = gaze * torch.where(flipped[:, None], gaze.new_tensor([1.0, -1.0]), gaze.new_tensor([1.0, 1.0]))
    turn = roll_rotations((signed(n) * augmentation.roll_deg).deg2rad()).to(rgb)
    gaze = rotated(gaze, turn)
    inverse = turn[:, :2, :2].mT / (1 + augmentation.scale * signed(n, 1, 1)).to(rgb)
    offset = 2 * augmentation.shift * signed(n, 2, 1).to(rgb)
    rgb = warped(rgb, inverse, offset, on_white=False)
    return replace(batch, rgb=_color_jittered(_lower_resolution(rgb, augmentation), augmentation), gaze_camera=gaze)


def _lower_resolution(rgb: Float[Tensor, "b 3 h w"], augmentation: FaceAugmentation) -> Float[Tensor, "b 3 h w"]:
    """A third of the images, downscaled and enlarged again."""
    side = round(rgb.shape[-1] * (augmentation.smallest + (1 - augmentation.smallest) * float(torch.rand(()))))
    chosen = torch.rand(len(rgb)) < 1 / 3
    if side >= rgb.shape[-1] or not chosen.any():
        return rgb
    return downscaled(rgb, chosen, side)


def _color_jittered(rgb: Float[Tensor, "b 3 h w"], augmentation: FaceAugmentation) -> Float[Tensor, "b 3 h w"]:
    n = len(rgb)
    gain = (1 + augmentation.contrast * signed(n, 1, 1, 1)) * (1 + augmentation.color * signed(n, 3, 1, 1))
    light = (1 + augmentation.brightness * signed(n, 1, 1, 1)).to(rgb)
    middle = rgb.mean(dim=(1, 2, 3), keepdim=True)
    out = ((rgb - middle) * gain.to(rgb) + middle) * light
    return (out + augmentation.noise * torch.randn(rgb.shape).to(rgb) * torch.rand(n, 1, 1, 1).to(rgb)).clamp(0, 1)


def gaze_distance(predicted: Float[Tensor, "b 2"], label: Float[Tensor, "b 2"]) -> Tensor:
    """Mean distance between unit gaze vectors, close to the angle in radians; smooth at zero."""
    squared = (vector_from_pitchyaw(predicted) - vector_from_pitchyaw(label)).square().sum(-1)
    return (squared + 1e-6).sqrt().mean()


@torch.no_grad()
def predict(model: nn.Module, faces: FaceLoader, items: Sequence[int]) -> Float[Tensor, "n 2"]:
    """The model's gaze for these samples, `[pitch, yaw]` rad, camera frame of the crop, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    parts = [
        model(faces.batch(items[start : start + _PREDICT_BATCH]).to(device).rgb).cpu()
        for start in range(0, len(items), _PREDICT_BATCH)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, 2)
