"""A small gaze estimator: it detects a few facial landmarks, crops both eyes, and predicts gaze and head direction.

The eyes are about 14 px wide in a 128 px face, too small for a strided network over the whole face. So a coarse
network detects landmarks, and a fine network processes a patch around each eye at full resolution. The left eye is
mirrored, so both eyes share weights. The fine network also learns the centres of iris and eyeball: the offset between
them is nearly the gaze, whoever the person is.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.config import Config
from gaze_core.geometry import landmarks
from gaze_core.geometry.angles import pitchyaw_from_vector
from gaze_core.geometry.landmarks import Eyes

POINTS = (
    landmarks.RIGHT_EYE_OUTER, landmarks.RIGHT_EYE_INNER, landmarks.LEFT_EYE_INNER, landmarks.LEFT_EYE_OUTER,
    landmarks.NOSE_TIP, landmarks.CHIN, landmarks.MOUTH_RIGHT, landmarks.MOUTH_LEFT, 0, 16,
)  # fmt: skip
"""The iBUG-68 landmarks that the network detects; the last two are the ends of the jaw line."""
MIRRORED_POINTS = (3, 2, 1, 0, 4, 5, 7, 6, 9, 8)
"""Index in `POINTS` of each point's counterpart on the other side of the face."""
_EYE_CORNERS = Eyes(left=(2, 3), right=(0, 1))
EYEBALL_RADIUS_PX = 5.8  # of 15 mm eyeballs in the normalised crops of 128 px: how far a side glance moves an iris


class GazeNetConfig(Config):
    """Architecture of the network. Patches are `patch_px` in pixels of the face image and sampled at `patch_samples`."""

    image_px: PositiveInt = 128
    width: PositiveInt = 16  # channels of the first layer of the point network
    eye_width: PositiveInt = 24
    eye_features: PositiveInt = 64
    patch_px: tuple[PositiveFloat, PositiveFloat] = (28.0, 21.0)  # width, height
    patch_samples: tuple[PositiveInt, PositiveInt] = (32, 24)


@dataclass(frozen=True, eq=False)
class GazeNetOutput:
    """Angles in radians, camera frame; `head_pitchyaw` is the direction of the head's -z axis. Points in pixels."""

    gaze_camera: Float[Tensor, "b 2"]
    head_pitchyaw: Float[Tensor, "b 2"]
    points_px: Float[Tensor, "b k 2"]
    irises_px: Float[Tensor, "b 2 2"]  # projected centres of the irises of (left, right) eye
    eyeballs_px: Float[Tensor, "b 2 2"]  # projected centres of the eyeballs


