"""Pretrained metric networks: known values where their weights are available, else the reasons."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.functional.image.lpips import _LPIPS
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import KernelInceptionDistance

from gaze_core import assets
from gaze_core.errors import ContractViolation, MissingArtifact
from gaze_core.evaluation.distribution import Inception, fid, kid
from gaze_core.evaluation.identity import FaceDescriptor
from gaze_core.evaluation.judge import CnnJudge
from gaze_core.evaluation.metric_networks import available, load_metric_networks
from gaze_core.evaluation.perceptual import Lpips, StLpips


class Itself(torch.nn.Module):
    """The first numbers of each image as its features, so that the result of a library can be computed."""

    num_features = 4

    def forward(self, rgb):
        return rgb.flatten(1)[:, :4].double()


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator).double()
    rendered = torch.randn(50, 4, generator=generator).double() @ mixing
    return rendered, torch.randn(60, 4, generator=generator).double() + 0.3


def test_fid_is_that_of_the_formula_and_of_torchmetrics(features):
    rendered, recorded = (part.numpy() for part in features)
    ours, theirs = np.cov(rendered.T), np.cov(recorded.T)
    root = scipy.linalg.sqrtm(ours @ theirs).real
    expected = ((rendered.mean(0) - recorded.mean(0)) ** 2).sum() + np.trace(ours + theirs - 2 * root)
    assert fid(*features) == pytest.approx(expected, rel=1e-6)
    library = _compute_fid(*(value for part in features for value in (part.mean(0), torch.cov(part.T))))
    assert fid(*features) == pytest.approx(library.item(), rel=1e-6)
    assert fid(features[0], features[0]) == pytest.approx(0, abs=1e-9)


def test_kid_is_the_unbiased_mmd_of_the_formula_and_of_torchmetrics(features):
    rendered, recorded = features

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    within = [
        (kernel(x, x).sum() - kernel(x, x).trace()) / (len(x) * (len(x) - 1)) for x in (rendered[:50], recorded[:50])
    ]
    expected = within[0] + within[1] - 2 * kernel(rendered[:50], recorded[:50]).mean()
    assert kid(rendered, recorded[:50]) == pytest.approx(expected.item(), rel=1e-9)
    metric = KernelInceptionDistance(feature=Itself(), subsets=1, subset_size=50)
    metric.real_features, metric.fake_features = [recorded[:50]], [rendered]
    assert kid(rendered, recorded[:50]) == pytest.approx(metric.compute()[0].item(), rel=1e-6)


def test_inception_gives_features_of_images_with_the_given_weights(tmp_path, monkeypatch):
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    monkeypatch.setattr(extractor, "load_state_dict_from_url", lambda *_, **__: pytest.fail("a download"))
    network = extractor.FeatureExtractorInceptionV3
    torch.manual_seed(0)
    stored = {}
    monkeypatch.setattr(network, "load_state_dict", lambda self, state: stored.update(self.state_dict()))
    torch.save({}, tmp_path / "weights.pth")
    Inception(tmp_path / "weights.pth")
    monkeypatch.undo()
    torch.save(stored, tmp_path / "weights.pth")  # random weights, of which only the wiring is of interest
    images = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    features = Inception(tmp_path / "weights.pth")(images)
    assert features.shape == (3, 2048)
    assert features.isfinite().all()
    again = Inception(tmp_path / "weights.pth")(images[1:2])
    torch.testing.assert_close(again, features[1:2], rtol=1e-4, atol=1e-6)


def write_st_lpips(path, seed=0):
    """Weights of the published file's layout, at random; the linear ones are positive, as fitted ones are."""
    generator = torch.Generator().manual_seed(seed)
    stored = {}
    shapes = [(0, 3, 64, 11), (5, 64, 192, 5), (9, 192, 384, 3), (11, 384, 256, 3), (13, 256, 256, 3)]
    for k, (layer, num_in, num_out, size) in enumerate(shapes):
        weight = torch.randn(num_out, num_in, size, size, generator=generator) / (num_in * size * size) ** 0.5
        stored[f"net.slice{k + 1}.{layer}.weight"] = weight
        stored[f"net.slice{k + 1}.{layer}.bias"] = torch.zeros(num_out)
        stored[f"lin{k}.model.1.weight"] = torch.rand(1, num_out, 1, 1, generator=generator)
    torch.save(stored, path)
    return path


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(3)
    target = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 8, generator=generator), size=64, mode="bicubic")
    return target.clamp(0, 1), torch.randn(target.shape, generator=generator)


