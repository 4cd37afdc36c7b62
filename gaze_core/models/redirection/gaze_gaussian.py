"""GazeGaussian: one cloud for the face, one for the eyes, a feature raster and a neural renderer.

The face moves with expression, pose and, at the lids, gaze. Each eyeball rotates rigidly about its own centre by
R(gaze), composed with a small learned rotation that is the identity at initialisation (Wei et al. 2025, eq. 4; pivot and
parametrisation as in `docs/decisions`). Head frame, metres.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from gaze_core.config import Config
from gaze_core.data.batch import HeadParameters
from gaze_core.geometry.cameras import Camera
from gaze_core.models.blocks import first_layer
from gaze_core.models.conditioning import BOTH_EYES, SHAPE, encode_points, pose_identity_code
from gaze_core.models.redirection.mesh_head import MeshHeadConfig
from gaze_core.models.redirection.renderers import LatentDiTRenderer, RendererConfig, make_renderer
from gaze_core.models.redirection.streams import EyeStream, FaceStream
from gaze_core.splat.gaussians import Gaussians, Rendering, concatenate
from gaze_core.splat.render import render


class GazeGaussianConfig(Config):
    """Architecture of the model; `image_px` is the side of the training images. Lengths in metres."""

    image_px: PositiveInt = 128
    raster_px: PositiveInt = 64
    cell_m: PositiveFloat = 0.009  # resolution at which MeshHead's surface is sampled
    points_per_eye: PositiveInt = 250
    renderer: RendererConfig = RendererConfig()


@dataclass(frozen=True, eq=False)
class GazeGaussianOutput:
    """`rgb` is the final image; the rasters of the separate streams exist only in training mode."""

    rgb: Float[Tensor, "b 3 h w"]
    head: Rendering
    face: Rendering | None
    eyes: Rendering | None
    first_activations: tuple[Tensor, Tensor, Tensor] | None  # of the gaze, pose and expression branches
    eye_centers_m: Float[Tensor, "b 2 3"] | None  # head frame


class GazeGaussian(nn.Module):
    """See the module docstring. Its parameters are zero until `initialise_from_mesh_head` or a checkpoint sets them.

    Layer widths and lengths come from the configuration of the MeshHead that initialises it.
    """

    person: Float[Tensor, " 80"] | None  # see `set_identity`

    def __init__(self, config: GazeGaussianConfig, mesh: MeshHeadConfig, num_face_points: int) -> None:
        super().__init__()
        self.config, self.mesh = config, mesh
        self.register_buffer("person", None, persistent=False)
        widths = (mesh.feature_width, mesh.hidden, mesh.color_channels, mesh.max_offset_m)
        self.face = FaceStream(num_face_points, *widths)
        self.eyes = EyeStream(2 * config.points_per_eye, *widths)
        self.renderer = make_renderer(
            config.renderer, mesh.color_channels, SHAPE.width, config.raster_px, config.image_px
        )

    def set_identity(self, identity_code: Float[Tensor, " 80"] | None) -> None:
        """Uses this identity code for all renderings; None restores the identity of the labels."""
        self.person = None if identity_code is None else identity_code[:]  # a view: a parameter would be registered

    def clouds(self, head: HeadParameters) -> tuple[Gaussians, Gaussians]:
        """Face and eye Gaussians of each sample, in the head frame."""
        return self.face(head), self.eyes(head)

    def forward(self, camera: Camera, head: HeadParameters) -> GazeGaussianOutput:
        """Renders each sample on white, at `image_px`."""
        head = self._with_identity(head)
        face, eyes = self.clouds(head)
        raster, rgb = self._render(camera, head, face, eyes)
        if not self.training:
            return GazeGaussianOutput(rgb.clamp(0, 1), raster, None, None, None, None)
        view, white = self._raster_camera(camera, head), torch.ones(len(rgb), 3, device=rgb.device)
        face_only, eyes_only = (
            render(cloud.with_features(cloud.features[..., :3]), view, white) for cloud in (face, eyes)
        )
        return GazeGaussianOutput(
            rgb, raster, face_only, eyes_only, self.first_activations(head), self.eyes.eyeballs(head)[0]
        )

    def redirected(self, camera: Camera, head: HeadParameters) -> Float[Tensor, "b 3 h w"]:
        """The final image with gradients to the eyes and the renderer only: a gaze loss must not deform the face."""
        head = self._with_identity(head)
        with torch.no_grad():
            face = self.face(head)
        return self._render(camera, head, face, self.eyes(head))[1]

    def _with_identity(self, head: HeadParameters) -> HeadParameters:
        if self.person is None:
            return head
        return replace(head, identity_code=self.person.expand(len(head.identity_code), -1))

    def _raster_camera(self, camera: Camera, head: HeadParameters) -> Camera:
        return camera.resized((self.config.raster_px,) * 2).seen_from(head.head_to_world)

    def _render(
        self, camera: Camera, head: HeadParameters, face: Gaussians, eyes: Gaussians
    ) -> tuple[Rendering, Float[Tensor, "b 3 h w"]]:
        white = torch.ones(len(face.means), self.mesh.color_channels, device=face.means.device)
        raster = render(concatenate([face, eyes]), self._raster_camera(camera, head), white)
        return raster, self.renderer(raster.features, SHAPE(head))

    def first_activations(self, head: HeadParameters) -> tuple[Tensor, Tensor, Tensor]:
        """First-layer outputs of the branches that move points by gaze, pose and expression."""
        points = encode_points(self.face.means_m)
        return (
            self.eyes.rotate.first_activations(encode_points(self.eyes.centers_m), BOTH_EYES(head)),
            first_layer(self.face.deform["pose"])(points, pose_identity_code(head, zero_identity=True)),
            first_layer(self.face.deform["shape"])(points, SHAPE(head)),
        )

    @property
    def autoencoder_digest(self) -> str | None:
        """Digest of the renderer's frozen autoencoder, if it has one."""
        return self.renderer.autoencoder.digest if isinstance(self.renderer, LatentDiTRenderer) else None

    def enhancements(self) -> list[tuple[str, str]]:
        """Name and details of each enhancement over the published baseline; every run prints and reports them."""
        renderer = ", ".join(f"{name} {value}" for name, value in self.renderer.summary().items())
        return [
            ("renderer", renderer),
            ("eye rotation", f"rigid about each eyeball centre, {self.eyes.num_points} Gaussians"),
            ("lid branch", "face stream conditioned on gaze near the eyelids"),
        ]
