"""Perceptual distance: the distance of two images in the features of a network trained for classification."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch._weights_only_unpickler import UnpicklingError  # type: ignore[attr-defined]  # what torch.load raises
from torch.nn import functional

from gaze_core.errors import BadInput

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, on which the network was trained
_BLOCK_ENDS = (3, 8, 15, 22)  # relu1_2, relu2_2, relu3_3 and relu4_3 in torchvision's numbering
_MIN_SIDE_PX = 16


class VggDistance(nn.Module):
    """Mean squared distance of unit-length VGG-16 features at four depths.

    LPIPS (Zhang et al. 2018) without its learned weights, which its authors report as the "net" baseline; LPIPS itself
    is an evaluation metric here, so it is no loss. Frozen; gradients reach the first image.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path) -> None:
        """`weights` is torchvision's file for VGG-16 (`gaze_core.assets`, name `vgg16`).

        Raises:
            BadInput: the file does not contain these weights.
        """
        super().__init__()
        with torch.device("meta"):  # nothing is allocated for the classifier, nine tenths of the network
            from torchvision.models import vgg16  # takes seconds

            self.features = vgg16(weights=None).features
        try:
            stored = torch.load(weights, weights_only=True, map_location="cpu", mmap=True)
            own = {
                name.removeprefix("features."): value for name, value in stored.items() if name.startswith("features.")
            }
            self.features.load_state_dict(own, assign=True)
        except (OSError, RuntimeError, ValueError, AttributeError, UnpicklingError) as error:
            raise BadInput(f"{weights}: expected torchvision's VGG-16 weights ({error})") from error
        self.features = self.features[: _BLOCK_ENDS[-1] + 1]
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
        """Mean over the batch; 0 for equal images in [0, 1]."""
        if min(image.shape[-2:]) < _MIN_SIDE_PX:
            raise BadInput(f"images of {image.shape[-1]} x {image.shape[-2]} px; VGG needs at least {_MIN_SIDE_PX} px")
        with torch.no_grad():
            target_maps = self._maps(target)
        pairs = zip(self._maps(image), target_maps, strict=True)
        return torch.stack([(a - b).square().sum(dim=1).mean() for a, b in pairs]).sum()

    def _maps(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        x, maps = (image - self.mean) / self.std, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in _BLOCK_ENDS:
                maps.append(functional.normalize(x, dim=1, eps=1e-10))
        return maps
