"""Perceptual distances between images: LPIPS, and ST-LPIPS, which tolerates a shift of a pixel.

ST-LPIPS (Ghildyal & Liu 2022, "Shift-tolerant perceptual similarity metric") is AlexNet with blur in every
downsampling step, and linear weights fitted to human judgements. Its values are not comparable with those of LPIPS.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.errors import ContractViolation, MissingArtifact

_CHUNK = 8
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of ImageNet's colours, for images in [-1, 1]
_WIDTHS = (64, 192, 384, 256, 256)


class StLpips(nn.Module):
    """The distance of image pairs in [0, 1], at least 32 px wide; 0 for equal ones. Lower is better."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *_WIDTHS)
        kernels, paddings = (11, 5, 3, 3, 3), (2, 2, 1, 1, 1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(num_in, num_out, kernel, padding=padding)
            for num_in, num_out, kernel, padding in zip(widths[:-1], widths[1:], kernels, paddings, strict=True)
        )
        self.weights = nn.ParameterList(torch.ones(1, width, 1, 1) for width in _WIDTHS)

    @classmethod
    def load(cls, path: Path) -> "StLpips":
        """The published weights.

        Raises:
            ContractViolation: the file holds something else.
        """
        model = cls()
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(
                {
                    ours: stored[theirs]
                    for k, layer in enumerate((0, 5, 9, 11, 13))
                    for ours, theirs in (
                        (f"convolutions.{k}.weight", f"net.slice{k + 1}.{layer}.weight"),
                        (f"convolutions.{k}.bias", f"net.slice{k + 1}.{layer}.bias"),
                        (f"weights.{k}", f"lin{k}.model.1.weight"),
                    )
                }
            )
        except (KeyError, RuntimeError, TypeError) as error:
            raise ContractViolation(f"{path}: expected the weights of ST-LPIPS (AlexNet), found {error!r}") from error
        return model.eval().requires_grad_(False)

    def forward(self, image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """One distance for each pair."""
        pairs = zip(image.split(_CHUNK), target.split(_CHUNK), strict=True)
        return torch.cat([self._distance(*pair) for pair in pairs])

    def _distance(self, image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        distance = image.new_zeros(len(image))
        for ours, theirs, weight in zip(self._features(image), self._features(target), self.weights, strict=True):
            squared = (functional.normalize(ours, dim=1) - functional.normalize(theirs, dim=1)).square()
            distance = distance + (squared * weight).sum(1).mean((1, 2))
        return distance

    def _features(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        shift, scale = (rgb.new_tensor(values)[:, None, None] for values in (_SHIFT, _SCALE))
        x = (2 * rgb - 1 - shift) / scale
        first, second, third, fourth, fifth = self.convolutions
        features = [functional.relu(_blur_down(first(x)))]
        for convolution in (second, third):
            pooled = functional.max_pool2d(features[-1], 3, 1)
            features.append(functional.relu(convolution(_blur_down(pooled))))
        for convolution in (fourth, fifth):
            features.append(functional.relu(convolution(features[-1])))
        return features


class Lpips(nn.Module):
    """LPIPS v0.1 (Zhang et al. 2018) of image pairs in [0, 1], by torchmetrics, on VGG-16. Lower is better."""

    def __init__(self, path: Path) -> None:
        """`path` is torchvision's file for VGG-16; the linear weights come with torchmetrics.

        Raises:
            MissingArtifact: torchvision is not installed.
            ContractViolation: the file holds something else.
        """
        super().__init__()
        try:
            from torchmetrics.functional.image.lpips import _LPIPS  # takes seconds

            self.network = _LPIPS(net="vgg", pnet_rand=True)
        except ModuleNotFoundError as error:
            raise MissingArtifact("the package torchvision is not installed; pip install torchvision") from error
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            for part in (getattr(self.network.net, f"slice{k}") for k in range(1, 6)):
                for number, layer in part.named_children():
                    own = {name: stored[f"features.{number}.{name}"] for name, _ in layer.named_parameters()}
                    layer.load_state_dict(own)
        except (KeyError, RuntimeError, TypeError) as error:
            raise ContractViolation(f"{path}: expected torchvision's VGG-16 weights, found {error!r}") from error
        self.eval().requires_grad_(False)

    def forward(self, image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """One distance for each pair."""
        pairs = zip(image.split(_CHUNK), target.split(_CHUNK), strict=True)
        return torch.cat([self.network(*pair, normalize=True).flatten() for pair in pairs])


def _blur_down(maps: Tensor) -> Tensor:
    """Every second pixel of the maps after a binomial filter of 3 x 3, with a reflected border of two pixels."""
    line = maps.new_tensor([0.25, 0.5, 0.25])
    filters = (line[:, None] * line).expand(maps.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(maps, (2,) * 4, mode="reflect"), filters, stride=2, groups=maps.shape[1])
