import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from gaze_core.losses.disentangle import orthogonality
from gaze_core.losses.image import dissimilarity, masked_l1, opacity_regulariser, silhouette
from gaze_core.losses.mesh import laplacian_smoothness


def test_masked_l1_by_hand():
    image, target = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    target[:, :, 1] = 0.5
    mask = torch.tensor([[[[1.0, 1], [1, 0]]]])
    # Two pixels differ by 1 and one by 0.5; the fourth is outside.
    assert masked_l1(image, target, mask).item() == pytest.approx(2.5 / 3)
    assert masked_l1(image, target, torch.zeros_like(mask)).item() == 0


def test_masked_l1_counts_each_image_by_its_weight():
    image, target, mask = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2), torch.ones(2, 1, 2, 2)
    target[1] = 3
    # The images differ by 1 and by 3: (1 * 1.5 + 3 * 0.5) / 2.
    assert masked_l1(image, target, mask, torch.tensor([1.5, 0.5])).item() == pytest.approx(1.5)
    assert masked_l1(image, target, mask).item() == masked_l1(image, target, mask, torch.ones(2)).item() == 2


def test_dissimilarity_agrees_with_torchmetrics():
    torch.manual_seed(0)
    image, target = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    image = 0.5 * image + 0.5 * target
    expected = structural_similarity_index_measure(image, target, data_range=1.0)
    assert 1 - dissimilarity(image, target).item() == pytest.approx(expected.item(), abs=1e-5)


def test_masked_dissimilarity_sees_only_the_mask():
    image, target, mask = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    target[..., 16:] = image[..., 16:]
    mask[..., 24:] = 1  # further than half a window from where the images differ
    assert dissimilarity(image, target, mask).item() == pytest.approx(0, abs=1e-6)
    assert dissimilarity(image, target, 1 - mask).item() > 0.3


def test_dissimilarity_of_equal_images_is_zero():
    image = torch.rand(1, 3, 16, 16)
    assert dissimilarity(image, image).item() == pytest.approx(0, abs=1e-6)


def test_silhouette_by_hand():
    alpha, mask = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    alpha[..., 0, :], mask[..., :, 0] = 1, 1  # one pixel in common, three in the union
    observed = torch.ones_like(mask)
    assert silhouette(alpha, mask, observed).item() == pytest.approx(2 / 3)
    observed[..., 1, 0] = 0  # the pixel that alpha misses lies outside of the image
    assert silhouette(alpha, mask, observed).item() == pytest.approx(1 / 2)


def test_laplacian_by_hand():
    # A regular tetrahedron: each vertex is 4/3 of its distance from the centre away from its neighbours' mean.
    vertices = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    assert laplacian_smoothness(vertices, faces).item() == pytest.approx(3 * (4 / 3) ** 2)


def test_orthogonality_by_hand_and_with_gradient():
    x, y = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    assert orthogonality(x, x, y).item() == pytest.approx(0)
    assert orthogonality(y, x, y).item() == pytest.approx(1)
    assert orthogonality(-y, y, y).item() == pytest.approx(2)
    gaze = torch.tensor([[[1.0, 1.0]]], requires_grad=True)
    orthogonality(gaze, x, y).backward()
    assert gaze.grad.abs().max() > 0.1


def test_opacity_regulariser_counts_opacity_outside_the_observed_pixels():
    alpha, observed = torch.full((1, 1, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    assert opacity_regulariser(alpha, observed) == 0
    observed[..., :2] = 0
    assert opacity_regulariser(alpha, observed).item() == pytest.approx(0.25)
