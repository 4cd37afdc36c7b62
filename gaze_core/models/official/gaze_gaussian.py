"""The published GazeGaussian with the interface of our model: head parameters and a camera to an image."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.data.adapters.units import METRES_PER_DM
from gaze_core.data.batch import HeadParameters
from gaze_core.errors import BadInput
from gaze_core.geometry.cameras import Camera
from gaze_core.models.official.clouds import CanonicalGaussians, Codes, EyeCloud, FaceCloud
from gaze_core.models.official.frames import (
    OfficialConfig,
    codes_of,
    official_view,
    placement,
    shape_codes,
    stacked,
    to_head_frame,
)
from gaze_core.models.official.layout import COLOR_CHANNELS
from gaze_core.models.official.networks import UPSAMPLING, OfficialRenderer
from gaze_core.models.redirection.gaze_gaussian import GazeGaussianOutput
from gaze_core.splat.gaussians import Gaussians, concatenate
from gaze_core.splat.rasterize import rasterize

_NEAR_M = 0.2 * METRES_PER_DM  # Gaussians nearer to the camera are not rendered


class OfficialGazeGaussian(nn.Module):
    """Starts empty: fill it with `layout.translate`, then call `precompute`. Inference only; it cannot be trained.

    Our rasteriser renders it. The image is rendered at `image_px` and resampled to the camera's size.
    """

    origin_m: Tensor

    def __init__(self, config: OfficialConfig, num_face_points: int, num_eye_points: int) -> None:
        super().__init__()
        if config.image_px != UPSAMPLING * config.raster_px:
            raise BadInput(f"image_px {config.image_px} must be {UPSAMPLING} times raster_px {config.raster_px}")
        self.config = config
        self.face, self.eyes = FaceCloud(num_face_points), EyeCloud(num_eye_points)
        self.renderer = OfficialRenderer()
        self.register_buffer("origin_m", torch.zeros(3))  # of our head frame where no file gives it; see `frames`
        self._rendered_face: tuple[Codes, CanonicalGaussians] | None = None

    @torch.no_grad()
    def precompute(self, origin_m: Tensor) -> None:
        """Computes the weights that depend on the loaded points and landmarks; `origin_m` as in `frames`."""
        self.origin_m.copy_(origin_m)
        self._rendered_face = None
        self.face.precompute()
        self.eyes.precompute()

    def clouds(self, camera: Camera, head: HeadParameters) -> tuple[Gaussians, Gaussians]:
        """Face and eye Gaussians of each sample, in our head frame."""
        placed = placement(head, self.config, self.origin_m)
        rows = list(
            zip(codes_of(camera, head, self.config, placed.origin_m), placed.scale, placed.origin_m, strict=True)
        )
        face, eyes = (
            stacked([to_head_frame(cloud(code), scale, origin_m) for code, scale, origin_m in rows])
            for cloud in (self._face, self.eyes)
        )
        return face, eyes

    def _face(self, codes: Codes) -> CanonicalGaussians:
        """The face cloud, which does not depend on gaze. If only the gaze changes, as in a gaze sweep, it is reused.

        At the published size it takes most of the rendering time on a CPU.
        """
        if torch.is_grad_enabled():
            return self.face(codes)
        last = self._rendered_face
        if last is None or not last[0].same_face(codes):
            last = self._rendered_face = (codes, self.face(codes))
        return last[1]

    def _apply(self, *arguments: Any, **options: Any) -> "OfficialGazeGaussian":
        self._rendered_face = None  # it would stay on the old device
        return super()._apply(*arguments, **options)

    def forward(self, camera: Camera, head: HeadParameters) -> GazeGaussianOutput:
        """Renders each sample on white, at the camera's size."""
        view = official_view(camera, self.config).resized((self.config.raster_px,) * 2).seen_from(head.head_to_world)
        cloud = concatenate(list(self.clouds(camera, head)))
        raster = rasterize(
            cloud.means, cloud.quats_wxyz, cloud.scales, cloud.opacities, cloud.features,
            view.world_to_camera, view.intrinsics_px, view.size_px,
            torch.ones(len(cloud.means), COLOR_CHANNELS, device=cloud.means.device), near_m=_NEAR_M,
        )  # fmt: skip
        rgb = self.renderer(raster.features, shape_codes(head, self.config))
        width_px, height_px = camera.size_px
        if rgb.shape[-2:] != (height_px, width_px):
            rgb = functional.interpolate(rgb, size=(height_px, width_px), mode="bilinear", antialias=True)
        return GazeGaussianOutput(rgb, raster, face=None, eyes=None, first_activations=None, eye_centers_m=None)

    def enhancements(self) -> list[tuple[str, str]]:
        """What a report says about the model, like `GazeGaussian.enhancements`."""
        return [
            ("renderer", f"published pixel shuffle, {self.config.raster_px} to {self.config.image_px} px"),
            ("eye rotation", f"published, with its faults, {len(self.eyes.means_dm)} Gaussians"),
            ("face", f"published, {len(self.face.means_dm)} Gaussians"),
        ]
