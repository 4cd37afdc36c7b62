"""KID and FID: distances between the sets of rendered and recorded images in Inception feature space."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaze_core.errors import MissingArtifact

_CHUNK = 16
MIN_KID, MIN_FID = 10, 2048
"""Least number of images: KID is too noisy with fewer; FID's covariance of 2048 features needs at least 2048."""


class Inception(nn.Module):
    """2048 features of each image in [0, 1], by the network of torch-fidelity; what published KID and FID use."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise MissingArtifact("the package torch-fidelity is not installed; pip install torch-fidelity") from error
        self.network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2048"]:
        """Features, in chunks."""
        images = (rgb.clamp(0, 1) * 255).round().byte()
        return torch.cat([self.network(part)[0] for part in images.split(_CHUNK)]).double()


def kid(rendered: Float[Tensor, "n f"], recorded: Float[Tensor, "m f"]) -> float:
    """Kernel Inception distance: unbiased squared MMD with kernel (x.y / f + 1)^3, over all images at once.

    Lower is better; about 0 for sets of the same distribution, slightly negative by chance (Binkowski et al. 2018).
    """
    from torchmetrics.image.kid import poly_mmd  # takes seconds

    return float(poly_mmd(recorded, rendered))


def fid(rendered: Float[Tensor, "n f"], recorded: Float[Tensor, "m f"]) -> float:
    """Frechet Inception distance of two normal distributions: |m - m'|^2 + tr(S + S' - 2 (S S')^0.5).

    Lower is better, 0 for equal sets. Too high for few images (Heusel et al. 2017).
    """
    mean = (rendered.mean(0) - recorded.mean(0)).square().sum()
    ours, theirs = torch.cov(rendered.T), torch.cov(recorded.T)
    # The eigenvalues of a product of covariances are real and not negative, apart from rounding.
    root = torch.linalg.eigvals(ours @ theirs).real.clamp_min(0).sqrt().sum()
    return float(mean + ours.trace() + theirs.trace() - 2 * root)
