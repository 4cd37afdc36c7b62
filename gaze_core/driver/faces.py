"""Faces as the estimator learns from them: crops with their background, gaze, and random changes of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.data.batch import TensorRecord
from gaze_core.data.subjects import Pixels, SubjectDataset
from gaze_core.errors import BadInput, ContractViolation
from gaze_core.geometry.angles import pitchyaw_from_vector, vector_from_pitchyaw
from gaze_core.geometry.rotations import matrix_from_axis_angle

_MEMORY_BYTES = 2 * 2**30  # pictures of a set that are kept in memory; of a larger one they are read when asked for
_PREDICT_BATCH = 64


@dataclass(frozen=True, eq=False)
class FaceBatch(TensorRecord):
    """B face crops, RGB in [0, 1], and their gaze."""

    rgb: Float[Tensor, "b 3 h w"]
    head_mask: Float[Tensor, "b 1 h w"]  # 0 or 1
    gaze_camera: Float[Tensor, "b 2"]

    def __len__(self) -> int:
        return len(self.rgb)


class FaceSet:
    """The samples of some subject files, one after another; a gaze label is all that they must have."""

    def __init__(self, parts: Sequence[SubjectDataset]) -> None:
        self.parts = list(parts)
        self._ends = np.cumsum([len(part) for part in self.parts])
        size = sum(len(part) * part.size_px[0] * part.size_px[1] * 4 for part in self.parts)
        self._pixels = [self._read(part, range(len(part))) for part in self.parts] if size <= _MEMORY_BYTES else None

    @classmethod
    def of_files(cls, files: Sequence[Path]) -> Self:
        """All usable samples of these subject files.

        Raises:
            BadInput: a file is none, they differ in size or view, or none has a usable sample.
        """
        parts = [SubjectDataset(path, required_labels=("gaze",)) for path in files]
        if not sum(len(part) for part in parts):
            raise BadInput(
                f"{', '.join(path.name for path in files) or 'no subject file'}: no sample with a gaze label"
            )
        for part in parts[1:]:
            require_view(part.normalization, parts[0].normalization, part.path.name)
            if part.size_px != parts[0].size_px:
                raise BadInput(f"{part.path.name}: {part.size_px} px, {parts[0].path.name}: {parts[0].size_px} px")
        return cls(parts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def batch(self, items: Sequence[int]) -> FaceBatch:
        """The samples at these positions."""
        where = [divmod_ends(self._ends, item) for item in items]
        rgb, masks, gaze = [], [], []
        for part, position in where:
            pixels = self._pixels[part].at([position]) if self._pixels else self._read(self.parts[part], [position])
            rgb.append(pixels.rgb)
            masks.append(pixels.masks & 1)  # the head mask's bit
            gaze.append(self.parts[part].labels["gaze_camera"][position])
        return FaceBatch(
            rgb=torch.from_numpy(np.concatenate(rgb)).permute(0, 3, 1, 2).float() / 255,
            head_mask=torch.from_numpy(np.concatenate(masks))[:, None].float(),
            gaze_camera=torch.from_numpy(np.stack(gaze)).float(),
        )

    @staticmethod
    def _read(part: SubjectDataset, items: Sequence[int] | range) -> Pixels:
        pixels = Pixels.empty(len(items), part.size_px)
        part.read_pixels(list(items), pixels)
        return pixels


def divmod_ends(ends: np.ndarray, item: int) -> tuple[int, int]:
    """Part and position within it of an item of parts that end before `ends`."""
    part = int(np.searchsorted(ends, item, side="right"))
    return part, item - (int(ends[part - 1]) if part else 0)


def face_width_m(normalization: Mapping[str, Any]) -> float | None:
    """What a crop of this view covers at the face, from side to side; None where the view is not known."""
    values = [normalization.get(name) for name in ("distance_m", "size_px", "focal_px")]
    return None if None in values else float(values[0] * values[1] / values[2])  # type: ignore[operator]


def require_view(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Refuses crops that show another part of the face than the estimator knows, as far as both views are known.

    Raises:
        ContractViolation: with both widths.
    """
    width_m, expected_m = face_width_m(found), face_width_m(expected)
    if width_m and expected_m and abs(width_m - expected_m) > 0.03 * expected_m:
        raise ContractViolation(
            f"{where}: its crops are {100 * width_m:.1f} cm wide at the face, the estimator's {100 * expected_m:.1f} cm; "
            "extract with the estimator's normalisation, or use another estimator"
        )


