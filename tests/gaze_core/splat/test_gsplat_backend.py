"""How our contract maps to gsplat's arguments, seen by a stand-in that records them (gsplat itself needs CUDA)."""

import sys
from types import SimpleNamespace

import pytest
import torch

from gaze_core.splat import gsplat_backend
from gaze_core.splat.rasterize import rasterize
from tests.gaze_core.splat.scenes import INPUTS, Scene, random_scene


def test_arguments_and_results_are_mapped(monkeypatch):
    calls = []

    def rasterization(*arguments, **options):
        calls.append((arguments, options))
        batch, points = arguments[0].shape[:2]
        width, height = arguments[7:9]
        image = torch.arange(4.0).expand(batch, 1, height, width, 4)
        meta = {"means2d": torch.zeros(batch, 1, points, 2), "radii": torch.ones(batch, 1, points, 2).int()}
        return image, torch.full((batch, 1, height, width, 1), 0.5), meta

    monkeypatch.setitem(sys.modules, "gsplat", SimpleNamespace(rasterization=rasterization))
    scene = random_scene(num_points=7, batch=2, channels=3, size_px=(5, 4), dtype=torch.float32)
    t = scene.tensors
    rendering = gsplat_backend.rasterize(
        t["means"], t["quats_wxyz"], t["scales"], t["opacities"], t["features"], t["viewmats"], scene.Ks,
        scene.size_px, t["background"], 0.01, 0.3,
    )  # fmt: skip
    ((arguments, options),) = calls
    assert arguments[4].shape == (2, 1, 7, 3)  # one camera for each scene
    assert arguments[5].shape == (2, 1, 4, 4)
    assert options["backgrounds"].shape == (2, 1, 3)
    assert options["channel_chunk"] == 4  # features and depth in one pass
    assert not options["packed"]
    assert rendering.features.shape == (2, 3, 4, 5)
    assert rendering.features[0, :, 0, 0].tolist() == [0, 1, 2]
    assert rendering.depth_m[0, 0, 0, 0] == 3  # the expected depth is gsplat's last channel
    assert rendering.means2d_px.shape == (2, 7, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat draws on CUDA only, and there is none here")
@pytest.mark.parametrize("channels", [3, 32])
def test_parity_with_the_reference_on_cuda(channels):
    pytest.importorskip("gsplat")
    reference = random_scene(2000, 2, channels, (96, 80), seed=1)
    reference.tensors["scales"] = (reference.tensors["scales"].detach() * 0.3).requires_grad_()
    fast = reference.to(torch.float32)
    on_cuda = Scene({n: t.detach().cuda().requires_grad_() for n, t in fast.tensors.items()}, fast.Ks.cuda(),
                    fast.size_px)  # fmt: skip
    exact, found = reference.render(rasterize, "reference"), on_cuda.render(rasterize, "gsplat")
    errors = (found.features.detach().cpu().double() - exact.features).abs()
    assert errors.quantile(0.999) <= 1e-4
    gradients = [
        torch.autograd.grad(rendering.features.square().sum(), [scene.tensors[name] for name in INPUTS])
        for scene, rendering in ((reference, exact), (on_cuda, found))
    ]
    for name, right, fast_one in zip(INPUTS, *gradients, strict=True):
        assert (fast_one.cpu().double() - right).abs().max() <= 1e-3 * right.abs().max(), name


def test_the_gradient_of_the_projected_means_reaches_the_caller():
    """A slice of gsplat's tensor is no part of the image's graph; densification needs the gradient nevertheless."""
    means2d = torch.zeros(2, 1, 5, 2, requires_grad=True)
    through = means2d * 1.0
    sliced = gsplat_backend._without_camera_axis(through)
    (through.sum() * 3).backward()
    assert torch.equal(sliced.grad, torch.full((2, 5, 2), 3.0))
