"""The latent renderer, with a small autoencoder of random weights: tiling, freezing, gradients, refusals."""

import pytest
import torch

from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.models.kl_autoencoder import AutoencoderConfig, FrozenAutoencoder
from gaze_core.models.redirection.renderers import RendererConfig, make_renderer, upsample

diffusers = pytest.importorskip("diffusers", reason="the extra gazeworks[vae] is not installed")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder in the hub's layout; the image is four times as wide as the latent."""
    torch.manual_seed(0)
    model = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8), norm_num_groups=4, latent_channels=4, scaling_factor=0.5,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("vae")
    model.save_pretrained(folder)
    return str(folder)


def latent_renderer(source, patch_px=4, image_px=32):
    torch.manual_seed(1)
    config = RendererConfig(
        token_width=16, depth=2, num_heads=2, patch_px=patch_px, autoencoder=AutoencoderConfig(source=source)
    )
    return make_renderer(config, 6, 10, 16, image_px)


def test_initial_output_is_the_autoencoders_reconstruction_of_the_raw_image(source):
    model, frozen = latent_renderer(source), FrozenAutoencoder(AutoencoderConfig(source=source))
    features, code = torch.rand(2, 6, 16, 16), torch.randn(2, 10)
    copy = frozen.decode(frozen.encode(upsample(features[:, :3], 2)))
    torch.testing.assert_close(model(features, code), copy)


def test_latents_are_scaled_by_the_autoencoders_factor(source):
    frozen = FrozenAutoencoder(AutoencoderConfig(source=source))
    image = torch.rand(1, 3, 32, 32)
    raw = diffusers.AutoencoderKL.from_pretrained(source).encode(2 * image - 1).latent_dist.mode()
    torch.testing.assert_close(frozen.encode(image), 0.5 * raw)
    assert frozen.encode(image).shape == (1, 4, 8, 8)


def test_the_transformer_sees_the_whole_latent_and_its_patches_tile_it(source):
    model = latent_renderer(source)
    assert model.transformer.positions.shape[0] == 4  # 8 x 8 latent in patches of 4
    with pytest.raises(BadInput, match="a latent of 8 px .* a multiple of patch_px 3, so that patches tile it"):
        latent_renderer(source, patch_px=3)
    with pytest.raises(BadInput, match="expected a multiple of patch_px 16"):
        latent_renderer(source, patch_px=16)


def test_adapter_and_transformer_are_trained_while_the_autoencoder_is_frozen(source):
    model = latent_renderer(source)
    before = model.autoencoder.digest
    features = torch.rand(2, 6, 16, 16, requires_grad=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        model(features, torch.randn(2, 10)).square().mean().backward()
        optimizer.step()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert features.grad.abs().max() > 0  # through the encoder, to the Gaussians
    assert model.autoencoder.digest == before
    assert not [name for name in model.state_dict() if "encoder" in name]
    assert f"frozen, {sum(p.numel() for p in model.autoencoder._model.parameters())} parameters" in str(model.summary())


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(MissingArtifact, match="not found and cannot be downloaded .* config.json"):
        FrozenAutoencoder(AutoencoderConfig(source=str(tmp_path)))
