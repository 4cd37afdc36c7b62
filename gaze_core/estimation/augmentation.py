"""Random changes of training frames, the same for face and eyes of a frame: colours, blur, noise, mirroring, shift.

The random numbers of a frame depend on seed, step and frame alone, so they do not change when a batch is divided among
processes.
"""

import math

import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.data.augmentation import warped
from gaze_core.models.estimation.gazetr import EyeFaceImages
from gaze_core.reproducibility import generator

Share = float
_NUMBERS = 22  # random numbers of a frame
# Rows of the YIQ transform (FCC 1953): luma, then two colour differences, which a change of hue rotates.
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


class EyeFaceAugmentation(Config):
    """Shares of frames that are changed, and how far. The defaults are those of the published baseline, and noise."""

    jitter: Share = Field(0.5, ge=0, le=1)
    brightness: NonNegativeFloat = 0.4
    contrast: NonNegativeFloat = 0.4
    saturation: NonNegativeFloat = 0.3
    hue: NonNegativeFloat = 0.1  # of a turn
    gray: Share = Field(0.1, ge=0, le=1)
    blur: Share = Field(0.2, ge=0, le=1)
    blur_sigma_px: tuple[NonNegativeFloat, NonNegativeFloat] = (0.1, 2.0)
    noise: Share = Field(0.3, ge=0, le=1)
    noise_std: NonNegativeFloat = 0.03
    mirror: Share = Field(0.0, ge=0, le=1)  # images mirrored, eyes exchanged, yaw negated
    shift: NonNegativeFloat = 0.0  # of the side, of each crop on its own
    scale: NonNegativeFloat = 0.0
    head_noise_deg: NonNegativeFloat = 0.0  # standard deviation of the error of the head pose


def augmented(
    images: EyeFaceImages,
    gaze_rad: Float[Tensor, "b 2"],
    samples: Tensor,
    step: int,
    seed: int,
    how: EyeFaceAugmentation,
) -> tuple[EyeFaceImages, Float[Tensor, "b 2"]]:
    """The changed frames and their gaze."""
    device = images.face.device
    rows = torch.stack(
        [torch.rand(_NUMBERS, generator=generator("eyes and face", seed, step, at)) for at in samples.tolist()]
    )
    rows = rows.to(device)
    mirrored = (rows[:, 0] < how.mirror)[:, None, None, None]
    face, left, right, head = images.face, images.left_eye, images.right_eye, images.head_rad
    if how.mirror:
        face = torch.where(mirrored, face.flip(-1), face)
        left, right = (
            torch.where(mirrored, other.flip(-1), own) for own, other in ((left, right), (right, left))
        )  # the left eye of a mirrored face is the mirrored right eye
        gaze_rad = _mirrored_angles(gaze_rad, mirrored[:, :, 0, 0])
        head = None if head is None else _mirrored_angles(head, mirrored[:, :, 0, 0])
    streams = [face, left, right]
    if how.shift or how.scale:
        streams = [_moved(rgb, rows[:, 7 + 3 * at : 10 + 3 * at], how) for at, rgb in enumerate(streams)]
    matrix, offset = _colour_change(streams[0], rows, how)
    streams = [torch.einsum("bij,bjhw->bihw", matrix, rgb) + offset[:, :, None, None] for rgb in streams]
    streams = [_blurred(rgb, rows[:, 5], rows[:, 6], how) for rgb in streams]
    tile = torch.randn(streams[0].shape[1:], generator=generator("noise", seed, step)).to(device)
    streams = [_noisy(rgb, tile, rows[:, 1], rows[:, 2], how).clamp(0, 1) for rgb in streams]
    if head is not None and how.head_noise_deg:
        head = head + _normal(rows[:, 20], rows[:, 21]) * math.radians(how.head_noise_deg)
    return EyeFaceImages(streams[0], streams[1], streams[2], head), gaze_rad


def _mirrored_angles(angles: Float[Tensor, "b 2"], mirrored: Bool[Tensor, "b 1"]) -> Float[Tensor, "b 2"]:
    return torch.where(mirrored, angles * angles.new_tensor([1.0, -1.0]), angles)


