"""The UNet's interface, the gaze tokens, and the autoencoders."""

import os
from pathlib import Path

import pytest
import torch

from gaze_core.assets import FOLDERS_VARIABLE
from gaze_core.errors import ContractViolation
from gaze_core.models.one_shot.redirector import SIZES, GazeRedirector
from gaze_core.one_shot.autoencoders import AutoencoderSource, load_autoencoder, preferred_autoencoder
from tests.gaze_core.stages.one_shot.tiny_run import NETWORK


def latents(seed=0, count=2):
    return torch.randn(count, 4, 8, 12, generator=torch.Generator().manual_seed(seed))


def test_the_gaze_reaches_the_output():
    torch.manual_seed(0)
    model = GazeRedirector(NETWORK, 4).eval()
    gaze, head = torch.tensor([[0.1, 0.2], [0.1, 0.2]]), torch.zeros(2, 2)
    one = model(latents(), latents(1), gaze, head)
    other = model(latents(), latents(1), -gaze, head)
    assert one.shape == (2, 4, 8, 12)
    assert not torch.equal(one, other)
    assert not torch.equal(one, model(latents(), latents(1), gaze, head + 0.1))  # by default it gets the head, too


def test_gaze_alone_is_a_configuration():
    model = GazeRedirector(NETWORK.model_copy(update={"gaze_inputs": "gaze"}), 4).eval()
    gaze = torch.zeros(2, 2)
    same = model(latents(), latents(1), gaze, gaze), model(latents(), latents(1), gaze, gaze + 0.3)
    assert torch.equal(*same)
    assert model.gaze_mlp[0].in_features == 2
    linears = [layer for layer in model.gaze_mlp if isinstance(layer, torch.nn.Linear)]
    assert len(linears) == 4


def test_references_are_dropped_in_training_only():
    torch.manual_seed(0)
    model = GazeRedirector(NETWORK.model_copy(update={"reference_dropout": 0.99}), 4)
    gaze = torch.zeros(2, 2)
    without = model.eval()(latents(), torch.zeros(2, 4, 8, 12), gaze, gaze)
    assert torch.equal(model.train()(latents(), latents(1), gaze, gaze), without)
    assert not torch.equal(model.eval()(latents(), latents(1), gaze, gaze), without)


def test_the_published_size_has_the_published_channels():
    config = SIZES["musetalk"]
    assert (config.token_width, config.gaze_hidden, config.gaze_layers) == (384, 128, 4)
    with torch.device("meta"):
        model = GazeRedirector(config, 4)
    assert (model.unet.config.in_channels, model.unet.config.out_channels) == (8, 4)
    assert sum(p.numel() for p in model.unet.parameters()) > 800e6


def test_the_shipped_autoencoder():
    coder = load_autoencoder(AutoencoderSource())
    image = torch.linspace(0.2, 0.8, 64).expand(1, 3, 32, 64)
    latent = coder.encode(image)
    assert latent.shape == (1, coder.channels, 32 // coder.factor, 64 // coder.factor)
    assert (coder.decode(latent) - image).abs().mean() < 0.03
    assert load_autoencoder(AutoencoderSource(), coder.digest).digest == coder.digest
    with pytest.raises(ContractViolation, match="the checkpoint was trained with 000000000000"):
        load_autoencoder(AutoencoderSource(), "0" * 12)


def test_taef2_reconstructs_a_photograph(shared_data: Path, monkeypatch):
    folder = shared_data / "weights" / "taef2"
    monkeypatch.setenv(FOLDERS_VARIABLE, os.pathsep.join([str(folder)]))
    assert preferred_autoencoder().kind == "taef2"
    coder = load_autoencoder(AutoencoderSource(kind="taef2"))
    from gaze_core.preprocess.images import read_image

    photo = read_image(next((shared_data / "real_gaze" / "xgaze40").glob("*.jpg")))[100:228, 120:248]
    image = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        latent = coder.encode(image)
        made = coder.decode(latent).clamp(0, 1)
    assert latent.shape == (1, 32, 16, 16)
    assert -10 * (made - image).square().mean().log10() > 27


def test_without_taef2_the_shipped_one_is_preferred():
    assert preferred_autoencoder().kind == "small"