class GazeNet(nn.Module):
    """Predicts gaze and head direction from RGB in [0, 1] of a normalised face crop on white."""

    def __init__(self, config: GazeNetConfig) -> None:
        super().__init__()
        self.config = config
        w, e = config.width, config.eye_width
        samples_x, samples_y = config.patch_samples
        self.coarse = nn.Sequential(
            nn.AvgPool2d(2),
            _block(3, w, stride=2),
            _block(w, 2 * w, stride=2),
            _block(2 * w, 4 * w),
            _block(4 * w, 4 * w),
        )
        self.heat = nn.Conv2d(4 * w, len(POINTS), 1)
        self.face = nn.Sequential(_block(4 * w, 2 * w, stride=2), nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.eye = nn.Sequential(_block(3, e), _block(e, 2 * e, stride=2), *(_Residual(2 * e) for _ in range(3)))
        self.eye_heat = nn.Conv2d(2 * e, 2, 1)  # of the centres of iris and eyeball
        self.eye_features = nn.Sequential(
            _block(2 * e, 2 * e, stride=2), _block(2 * e, 32), nn.Flatten(),
            nn.Linear(32 * (samples_x // 4) * (samples_y // 4), config.eye_features), nn.ReLU(),
        )  # fmt: skip
        num_points, num_face = 2 * len(POINTS), 2 * w * 16
        self.read_head = nn.Sequential(nn.Linear(num_points + num_face, 64), nn.ReLU(), nn.Linear(64, 2))
        num_inputs = 2 * config.eye_features + num_points + 2 + 4
        self.read_gaze = nn.Sequential(nn.Linear(num_inputs, 96), nn.ReLU(), nn.Linear(96, 2))
        self.lean = nn.Linear(4, 2, bias=False)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> GazeNetOutput:
        """Predictions for a batch of face crops of `image_px` by `image_px`."""
        maps = self.coarse(rgb - 0.5)
        points = _soft_argmax(self.heat(maps))
        head = self.read_head(torch.cat([points.flatten(1), self.face(maps)], dim=1))
        # Patches are centred on the detected points. Only the points' own loss trains their positions, not the gaze loss.
        detached = points.detach()
        centers = torch.stack([detached[:, list(corners)].mean(dim=1) for corners in _EYE_CORNERS], dim=1)
        left, right = (self._patches(rgb, center) for center in centers.unbind(1))
        maps = self.eye(torch.cat([left.flip(-1), right]))
        features = self.eye_features(maps)
        size = self.config.image_px
        centers_px = (centers + 1) / 2 * size
        irises, eyeballs = (self._unflip(positions) for positions in _soft_argmax(self.eye_heat(maps)).unbind(1))
        offset = (irises - eyeballs).flatten(1) / EYEBALL_RADIUS_PX * (128 / size)
        inputs = torch.cat([*features.chunk(2), detached.flatten(1), head, offset], dim=1)
        gaze = self.read_gaze(inputs) + self.lean(offset)
        return GazeNetOutput(gaze, head, (points + 1) / 2 * size, centers_px + irises, centers_px + eyeballs)

    def _unflip(self, positions: Float[Tensor, "b*2 2"]) -> Float[Tensor, "b 2 2"]:
        """Positions in the patches, [-1, 1], to pixels: those of all left eyes, which are mirrored, then of all right eyes."""
        left, right = (positions * positions.new_tensor(self.config.patch_px) / 2).chunk(2)
        return torch.stack([left * left.new_tensor([-1.0, 1.0]), right], dim=1)

    def _patches(self, rgb: Float[Tensor, "b 3 h w"], centre: Float[Tensor, "b 2"]) -> Float[Tensor, "b 3 p q"]:
        """Patches around `centre`, in [-1, 1] of the image, each normalised to zero mean and about unit deviation."""
        scale = rgb.new_tensor(self.config.patch_px) / self.config.image_px
        theta = torch.cat([scale.diag().expand(len(rgb), 2, 2), centre[..., None]], dim=-1)
        width, height = self.config.patch_samples
        grid = functional.affine_grid(theta, [len(rgb), 3, height, width], align_corners=False)
        patch = functional.grid_sample(rgb, grid, padding_mode="border", align_corners=False)
        deviation, mean = torch.std_mean(patch, dim=(1, 2, 3), keepdim=True)
        return (patch - mean) / (deviation + 0.02)


def head_pitchyaw(head_to_camera: Float[Tensor, "b 4 4"]) -> Float[Tensor, "b 2"]:
    """`[pitch, yaw]` rad, camera frame, of where the face points (the head's -z axis); (0, 0) faces the camera."""
    return pitchyaw_from_vector(-head_to_camera[:, :3, 2])


def _block(num_in: int, num_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(num_out), nn.ReLU())


class _Residual(nn.Module):
    """A convolution block with a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = _block(width, width)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        out: Tensor = self.block(maps)
        return maps + out


def _soft_argmax(heat: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k 2"]:
    """Mean position (x, y) of each map's softmax, in [-1, 1] of the image."""
    weight = heat.flatten(2).softmax(dim=-1).unflatten(2, heat.shape[2:])
    x, y = (
        (torch.arange(size, device=heat.device, dtype=heat.dtype) + 0.5) / size * 2 - 1
        for size in (heat.shape[3], heat.shape[2])
    )
    return torch.stack([(weight.sum(2) * x).sum(-1), (weight.sum(3) * y).sum(-1)], dim=-1)