def _normal(first: Float[Tensor, " b"], second: Float[Tensor, " b"]) -> Float[Tensor, "b 2"]:
    """Two standard normal numbers from two uniform ones (Box and Muller 1958)."""
    radius, angle = (-2 * torch.log1p(-first)).sqrt(), 2 * torch.pi * second
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


def _colour_change(
    face: Float[Tensor, "b 3 h w"], rows: Float[Tensor, "b r"], how: EyeFaceAugmentation
) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 3"]]:
    """Linear map and offset of the colours of each frame; contrast is about the mean luma of the face."""
    jittered = (rows[:, 3] < how.jitter).to(face)
    light, contrast, saturation, hue = (
        jittered * strength * (2 * rows[:, 16 + at] - 1)
        for at, strength in enumerate((how.brightness, how.contrast, how.saturation, how.hue))
    )
    yiq = face.new_tensor(_YIQ)
    chroma = torch.where(rows[:, 4] < how.gray, torch.zeros_like(light), 1 + saturation)
    angle = 2 * torch.pi * hue
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([
        torch.stack([one, zero, zero], -1),
        torch.stack([zero, chroma * angle.cos(), -chroma * angle.sin()], -1),
        torch.stack([zero, chroma * angle.sin(), chroma * angle.cos()], -1),
    ], dim=1)  # fmt: skip
    gain = ((1 + light) * (1 + contrast))[:, None, None]
    mean = (1 + light) * torch.einsum("i,bihw->bhw", yiq[0], face).mean(dim=(1, 2))
    return gain * (torch.linalg.inv(yiq) @ turn @ yiq), (-contrast * mean)[:, None].expand(-1, 3)


def _moved(rgb: Float[Tensor, "b 3 h w"], rows: Float[Tensor, "b 3"], how: EyeFaceAugmentation) -> Tensor:
    signed = 2 * rows - 1
    inverse = torch.eye(2).to(rgb)[None] / (1 + how.scale * signed[:, 0, None, None])
    return warped(rgb, inverse, 2 * how.shift * signed[:, 1:, None], on_white=False)


def _blurred(
    rgb: Float[Tensor, "b 3 h w"], lot: Float[Tensor, " b"], how_much: Float[Tensor, " b"], how: EyeFaceAugmentation
) -> Tensor:
    """A Gaussian of 5 taps over some of the frames."""
    chosen = lot < how.blur
    if not bool(chosen.any()):
        return rgb
    low, high = how.blur_sigma_px
    sigma = low + (high - low) * how_much[chosen]
    taps = torch.arange(-2, 3).to(rgb)
    kernel = (-0.5 * (taps / sigma[:, None].clamp(min=1e-3)) ** 2).exp()
    kernel = (kernel / kernel.sum(-1, keepdim=True)).repeat_interleave(3, dim=0)
    part = rgb[chosen]
    rows = part.reshape(1, -1, *part.shape[-2:])
    rows = functional.conv2d(functional.pad(rows, (2, 2, 0, 0), "replicate"), kernel[:, None, None], groups=len(kernel))
    rows = functional.conv2d(
        functional.pad(rows, (0, 0, 2, 2), "replicate"), kernel[:, None, :, None], groups=len(kernel)
    )
    return rgb.masked_scatter(chosen[:, None, None, None], rows.reshape(part.shape))


def _noisy(
    rgb: Float[Tensor, "b 3 h w"], tile: Float[Tensor, "3 f f"], lot: Tensor, how_much: Tensor, how: EyeFaceAugmentation
) -> Tensor:
    """Gaussian noise: one tile for the step, moved to another place for each frame."""
    std = torch.where(lot < how.noise, how.noise_std * how_much, torch.zeros_like(lot))
    side = rgb.shape[-1]
    if side > tile.shape[-1]:
        tile = tile.tile(1, 2, 2)
    shifts = (how_much * 7919).long().tolist()
    tiles = [tile.roll((shift % side, shift // 7), (1, 2))[:, :side, :side] for shift in shifts]
    return rgb + std[:, None, None, None] * torch.stack(tiles)
