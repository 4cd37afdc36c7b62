"""Parameter counts layer by layer, one step of every size, the mirrored eye, pretrained encoders."""

import re
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from gaze_core.artifacts import file_sha256
from gaze_core.errors import BadInput
from gaze_core.models.estimation.encoder_weights import EncoderWeights, load_encoder
from gaze_core.models.estimation.gazetr import GAZETR_PRESETS, EyeFaceImages, GazeTR, GazeTRConfig

TINY = GAZETR_PRESETS["tiny"]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def images(number, config):
    shapes = [(number, 3, side, side) for side in (config.face_px, config.eye_px, config.eye_px)]
    return EyeFaceImages(*(torch.rand(shape) for shape in shapes))


def test_lite_has_the_published_parameters_in_each_layer():
    model = GazeTR(GAZETR_PRESETS["lite"])
    fusion = model.fusion
    # ResNet-18 without its classifier: timm and torchvision agree on 11,176,512.
    assert count(fusion.face_encoder) == count(fusion.eye_encoder) == 11_176_512
    layer = (4 * 512 * 512 + 4 * 512) + (512 * 2048 + 2048) + (2048 * 512 + 512) + 2 * (2 * 512)
    assert [count(one) for one in fusion.transformer.layers] == [layer] * 4
    assert count(fusion.transformer) == 12_609_536
    assert count(fusion.face_linear) + count(fusion.eye_linear) == 2 * (512 * 512 + 512) == 525_312
    assert count(fusion.face_pool) + count(fusion.eye_pool) + fusion.position.numel() == 17 + 5 + 3 * 512 == 1_558
    assert count(model.head) == 2 * 512 + (512 * 256 + 256) + (256 * 2 + 2) == 132_866
    assert count(model) == 35_622_296


def test_hybrid_has_the_published_parameters_in_each_layer():
    with torch.device("meta"):
        model = GazeTR(GAZETR_PRESETS["hybrid"])
    fusion = model.fusion
    assert count(fusion.face_encoder) == 85_798_656
    assert count(fusion.eye_encoder) == 21_665_664
    assert count(fusion.eye_proj) == 384 * 768 + 768
    block = (4 * 768 * 768 + 4 * 768) + 3 * 2 * 768 + (768 * 3072 + 3072) + (3072 * 768 + 768)
    assert [count(one) for one in (fusion.left_attention, fusion.right_attention)] == [block, block]
    assert count(model.head) == 2 * 1536 + (1536 * 512 + 512) + (512 * 256 + 256) + (256 * 2 + 2)
    assert count(model) == 122_860_674


def test_tiny_is_tiny():
    assert 300_000 < count(GazeTR(TINY)) < 1_000_000


@pytest.mark.parametrize("variant", ["tiny", "lite", "hybrid"])
def test_a_step_of_each_size_trains_every_parameter(variant):
    torch.manual_seed(0)
    model = GazeTR(GAZETR_PRESETS[variant])
    out = model(images(1 if variant != "tiny" else 2, model.config))
    assert out.gaze_rad.shape == (len(out.gaze_rad), 2)
    assert out.token.shape[1] == model.config.token_width
    out.gaze_rad.square().sum().backward()
    # Timm's ResNets start each branch at zero, so some gradients are zero in the first step, but none is missing.
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None]
    assert sum(bool(gradient.any()) for gradient in gradients.values()) > 0.5 * len(gradients)


def test_with_a_mirrored_eye_both_crops_go_through_the_encoder_nose_to_the_same_side():
    torch.manual_seed(0)
    seen = []
    for mirrored in (False, True):
        model = GazeTR(TINY.model_copy(update={"mirror_left_eye": mirrored}))
        model.fusion.eye_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        given = images(1, TINY)
        model(given)
    plain, flipped = seen
    expected = (given.left_eye - model.mean) / model.std
    assert torch.equal(flipped[:1], expected.flip(-1))
    assert torch.equal(flipped[1:], (given.right_eye - model.mean) / model.std)
    assert plain.shape == flipped.shape


def test_images_of_another_size_are_resized():
    torch.manual_seed(0)
    model = GazeTR(TINY).eval()
    given = EyeFaceImages(torch.rand(1, 3, 112, 112), torch.rand(1, 3, 56, 56), torch.rand(1, 3, 56, 56))
    assert model(given).gaze_rad.shape == (1, 2)


def test_a_file_of_torchvision_s_names_starts_the_encoders(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "resnet18.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    weights = EncoderWeights(path=path, sha256=file_sha256(path))
    model = GazeTR(GazeTRConfig(face_weights=weights))
    before = model.fusion.eye_encoder.conv1.weight.clone()
    model.load_pretrained()
    assert torch.equal(model.fusion.face_encoder.conv1.weight, timm_weight(path))
    assert torch.equal(model.fusion.eye_encoder.conv1.weight, before)


def timm_weight(path):
    from safetensors.torch import load_file

    return load_file(path)["conv1.weight"]


def test_what_is_no_encoder_is_refused_in_a_word(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(2)}, path)
    encoder = GazeTR(TINY).fusion.face_encoder
    with pytest.raises(BadInput, match="weights of another network; missing or of another shape: layers"):
        load_encoder(encoder, EncoderWeights(path=path, sha256=file_sha256(path)))
    with pytest.raises(BadInput, match="sha256 .*, expected 0000"):
        load_encoder(encoder, EncoderWeights(path=path, sha256="0" * 64))
    with pytest.raises(BadInput, match="no such file; expected the weights of an encoder"):
        load_encoder(encoder, EncoderWeights(path=tmp_path / "none.pth", sha256="0" * 64))
    with pytest.raises(
        BadInput, match=re.escape("timm has no pretrained weights 'resnet18.none'; similar ids: resnet18")
    ):
        load_encoder(encoder, EncoderWeights(timm_id="resnet18.none"))


def test_weights_that_cannot_be_downloaded_are_named(monkeypatch):
    def offline(*_, **__):
        raise OSError("Cannot reach the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BadInput, match="not on this machine and cannot be downloaded .*Cannot reach.*random weights"):
        load_encoder(torch.nn.Identity(), EncoderWeights(timm_id="resnet18.a1_in1k"))


def test_tiny_reads_the_head_pose_and_does_without_it_where_it_is_unknown():
    torch.manual_seed(0)
    model, given = GazeTR(TINY).eval(), images(2, TINY)
    poses = [torch.zeros(2, 2), torch.full((2, 2), 0.3), torch.full((2, 2), torch.nan), None]
    level, turned, unknown, none = (model(replace(given, head_rad=pose)).gaze_rad for pose in poses)
    assert torch.equal(unknown, none)
    assert not torch.allclose(level, turned)
    assert not torch.allclose(level, unknown)  # unknown is not the same as straight ahead
