"""gsplat's own strategy, in plain torch, on what our backends draw."""

import pytest
import torch
from torch import nn

from gaze_core.errors import BadInput
from gaze_core.splat.densification import Densifier
from gaze_core.splat.rasterize import rasterize

SIZE_PX = (32, 32)


def fit_a_square(densify: bool, backend: str, num_steps: int = 40):
    """Eight Gaussians learn a picture with sharp edges; more Gaussians can do it better."""
    strategies = pytest.importorskip("gsplat.strategy")
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    parameters = {
        "means": nn.Parameter(0.05 * torch.randn(8, 3, generator=generator)),
        "quats": nn.Parameter(torch.randn(8, 4, generator=generator)),
        "scales": nn.Parameter(torch.full((8, 3), 0.03).log()),
        "opacities": nn.Parameter(torch.zeros(8)),
        "features": nn.Parameter(torch.rand(8, 3, generator=generator)),
    }
    optimizers = {name: torch.optim.Adam([p], lr=0.01) for name, p in parameters.items()}
    strategy = strategies.DefaultStrategy(
        refine_start_iter=5, refine_every=10, refine_stop_iter=35, reset_every=1000, grow_grad2d=1e-5, prune_opa=0.02
    )
    densifier = Densifier(strategy, parameters, optimizers) if densify else None
    target = torch.zeros(2, 3, 32, 32)
    target[:, :, 8:24, 8:24] = torch.tensor([0.9, 0.5, 0.1])[:, None, None]
    viewmats = torch.eye(4).repeat(2, 1, 1)
    viewmats[:, 2, 3] = torch.tensor([0.6, 0.62])
    Ks = torch.tensor([[60.0, 0, 16], [0, 60.0, 16], [0, 0, 1]]).repeat(2, 1, 1)
    for step in range(num_steps):
        stored = {name: p.expand(2, *p.shape) for name, p in parameters.items()}
        rendering = rasterize(
            stored["means"], stored["quats"], stored["scales"].exp(), stored["opacities"].sigmoid(),
            stored["features"], viewmats, Ks, SIZE_PX, backend=backend,
        )  # fmt: skip
        loss = (rendering.features - target).square().mean()
        if densifier:
            densifier.before_backward(rendering, step)
        loss.backward()
        for optimizer in optimizers.values():
            optimizer.step()
        if densifier:
            densifier.after_backward(step)
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
    return loss.item(), len(parameters["means"])


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_more_gaussians_where_the_picture_needs_them(backend):
    plain, few = fit_a_square(False, backend)
    dense, many = fit_a_square(True, backend)
    assert few == 8
    assert many > few
    assert dense < plain


def test_missing_parameters_are_named():
    class Strategy:
        def initialize_state(self):
            return {}

    with pytest.raises(BadInput, match="missing: \\['quats', 'scales'\\]"):
        Densifier(Strategy(), {"means": nn.Parameter(torch.zeros(1)), "opacities": nn.Parameter(torch.zeros(1))}, {})
