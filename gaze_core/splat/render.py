"""`render`: the rasteriser for `Gaussians` and `Camera`."""

from jaxtyping import Float
from torch import Tensor

from gaze_core.geometry.cameras import Camera
from gaze_core.splat.gaussians import Gaussians, Rendering
from gaze_core.splat.rasterize import Backend, rasterize


def render(
    gaussians: Gaussians, camera: Camera, background: Float[Tensor, "b c"] | None = None, backend: Backend = "auto"
) -> Rendering:
    """Renders each cloud with its own camera, over a background colour per image; see `rasterize`."""
    return rasterize(
        gaussians.means,
        gaussians.quats_wxyz,
        gaussians.scales,
        gaussians.opacities,
        gaussians.features,
        camera.world_to_camera,
        camera.intrinsics_px,
        camera.size_px,
        background,
        backend=backend,
    )
