"""The perceptual loss, with random weights in torchvision's layout: what it measures and what it refuses."""

import pytest
import torch
from torchvision.models import vgg16

from gaze_core.errors import BadInput
from gaze_core.losses.perceptual import VggDistance


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    with torch.device("meta"):
        layers = vgg16(weights=None).features.state_dict()
    random = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save(
        {
            f"features.{name}": torch.randn(value.shape, generator=random) * (2 / max(1, value[0].numel())) ** 0.5
            for name, value in layers.items()
        },
        path,
    )
    return path


@pytest.fixture(scope="module")
def distance(weights):
    return VggDistance(weights)


def test_equal_images_have_no_distance_and_others_do(distance):
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert distance(image, image).item() == 0
    near, far = (image + amount * torch.randn_like(image) for amount in (0.02, 0.3))
    assert 0 < distance(near, image) < distance(far, image)


def test_is_the_mean_over_images_of_squared_distances_of_unit_features(distance):
    a, b = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(2)).unbind(0)
    together = distance(a, b)
    apart = torch.stack([distance(a[i : i + 1], b[i : i + 1]) for i in range(2)]).mean()
    torch.testing.assert_close(together, apart)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x, y = ((p - mean.view(3, 1, 1)) / std.view(3, 1, 1) for p in (a, b))
    expected = 0
    for number, layer in enumerate(distance.features):
        x, y = layer(x), layer(y)
        if number in (3, 8, 15, 22):  # the last activation of each of the first four blocks
            expected += 2 * (1 - torch.cosine_similarity(x, y, dim=1)).mean()
    torch.testing.assert_close(together, expected)


def test_gradients_reach_the_image_and_not_the_network(distance):
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    distance(image, torch.rand(1, 3, 32, 32)).backward()
    assert image.grad.abs().max() > 0
    assert not [p for p in distance.parameters() if p.requires_grad or p.grad is not None]


def test_another_file_is_refused(tmp_path, distance):
    for content in (b"not a file of torch", None):
        path = tmp_path / "vgg.pth"
        if content:
            path.write_bytes(content)
        else:
            torch.save({"features.0.weight": torch.zeros(1)}, path)
        with pytest.raises(BadInput, match="expected torchvision's VGG-16 weights"):
            VggDistance(path)
    with pytest.raises(BadInput, match="8 x 8 px; VGG needs at least 16"):
        distance(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))
