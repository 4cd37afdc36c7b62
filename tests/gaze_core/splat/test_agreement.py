"""The compiled backend against the float64 oracle on scenes that hypothesis draws, and on degenerate ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaze_core.splat.rasterize import rasterize
from tests.gaze_core.splat.scenes import INPUTS, Scene, random_scene

CROWDED = {"means": lambda t: t * 0.1}
OCCLUDED = {"scales": lambda t: t * 20, "opacities": lambda t: t.clamp_min(0.85)}
CHANGES = {
    "random": {},
    "crowded": CROWDED,
    "occluded": OCCLUDED,
    "opaque": {"opacities": torch.ones_like},
    "nearly invisible": {"opacities": lambda t: t * 0.02},
    "coincident": {"means": lambda t: t[:, :1].expand_as(t)},
    "long and thin": {"scales": lambda t: t * t.new_tensor([20.0, 1.0, 0.01])},
    "half behind": {"means": lambda t: t * t.new_tensor([1.0, 1.0, 12.0])},
    "dust": {"scales": lambda t: torch.full_like(t, 1e-6)},
    "enormous": {"scales": lambda t: torch.full_like(t, 1e3)},
}


def changed(scene: Scene, kind: str) -> Scene:
    tensors = {name: t.detach().clone() for name, t in scene.tensors.items()}
    for name, change in CHANGES[kind].items():
        tensors[name] = change(tensors[name]).clone()
    # What the compiled backend is given is float32: the oracle must see the same numbers.
    return Scene({name: t.float().double().requires_grad_() for name, t in tensors.items()},
                 scene.Ks.float().double(), scene.size_px)  # fmt: skip


def gradients(scene: Scene, rendering, kept):
    kept = kept[:, None].to(rendering.features.dtype)
    weights = torch.linspace(-1, 1, rendering.features.numel(), dtype=kept.dtype).view_as(rendering.features)
    total = (rendering.features * weights * kept).sum() + (rendering.alpha * kept).square().sum()
    total = total + (rendering.depth_m * rendering.alpha * kept).sum()
    return [g.double() for g in torch.autograd.grad(total, [scene.tensors[name] for name in INPUTS])]


def assert_agree(oracle: Scene) -> None:
    """Values within 1e-5, gradients within 1e-4 of their largest.

    A Gaussian that covers a pixel by almost exactly 1/255, or closes it at almost exactly 1e-4, may be counted by one
    and not by the other: at most 1 % of the pixels, by no more than such a Gaussian weighs; they are left out of the
    loss whose gradients are compared.
    """
    fast = oracle.to(torch.float32)
    exact, found = (s.render(rasterize, backend) for s, backend in ((oracle, "reference"), (fast, "numba")))
    differences = torch.stack(
        [
            (found.features.double() - exact.features).abs().amax(dim=1),
            (found.alpha.double() - exact.alpha).abs()[:, 0],
            (found.depth_m.double() * found.alpha.double() - exact.depth_m * exact.alpha).abs()[:, 0],
        ]
    ).amax(dim=0)
    same = differences <= 1e-5
    assert (~same).sum() <= max(1, 0.01 * same.numel())
    assert differences.max() <= 2 / 255 * max(1, oracle.tensors["features"].abs().max().item())
    assert (exact.radii_px - found.radii_px).abs().max() <= 1
    right, fast_ones = gradients(oracle, exact, same), gradients(fast, found, same)
    for name, best, fast_one in zip(INPUTS, right, fast_ones, strict=True):
        assert fast_one.isfinite().all(), name
        error, largest = (fast_one - best).abs().max(), best.abs().max()
        assert error <= 1e-4 * largest + 1e-9, f"{name}: {error:.1e} of {largest:.1e}"


@given(
    kind=st.sampled_from(sorted(CHANGES)),
    num_points=st.integers(1, 60),
    batch=st.integers(1, 3),
    channels=st.sampled_from([1, 2, 3, 8, 9, 31, 32, 33, 40, 64]),
    size_px=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_drawn_scenes(kind, num_points, batch, channels, size_px, seed):
    assert_agree(changed(random_scene(num_points, batch, channels, size_px, seed), kind))


@pytest.mark.parametrize("kind", sorted(CHANGES))
@pytest.mark.parametrize("size_px", [(1, 1), (17, 9), (24, 40)])
def test_every_kind_at_awkward_sizes(kind, size_px):
    assert_agree(changed(random_scene(50, 2, 3, size_px), kind))


def test_a_larger_scene():
    """Thousands of Gaussians in many bands and tiles, where lists are long and most pixels end closed."""
    scene = random_scene(3000, 1, 16, (130, 100), seed=3)
    scene.tensors["scales"] = (scene.tensors["scales"].detach() * 0.2).requires_grad_()
    assert_agree(changed(scene, "random"))