def test_st_lpips_is_zero_for_equal_images_symmetric_and_grows_with_noise(tmp_path, images):
    target, noise = images
    model = StLpips.load(write_st_lpips(tmp_path / "weights.pth"))
    torch.testing.assert_close(model(target, target), torch.zeros(3))
    little, much = ((target + amount * noise).clamp(0, 1) for amount in (0.02, 0.2))
    assert (model(little, target) < model(much, target)).all()
    torch.testing.assert_close(model(much, target), model(target, much))
    torch.testing.assert_close(model(much, target)[1:2], model(much[1:2], target[1:2]), atol=1e-6, rtol=1e-4)


def test_other_weights_are_refused(tmp_path):
    torch.save({"net.slice1.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ContractViolation, match=r"other\.pth: expected the weights of ST-LPIPS"):
        StLpips.load(tmp_path / "other.pth")


def at_hand(name):
    if name not in available():
        pytest.skip(f"the weights of {name} are not on this machine")
    return assets.resolve(name)


def test_lpips_has_the_given_trunk_in_the_librarys_network(tmp_path, images):
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = torchvision.models.vgg16(weights=None).features.state_dict()
    features = {
        f"features.{name}": torch.randn(value.shape) / value[0].numel() ** 0.5 for name, value in shapes.items()
    }
    torch.save(features, tmp_path / "vgg.pth")
    library = _LPIPS(net="vgg", pnet_rand=True)
    for name, value in library.net.named_parameters():
        value.data.copy_(features[f"features.{name.partition('.')[2]}"])
    target, noise = images
    image = (target + 0.1 * noise).clamp(0, 1)
    expected = torch.cat(
        [library(*(x[k : k + 1] for x in (image, target)), normalize=True).flatten() for k in range(3)]
    )
    model = Lpips(tmp_path / "vgg.pth")
    torch.testing.assert_close(model(image, target), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model(target, target), torch.zeros(3))
    torch.save({}, tmp_path / "other.pth")
    with pytest.raises(ContractViolation, match=r"other\.pth: expected torchvision's VGG-16 weights"):
        Lpips(tmp_path / "other.pth")


def test_published_st_lpips_forgives_a_shift_more_than_noise(images):
    target, noise = images
    model = StLpips.load(at_hand("st_lpips"))
    shifted = target.roll(1, dims=-1)
    assert (5 * model(shifted, target) < model((target + 0.1 * noise).clamp(0, 1), target)).all()


def test_published_st_lpips_is_that_of_its_authors(monkeypatch, images):
    model = StLpips.load(at_hand("st_lpips"))
    for name in ("IPython", "torchsummary"):  # which their module imports, and does not need
        stub = types.ModuleType(name)
        vars(stub).update(embed=None, summary=None)
        monkeypatch.setitem(sys.modules, name, stub)
    theirs = pytest.importorskip("stlpips_pytorch.stlpips").LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    target, noise = images
    image = (target + 0.1 * noise).clamp(0, 1)
    expected = theirs(image, target, normalize=True).flatten().detach()
    torch.testing.assert_close(model(image, target), expected, rtol=1e-4, atol=1e-6)


def test_the_descriptor_knows_a_person_from_another(synthetic_pack):
    descriptor = FaceDescriptor(at_hand("face_descriptor"))
    faces, landmarks = synthetic_pack.rgb_on_white, synthetic_pack.landmarks_2d_px
    torch.testing.assert_close(descriptor.distance(faces, faces, landmarks), torch.zeros(len(faces)))
    little = descriptor.distance((faces * 0.9).clamp(0, 1), faces, landmarks)
    upside_down = descriptor.distance(faces.flip(-2), faces, landmarks)
    assert (little < 0.3).all()
    assert (upside_down > 0.5).all()


def test_an_unavailable_network_is_absent_with_a_reason(monkeypatch):
    nowhere = {name: replace(asset, package=asset.package and "absent==1") for name, asset in assets.ASSETS.items()}
    monkeypatch.setattr(assets, "ASSETS", nowhere)
    monkeypatch.setenv(assets.FOLDERS_VARIABLE, "")
    assert available() == ()
    loaded = load_metric_networks(CnnJudge(), ())
    assert set(loaded.absent) == {"lpips", "st_lpips", "identity_distance", "kid", "fid"}
    assert "is not on this machine; get weights-inception" in loaded.absent["kid"]
    assert "pip install absent==1" in loaded.absent["st_lpips"]
    with pytest.raises(MissingArtifact, match="metric network inception: weights-inception"):
        load_metric_networks(CnnJudge(), ("inception",))


def test_a_network_that_was_not_requested_is_absent_too():
    at_hand("st_lpips")
    assert load_metric_networks(CnnJudge(), ()).absent["st_lpips"] == "not asked for: st_lpips"
    assert "st_lpips" in load_metric_networks(CnnJudge(), ("st_lpips",)).digests
