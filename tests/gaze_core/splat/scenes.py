"""Small random clouds in front of small cameras."""

from dataclasses import dataclass

import torch

INPUTS = ("means", "quats_wxyz", "scales", "opacities", "features", "viewmats", "background")


@dataclass
class Scene:
    """Arguments of `rasterize`."""

    tensors: dict[str, torch.Tensor]
    Ks: torch.Tensor
    size_px: tuple[int, int]

    def to(self, dtype):
        return Scene({n: t.detach().to(dtype).requires_grad_() for n, t in self.tensors.items()}, self.Ks.to(dtype),
                     self.size_px)  # fmt: skip

    def render(self, rasterize, backend, **changes):
        tensors = self.tensors | changes
        background = tensors.pop("background")
        viewmats = tensors.pop("viewmats")
        return rasterize(**tensors, viewmats=viewmats, Ks=self.Ks, size_px=self.size_px, background=background,
                         backend=backend)  # fmt: skip


def random_scene(num_points=40, batch=2, channels=3, size_px=(21, 17), seed=0, dtype=torch.float64) -> Scene:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape, low=0.0, high=1.0):
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=dtype)

    width, height = size_px
    viewmats = torch.eye(4, dtype=dtype).repeat(batch, 1, 1)
    viewmats[:, :3, 3] = uniform(batch, 3, low=-0.02, high=0.02) + torch.tensor([0, 0, 0.6], dtype=dtype)
    focal = 1.8 * width
    K = torch.tensor([[focal, 0, width / 2 + 0.7], [0, 0.9 * focal, height / 2], [0, 0, 1]], dtype=dtype)
    tensors = {
        "means": uniform(batch, num_points, 3, low=-0.12, high=0.12),
        "quats_wxyz": torch.randn(batch, num_points, 4, generator=generator, dtype=dtype),
        "scales": uniform(batch, num_points, 3, low=0.004, high=0.03),
        "opacities": uniform(batch, num_points, low=0.2, high=0.9),
        "features": uniform(batch, num_points, channels),
        "viewmats": viewmats,
        "background": uniform(batch, channels),
    }
    return Scene({n: t.requires_grad_() for n, t in tensors.items()}, K.repeat(batch, 1, 1), size_px)
