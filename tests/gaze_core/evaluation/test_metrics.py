"""Known answers of the image metrics."""

import math

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from gaze_core.evaluation.metrics import MAX_PSNR_DB, psnr_db, ssim


@pytest.mark.parametrize(("difference", "expected_db"), [(0.1, 20.0), (0.01, 40.0), (1.0, 0.0)])
def test_psnr_of_a_constant_difference(difference, expected_db):
    target = torch.zeros(2, 3, 4, 4)
    torch.testing.assert_close(psnr_db(target + difference, target), torch.full((2,), expected_db))


def test_psnr_is_per_image_and_agrees_with_torchmetrics():
    target = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    image = (target + torch.tensor([0.02, 0.1, 0.3]).view(3, 1, 1, 1) * torch.sin(40 * target)).clamp(0, 1)
    expected = [peak_signal_noise_ratio(i, t, data_range=1.0) for i, t in zip(image, target, strict=True)]
    torch.testing.assert_close(psnr_db(image, target), torch.stack(expected))


def test_psnr_is_restricted_to_the_mask():
    target, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2, :] = 1
    image = torch.where(mask > 0, 0.1, 1.0).expand_as(target)
    torch.testing.assert_close(psnr_db(image, target, mask), torch.tensor([20.0]))


def test_psnr_stays_finite_for_equal_images_and_is_nan_without_pixels():
    image = torch.rand(1, 3, 4, 4)
    assert psnr_db(image, image).item() == pytest.approx(MAX_PSNR_DB)
    assert math.isnan(psnr_db(image, image, torch.zeros(1, 1, 4, 4)).item())


def test_ssim_of_equal_and_of_flat_images():
    # Without any structure only the brightness term is left: (2ab + c1) / (a^2 + b^2 + c1), c1 = 0.01^2.
    a, b = 0.25, 0.75
    image, target = torch.full((2, 3, 16, 16), a), torch.full((2, 3, 16, 16), b)
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    torch.testing.assert_close(ssim(image, target), torch.full((2,), expected), atol=1e-3, rtol=0)
    structured = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(ssim(structured, structured), torch.ones(1))


def test_ssim_falls_with_noise_image_by_image():
    target = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    values = ssim(target + torch.tensor([0.0, 0.05, 0.3]).view(3, 1, 1, 1) * noise, target)
    assert values[0] > values[1] > values[2]
