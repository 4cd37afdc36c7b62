"""A small convolutional encoder for crops of 48 to 112 px, for training on a CPU."""

from jaxtyping import Float
from torch import Tensor, nn

_GROUPS = 8


class TinyEncoder(nn.Module):
    """Three strided convolutions with residual blocks: 1/8 of the side, `width` channels.

    Group normalisation depends on one image alone, so a batch that is divided among processes gives the same result.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _block(3, width // 4, stride=2),
            _block(width // 4, width // 2, stride=2),
            _Residual(width // 2),
            _block(width // 2, width, stride=2),
            _Residual(width),
        )

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c k k"]:
        """Feature maps."""
        out: Tensor = self.layers(rgb)
        return out


class _Residual(nn.Module):
    """A convolution block with a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = _block(width, width)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The maps plus the block's output."""
        out: Tensor = self.block(maps)
        return maps + out


def _block(num_in: int, num_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(min(_GROUPS, num_out), num_out), nn.ReLU())
