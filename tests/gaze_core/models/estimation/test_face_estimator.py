"""The face estimator, freezing it, and the weights of earlier gaze trackers."""

import pytest
import torch
from torch import nn

from gaze_core.errors import BadInput
from gaze_core.models.estimation.face_estimator import FaceEstimator, FaceEstimatorConfig, import_gaze_tracker
from gaze_core.training.freezing import frozen, training_mode

SMALL = FaceEstimatorConfig(image_px=32, hidden=8)


@pytest.fixture(scope="module")
def tracker():
    """A torchvision ResNet-18 as earlier gaze trackers had it, with statistics that are not the initial ones."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = resnet18(weights=None)
    model.fc = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 2))
    model.train()
    with torch.no_grad():
        model(torch.rand(4, 3, 64, 64))
    return model.eval()


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv3_small_100", "regnety_002"])
def test_any_size_of_image_becomes_two_angles(backbone):
    model = FaceEstimator(SMALL.model_copy(update={"backbone": backbone})).eval()
    assert model(torch.rand(3, 3, 50, 50)).shape == (3, 2)


def test_a_frozen_backbone_keeps_weights_and_statistics():
    torch.manual_seed(0)
    model = FaceEstimator(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with frozen(model, ("backbone.*",)):
        training_mode(model)
        optimizer = torch.optim.Adam([w for w in model.parameters() if w.requires_grad], lr=0.1)
        for _ in range(2):
            loss = model(torch.rand(4, 3, 32, 32)).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias"}
    assert model.head[2].training  # dropout of the head is active
    assert not model.backbone.bn1.training


def test_a_backbone_that_is_not_frozen_learns():
    model = FaceEstimator(SMALL)
    model.train()
    before = model.backbone.bn1.running_mean.clone()
    model(torch.rand(4, 3, 32, 32)).sum().backward()
    assert not torch.equal(model.backbone.bn1.running_mean, before)
    assert model.backbone.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("prefix", ["", "model.", "module.backbone."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_earlier_tracker_gives_the_same_angles(tracker, tmp_path, prefix, wrapped):
    state = {f"{prefix}{name}": tensor for name, tensor in tracker.state_dict().items()}
    path = tmp_path / "gaze_tracker_endterm.pth"
    torch.save({"epoch": 3, "model_state_dict": state} if wrapped else state, path)
    model = import_gaze_tracker(path).eval()
    rgb = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(model(rgb), tracker(rgb))
    assert (model.config.image_px, model.config.hidden, model.config.mean) == (224, 256, (0, 0, 0))


def test_a_file_with_code_in_it_is_not_loaded(tmp_path):
    path = tmp_path / "gaze_tracker.pth"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(BadInput, match="not a file of tensors alone"):
        import_gaze_tracker(path)


def test_other_files_and_networks_are_refused_by_name(tracker, tmp_path):
    path = tmp_path / "x.pth"
    with pytest.raises(BadInput, match="no such file"):
        import_gaze_tracker(path)
    path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="not a file of tensors alone"):
        import_gaze_tracker(path)
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(BadInput, match="no ResNet-18 in it; its first tensors are weight"):
        import_gaze_tracker(path)
    state = tracker.state_dict()
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("layer3.1")}, path)
    with pytest.raises(BadInput, match="not a torchvision ResNet-18; missing or of another shape: layer3.1"):
        import_gaze_tracker(path)
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("fc.3")}, path)
    with pytest.raises(
        BadInput, match=r"expected fc of two linear layers, 512 to hidden to 2; found shapes \[\(256, 512\)\]"
    ):
        import_gaze_tracker(path)


def test_a_head_without_its_bias_is_refused(tracker, tmp_path):
    state = {name: tensor for name, tensor in tracker.state_dict().items() if name != "fc.3.bias"}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(BadInput, match="expected fc of two linear layers"):
        import_gaze_tracker(tmp_path / "x.pth")


def test_an_unknown_backbone_lists_its_neighbours():
    with pytest.raises(BadInput, match="timm has no network 'resnet19'; similar names: resnet"):
        FaceEstimator(FaceEstimatorConfig(backbone="resnet19"))
