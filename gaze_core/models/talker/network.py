"""The talking head: Gaussians of the head, the mouth's interior and two eyeballs, moved by sound, lids, brows and gaze.

After GaussianTalker (Cho et al. 2024): a canonical head whose opacity and colour a tri-plane decodes (coarse stage), then
offsets of each Gaussian by attention to the tokens of a frame (fine stage). Added: the gaze, as a token and as a rigid
rotation of the eyeballs, and the interior of the mouth as a set of its own. World is the head frame, metres; the head is
fixed and the camera moves.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.geometry.cameras import Camera
from gaze_core.geometry.rotations import eye_rotation, multiply_quaternions, quaternion_from_matrix
from gaze_core.models.talker.clouds import GaussianSet, rgb_from_harmonics
from gaze_core.models.talker.config import TalkerConfig
from gaze_core.models.talker.deformation import SIZES, Deformation
from gaze_core.models.talker.fields import AppearanceHeads, TriPlane
from gaze_core.models.talker.tokens import Tokens
from gaze_core.splat.gaussians import Gaussians, Rendering
from gaze_core.splat.render import render

Stage = Literal["coarse", "fine"]
_MAX_LOG_SCALE = -3.5  # 3 cm
TRAINING_ONLY = ("density_gradient_px", "density_count")  # statistics for densification
# What each set sees. The interior of the mouth follows the sound; eyeballs turn with the gaze and only the lids may hide them.
_SEEN = {"mouth": ("audio", "camera", "null"), "eyes": ("eye", "null")}


@dataclass(frozen=True, eq=False)
class TalkerCondition:
    """What drives B frames: windows n-4 to n+3 of audio features, lids (left, right; 1 is closed), brows, gaze in the head."""

    audio: Float[Tensor, "b 8 w c"]
    eye: Float[Tensor, "b 2"]
    brows: Float[Tensor, "b 3"]
    gaze_rad: Float[Tensor, "b 2"]


@dataclass(frozen=True, eq=False)
class TalkerRender:
    """The head in front of nothing: `image + (1 - alpha) * behind` is the picture. `head` is the raster of all Gaussians."""

    image: Float[Tensor, "b 3 h w"]
    alpha: Float[Tensor, "b 1 h w"]
    raster: Rendering


class TalkerModel(nn.Module):
    """See the module docstring. `stage` says whether opacity and colour are decoded, or free and deformed."""

    eye_centres_m: Tensor
    density_gradient_px: Tensor
    density_count: Tensor

    def __init__(self, config: TalkerConfig, audio_width: int, num_head_points: int) -> None:
        super().__init__()
        self.config, self.audio_width = config, audio_width
        self.stage: Stage = "coarse"
        width, eyes = config.width, 0 if config.is_published else 2 * config.points_per_eye
        self.head = GaussianSet(num_head_points, config.num_sh)
        self.mouth = GaussianSet(0 if config.is_published else config.mouth_points, config.num_sh, width)
        self.eyes = GaussianSet(eyes, config.num_sh, width)
        self.planes = TriPlane(config.plane_channels, config.plane_resolutions)
        sizes = SIZES | {"color": 3 * config.num_sh}
        self.appearance = AppearanceHeads(width, {name: sizes[name] for name in config.decoded})
        self.tokens = Tokens(config, audio_width)
        self.deformation = Deformation(config)
        self.register_buffer("eye_centres_m", torch.zeros(2, 3))
        self.register_buffer("density_gradient_px", torch.zeros(num_head_points))
        self.register_buffer("density_count", torch.zeros(num_head_points))

    @property
    def sets(self) -> dict[str, GaussianSet]:
        """The sets of Gaussians by name, in order; absent ones are left out."""
        every = {"head": self.head, "mouth": self.mouth, "eyes": self.eyes}
        return {name: one for name, one in every.items() if one.num_points}

    def canonical(self) -> tuple[dict[str, Tensor], Float[Tensor, "n d"]]:
        """Raw attributes of all Gaussians, (n, size) each, and their features."""
        features = self.planes(self.head.means_m)
        own = [one.features for one in self.sets.values() if one.features is not None]
        decoded = self.appearance(features) if self.stage == "coarse" else {}
        rows = {name: torch.cat([getattr(one, field) for one in self.sets.values()]) for name, field in _FIELDS.items()}
        for name, values in decoded.items():
            padding = (0, 0, 0, len(rows[name]) - len(values))
            rows[name] = rows[name] + functional.pad(values, padding)
        return rows, torch.cat([features, *own])

    @torch.no_grad()
    def bake(self) -> None:
        """Ends the coarse stage: the decoded opacities and colours become free values of the head's Gaussians."""
        for name, values in self.appearance(self.planes(self.head.means_m)).items():
            getattr(self.head, _FIELDS[name]).add_(values)
        self.stage = "fine"

    def cloud(self, condition: TalkerCondition, viewmat: Float[Tensor, "b 4 4"]) -> Gaussians:
        """The Gaussians of each frame, in the head frame."""
        rows, features = self.canonical()
        batch = len(viewmat)
        raw = {name: values.expand(batch, -1, -1) for name, values in rows.items()}
        if self.stage == "fine":
            tokens = self.tokens(condition.audio, condition.eye, condition.brows, condition.gaze_rad, viewmat)
            offsets = self.deformation(features, tokens, self.seen_tokens())
            offsets["position"] = self.config.offset_unit_m * offsets["position"]
            raw |= {name: raw[name] + values for name, values in offsets.items()}
        means, quats = raw["position"], functional.normalize(raw["rotation"], dim=-1)
        if self.eyes.num_points and self.config.eyes == "rigid":
            means, quats = self._turned(means, quats, condition.gaze_rad)
        rotation, shift = viewmat[:, :3, :3], viewmat[:, :3, 3]
        cameras = -torch.einsum("bji,bj->bi", rotation, shift)
        directions = functional.normalize(means - cameras[:, None], dim=-1)
        return Gaussians(
            means, quats, raw["scale"].clamp(max=_MAX_LOG_SCALE).exp(), torch.sigmoid(raw["opacity"][..., 0]),
            rgb_from_harmonics(raw["color"], directions),
        )  # fmt: skip

    def _turned(
        self, means: Float[Tensor, "b n 3"], quats: Float[Tensor, "b n 4"], gaze_rad: Float[Tensor, "b 2"]
    ) -> tuple[Tensor, Tensor]:
        """Both eyeballs, which are the last points, turned about their centres, left then right."""
        start, half = means.shape[1] - self.eyes.num_points, self.eyes.num_points // 2
        rotation = eye_rotation(gaze_rad)
        centres = self.eye_centres_m.repeat_interleave(half, dim=0)
        turned = centres + torch.einsum("bij,bnj->bni", rotation, means[:, start:] - centres)
        turn = quaternion_from_matrix(rotation)[:, None].expand(-1, self.eyes.num_points, -1)
        turned_quats = multiply_quaternions(turn, quats[:, start:])
        return torch.cat([means[:, :start], turned], dim=1), torch.cat([quats[:, :start], turned_quats], dim=1)

    def seen_tokens(self) -> Bool[Tensor, "n t"]:
        """Which tokens each Gaussian attends to."""
        names, rows = self.config.tokens, []
        for name, one in self.sets.items():
            is_free = name == "head" or (name == "eyes" and self.config.eyes == "token")
            row = torch.tensor([is_free or token in _SEEN[name] for token in names], device=one.means_m.device)
            rows.append(row.expand(one.num_points, -1))
        return torch.cat(rows)

    def forward(
        self,
        condition: TalkerCondition,
        viewmat: Float[Tensor, "b 4 4"],
        intrinsics: Float[Tensor, "*b 3 3"],
        size_px: tuple[int, int],
    ) -> TalkerRender:
        """Renders B frames of `size_px` (width, height); `intrinsics` in pixels, one for all frames or one for each."""
        camera = Camera(intrinsics.expand(len(viewmat), 3, 3), viewmat, size_px)
        raster = render(self.cloud(condition, viewmat), camera)
        return TalkerRender(raster.features, raster.alpha, raster)


_FIELDS = {
    "position": "means_m", "scale": "log_scales", "rotation": "quats_wxyz", "opacity": "opacity_logits", "color": "colors",
}  # fmt: skip