class FaceChanges(Config):
    """How far a training picture may differ from the recorded one; 0 leaves that part alone."""

    shift: NonNegativeFloat = 0.03  # of the side
    scale: NonNegativeFloat = 0.05
    roll_deg: NonNegativeFloat = 3.0  # the gaze turns with the picture
    brightness: NonNegativeFloat = 0.25
    contrast: NonNegativeFloat = 0.2
    color: NonNegativeFloat = 0.08
    noise: NonNegativeFloat = 0.015
    smallest: float = Field(0.6, gt=0, le=1)  # of the side, through which some pictures are shrunk and enlarged
    mirror: bool = False
    background: bool = False  # replace what is outside the head mask by something plain


def changed(batch: FaceBatch, changes: FaceChanges) -> FaceBatch:
    """A random change of each picture, by torch's random numbers on the CPU, which each step seeds."""
    n = len(batch)
    rgb, gaze = batch.rgb, batch.gaze_camera
    if changes.background:
        plain = torch.rand(n, 3, 1, 1).to(rgb) * torch.rand(n, 1, 1, 1).to(rgb)
        slope = torch.linspace(-1, 1, rgb.shape[-1]).to(rgb) * _signed(n, 1, 1, 1).to(rgb) * 0.3
        rgb = rgb * batch.head_mask + (plain + slope).clamp(0, 1) * (1 - batch.head_mask)
    if changes.mirror:
        flipped = (torch.rand(n) < 0.5).to(rgb.device)
        rgb = torch.where(flipped[:, None, None, None], rgb.flip(-1), rgb)
        gaze = gaze * torch.where(flipped[:, None], gaze.new_tensor([1.0, -1.0]), gaze.new_tensor([1.0, 1.0]))
    roll = (_signed(n) * changes.roll_deg).deg2rad()
    turn = matrix_from_axis_angle(functional.pad(roll[:, None], (2, 0))).to(rgb)
    gaze = pitchyaw_from_vector((turn @ vector_from_pitchyaw(gaze)[..., None])[..., 0])
    inverse = turn[:, :2, :2].mT / (1 + changes.scale * _signed(n, 1, 1)).to(rgb)
    offset = 2 * changes.shift * _signed(n, 2, 1).to(rgb)
    grid = functional.affine_grid(torch.cat([inverse, offset], dim=-1), list(rgb.shape), align_corners=False)
    rgb = functional.grid_sample(rgb, grid, padding_mode="border", align_corners=False)
    return replace(batch, rgb=_relit(_softened(rgb, changes), changes), gaze_camera=gaze)


def _softened(rgb: Float[Tensor, "b 3 h w"], changes: FaceChanges) -> Float[Tensor, "b 3 h w"]:
    """A third of the pictures through a smaller size and back."""
    side = round(rgb.shape[-1] * (changes.smallest + (1 - changes.smallest) * float(torch.rand(()))))
    chosen = torch.rand(len(rgb)) < 1 / 3
    if side >= rgb.shape[-1] or not chosen.any():
        return rgb
    out = rgb.clone()
    small = functional.interpolate(rgb[chosen], size=(side, side), mode="area")
    out[chosen] = functional.interpolate(small, size=rgb.shape[-2:], mode="bilinear", align_corners=False)
    return out


def _relit(rgb: Float[Tensor, "b 3 h w"], changes: FaceChanges) -> Float[Tensor, "b 3 h w"]:
    n = len(rgb)
    gain = (1 + changes.contrast * _signed(n, 1, 1, 1)) * (1 + changes.color * _signed(n, 3, 1, 1))
    light = (1 + changes.brightness * _signed(n, 1, 1, 1)).to(rgb)
    middle = rgb.mean(dim=(1, 2, 3), keepdim=True)
    out = ((rgb - middle) * gain.to(rgb) + middle) * light
    return (out + changes.noise * torch.randn(rgb.shape).to(rgb) * torch.rand(n, 1, 1, 1).to(rgb)).clamp(0, 1)


def _signed(*shape: int) -> Tensor:
    return 2 * torch.rand(*shape) - 1


def gaze_distance(read: Float[Tensor, "b 2"], label: Float[Tensor, "b 2"]) -> Tensor:
    """Mean distance of unit vectors, nearly their angle in radians; smooth at zero."""
    squared = (vector_from_pitchyaw(read) - vector_from_pitchyaw(label)).square().sum(-1)
    return (squared + 1e-6).sqrt().mean()


@torch.no_grad()
def predict(model: nn.Module, faces: FaceSet, items: Sequence[int]) -> Float[Tensor, "n 2"]:
    """The model's gaze for these samples, `[pitch, yaw]` rad, camera frame of the crop, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    parts = [
        model(faces.batch(items[start : start + _PREDICT_BATCH]).to(device).rgb).cpu()
        for start in range(0, len(items), _PREDICT_BATCH)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, 2)
