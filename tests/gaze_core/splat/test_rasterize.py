"""The rasteriser: by hand, gradients of the reference, and the compiled backend against the reference."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from gaze_core.errors import BadInput
from gaze_core.splat.rasterize import choose_backend, rasterize
from tests.gaze_core.splat.scenes import INPUTS, random_scene

BACKENDS = ["reference", "numba"]


def one_gaussian(opacity=0.8, scale=0.01, position=(0.0, 0.0, 0.0), features=(1.0, 0.5, 0.0), backend="numba", px=8):
    """A round Gaussian 1 m in front of a camera whose axis meets the corner between four pixels."""
    K = torch.tensor([[[100.0, 0, px / 2], [0, 100, px / 2], [0, 0, 1]]])
    viewmat = torch.eye(4)[None].clone()
    viewmat[0, 2, 3] = 1.0
    return rasterize(
        torch.tensor([[position]]), torch.tensor([[[1.0, 0, 0, 0]]]), torch.full((1, 1, 3), scale),
        torch.tensor([[opacity]]), torch.tensor([[features]]), viewmat, K, (px, px), torch.ones(1, 3),
        backend=backend,
    )  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_gaussian_by_hand(backend):
    rendering = one_gaussian(backend=backend)
    # Standard deviation 100 px/m * 0.01 m = 1 px; variance 1 + 0.3. The nearest pixel centre is (0.5, 0.5) px away.
    alpha = 0.8 * math.exp(-0.5 * (0.5**2 + 0.5**2) / 1.3)
    assert rendering.alpha[0, 0, 4, 4].item() == pytest.approx(alpha, rel=1e-5)
    assert rendering.depth_m[0, 0, 4, 4].item() == pytest.approx(1.0, rel=1e-6)
    expected = [1.0, 0.5 * alpha + (1 - alpha), 1 - alpha]  # composited over white
    torch.testing.assert_close(rendering.features[0, :, 4, 4], torch.tensor(expected), atol=1e-6, rtol=0)
    torch.testing.assert_close(rendering.features[0, :, 3, 3], rendering.features[0, :, 4, 4])
    torch.testing.assert_close(rendering.means2d_px, torch.tensor([[[4.0, 4.0]]]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearer_gaussian_hides_the_further_one_by_its_alpha(backend):
    K = torch.tensor([[[100.0, 0, 4.5], [0, 100, 4.5], [0, 0, 1]]])
    means = torch.tensor([[[0.0, 0, 2], [0, 0, 1]]])  # the first in the list is the further one
    features = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    rendering = rasterize(
        means, torch.tensor([[[1.0, 0, 0, 0]] * 2]), torch.full((1, 2, 3), 0.05), torch.tensor([[0.5, 0.25]]),
        features, torch.eye(4)[None], K, (9, 9), backend=backend,
    )  # fmt: skip
    torch.testing.assert_close(rendering.features[0, :, 4, 4], torch.tensor([0.25, 0.75 * 0.5]))
    assert rendering.alpha[0, 0, 4, 4].item() == pytest.approx(1 - 0.75 * 0.5)
    assert rendering.depth_m[0, 0, 4, 4].item() == pytest.approx((0.25 * 1 + 0.375 * 2) / 0.625)


def test_gradients_of_the_reference_are_those_of_finite_differences():
    scene = random_scene(num_points=5, batch=1, channels=2, size_px=(7, 6))

    def render(*tensors):
        rendering = scene.render(rasterize, "reference", **dict(zip(INPUTS, tensors, strict=True)))
        return rendering.features, rendering.alpha, rendering.depth_m * rendering.alpha

    assert torch.autograd.gradcheck(render, [scene.tensors[name] for name in INPUTS], eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 5, 16, 33])
@pytest.mark.parametrize(("batch", "size_px"), [(1, (40, 24)), (3, (21, 17))])
def test_numba_agrees_with_the_float64_reference(channels, batch, size_px):
    reference = random_scene(120, batch, channels, size_px)
    fast = reference.to(torch.float32)
    rendered = [scene.render(rasterize, backend) for scene, backend in ((reference, "reference"), (fast, "numba"))]
    for name in ("features", "alpha", "depth_m"):
        torch.testing.assert_close(
            getattr(rendered[1], name).double(), getattr(rendered[0], name), atol=1e-5, rtol=1e-5
        )
    gradients = []
    for scene, rendering in zip((reference, fast), rendered, strict=True):
        weights = torch.linspace(-1, 1, rendering.features.numel(), dtype=rendering.features.dtype)
        total = (rendering.features.flatten() * weights).sum() + rendering.alpha.square().sum()
        total = total + (rendering.depth_m * rendering.alpha).square().sum()
        gradients.append(torch.autograd.grad(total, [scene.tensors[name] for name in INPUTS]))
    for name, exact, found in zip(INPUTS, *gradients, strict=True):
        error = (found.double() - exact).abs().max() / exact.abs().max()
        assert error <= 1e-4, f"{name}: {error:.1e}"


def test_means2d_carry_the_gradient_that_densification_needs():
    scene = random_scene(30, dtype=torch.float32)
    rendering = scene.render(rasterize, "numba")
    (gradient,) = torch.autograd.grad(rendering.features.square().sum(), rendering.means2d_px)
    assert gradient.abs().max() > 1e-3


def test_same_bits_whatever_the_number_of_threads_and_callers():
    scene = random_scene(200, batch=2, channels=8, size_px=(40, 150), dtype=torch.float32)

    def everything(_=None):
        rendering = scene.render(rasterize, "numba")
        gradients = torch.autograd.grad(rendering.features.square().sum(), [scene.tensors[n] for n in INPUTS])
        return [rendering.features.detach(), *gradients]

    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(everything())
    finally:
        torch.set_num_threads(before)
    with ThreadPoolExecutor(2) as callers:
        results += callers.map(everything, range(2))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", ["behind", "outside", "transparent", "none"])
def test_invisible_gaussians_leave_the_background_and_zero_gradients(backend, case):
    scene = random_scene(0 if case == "none" else 6, dtype=torch.float32)
    changes = {}
    if case in ("behind", "outside"):
        shift = torch.tensor([0, 0, -3.0] if case == "behind" else [5.0, 0, 0])
        changes["means"] = (scene.tensors["means"] + shift).detach().requires_grad_()
    elif case == "transparent":
        changes["opacities"] = torch.zeros_like(scene.tensors["opacities"]).requires_grad_()
    rendering = scene.render(rasterize, backend, **changes)
    expected = scene.tensors["background"][:, :, None, None].expand_as(rendering.features)
    assert torch.equal(rendering.features, expected)
    assert not rendering.alpha.any()
    rendering.features.sum().backward()
    for name in INPUTS[:-2]:
        gradient = (scene.tensors | changes)[name].grad
        assert gradient is None or not gradient.any(), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_opaque_gaussian_is_limited_and_its_opacity_has_no_gradient_there(backend):
    opacity = torch.ones(1, 1, requires_grad=True)
    rendering = rasterize(
        torch.tensor([[[0.0, 0, 1]]]), torch.tensor([[[1.0, 0, 0, 0]]]), torch.full((1, 1, 3), 10.0), opacity,
        torch.ones(1, 1, 1), torch.eye(4)[None], torch.tensor([[[10.0, 0, 0.5], [0, 10, 0.5], [0, 0, 1]]]), (1, 1),
        backend=backend,
    )  # fmt: skip
    assert rendering.alpha.item() == pytest.approx(0.999, abs=1e-6)
    rendering.alpha.sum().backward()
    assert opacity.grad.item() == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("opacities", "expected"),
    [
        ([1.0, 0.5], 0.001 * 0.5),  # behind an opaque one a thousandth is left
        ([0.9985, 0.5], 0.0015 * 0.5),  # below the limit as it is
        ([0.0039, 0.5], 0.5),  # below 1/255 it is not there
        ([0.0040, 0.5], 0.996 * 0.5),
    ],
)
def test_colour_seen_through_a_gaussian_in_front(backend, opacities, expected):
    """Two wide Gaussians before one pixel; only the one behind has a colour."""
    rendering = rasterize(
        torch.tensor([[[0.0, 0, 1], [0.0, 0, 2]]]), torch.tensor([[[1.0, 0, 0, 0]] * 2]), torch.full((1, 2, 3), 1000.0),
        torch.tensor([opacities]), torch.tensor([[[0.0], [1.0]]]), torch.eye(4)[None],
        torch.tensor([[[10.0, 0, 0.5], [0, 10, 0.5], [0, 0, 1]]]), (1, 1), backend=backend,
    )  # fmt: skip
    assert rendering.features.item() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", ["means", "quats_wxyz", "scales", "opacities", "features"])
def test_non_finite_input_is_refused_by_name(name):
    scene = random_scene(4, dtype=torch.float32)
    broken = scene.tensors[name].detach().clone()
    broken.view(-1)[1] = float("nan")
    with pytest.raises(BadInput, match=f"{name} has 1 non-finite"):
        scene.render(rasterize, "numba", **{name: broken})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("means", (2, 4, 2)),
        ("scales", (2, 3, 3)),
        ("opacities", (2, 4, 1)),
        ("viewmats", (1, 4, 4)),
        ("background", (3,)),
    ],
)
def test_input_of_a_wrong_shape_is_refused_by_name(name, shape):
    scene = random_scene(4, dtype=torch.float32)
    with pytest.raises(BadInput, match=f"{name} has shape .*{shape[-1]},?\\), expected"):
        scene.render(rasterize, "numba", **{name: torch.ones(shape)})


def test_a_backend_that_cannot_run_here_says_why():
    cpu = torch.device("cpu")
    with pytest.raises(BadInput, match="'gsplat' needs tensors on CUDA"):
        choose_backend("gsplat", cpu)
    with pytest.raises(BadInput, match="'numba' needs tensors on the CPU"):
        choose_backend("numba", torch.device("cuda"))
    with pytest.raises(BadInput, match="unknown backend 'metal'"):
        choose_backend("metal", cpu)
    assert choose_backend("auto", cpu) == "numba"
