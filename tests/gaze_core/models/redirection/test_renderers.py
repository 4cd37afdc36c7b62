import math

import pytest
import torch

from gaze_core.errors import BadInput
from gaze_core.models.dit import DiTBlock
from gaze_core.models.redirection.renderers import RendererConfig, ShuffleBlock, make_renderer, upsample

KINDS = ["dit", "pixel_shuffle"]


def renderer(kind, raster_px=16, image_px=32):
    torch.manual_seed(0)
    config = RendererConfig(kind=kind, channels=8, token_width=16, depth=2, num_heads=2, patch_px=4)
    return make_renderer(config, 6, 10, raster_px, image_px)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("image_px", [16, 32, 64])
def test_initial_output_is_the_upsampled_raw_image(kind, image_px):
    features, code = torch.rand(2, 6, 16, 16), torch.randn(2, 10)
    image = renderer(kind, image_px=image_px)(features, code)
    expected = features[:, :3]
    for factor in [image_px // 16] if kind == "dit" else [2] * (image_px // 32):
        expected = upsample(expected, factor)
    torch.testing.assert_close(image, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_trained_after_two_steps(kind):
    model = renderer(kind)
    features, code, target = torch.rand(2, 6, 16, 16), torch.randn(2, 10), torch.rand(2, 3, 32, 32)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(4):  # zero-initialised outputs block the gradients of earlier layers at first
        optimizer.zero_grad()
        (model(features, code) - target).square().mean().backward()
        optimizer.step()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not idle


@pytest.mark.parametrize("kind", KINDS)
def test_code_changes_the_image_once_trained(kind):
    model = renderer(kind)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    features = torch.rand(1, 6, 16, 16)
    first, second = model(features, torch.zeros(1, 10)), model(features, torch.ones(1, 10))
    assert (first - second).abs().max() > 1e-4


def test_samples_of_a_batch_do_not_mix():
    model = renderer("dit")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    features, code = torch.rand(3, 6, 16, 16), torch.randn(3, 10)
    together = model(features, code)
    apart = torch.cat([model(features[i : i + 1], code[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_folded_attention_equals_the_plain_formula():
    torch.manual_seed(0)
    block = ShuffleBlock(8, 10, 2)
    x, code = torch.rand(2, 8, 5, 7), torch.randn(2, 10)
    pixels = x.flatten(2).transpose(1, 2)  # (b, p, c)
    scores = (pixels @ block.query(code)[:, :, None]) / math.sqrt(8)
    naive = (block.value(pixels) * scores.softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(block.pooled(x, code), naive)


def test_adaln_zero_block_starts_as_the_identity():
    block = DiTBlock(16, 2, 10)
    tokens = torch.randn(2, 5, 16)
    assert torch.equal(block(tokens, torch.randn(2, 10)), tokens)


@pytest.mark.parametrize(("raster_px", "image_px"), [(16, 24), (16, 48), (32, 16)])
def test_sizes_that_do_not_fit_are_refused_with_both_numbers(raster_px, image_px):
    with pytest.raises(BadInput, match=rf"image_px {image_px} .* raster_px {raster_px}"):
        renderer("dit", raster_px, image_px)
