"""How our contract maps to gsplat's arguments, seen by a stand-in that records them (gsplat itself needs CUDA)."""

import sys
from types import SimpleNamespace

import torch

from gaze_core.splat import gsplat_backend
from tests.splat.scenes import random_scene


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
