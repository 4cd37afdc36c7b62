"""The published building blocks: the point network, and the renderer that upsamples 128 to 512 px."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gaze_core.models.official.layout import (
    COLOR_CHANNELS,
    RENDERER_BLOCKS,
    SHAPE_CODE_WIDTH,
    layer_widths,
    skip_layer,
)

UPSAMPLING = 2**RENDERER_BLOCKS


class PointMLP(nn.Module):
    """MLP over N points that share one code, with a skip connection of its input to the middle (`skip_layer`).

    The part of a layer that acts on the code is computed once for all points, which is exact.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.skip = skip_layer(widths)
        self.layers = nn.ModuleList([nn.Linear(*pair) for pair in layer_widths(widths)])

    def forward(self, points: Float[Tensor, "n d"], code: Float[Tensor, " e"]) -> Float[Tensor, "n o"]:
        hidden = points
        for index, layer in enumerate(self.layers):
            if index:
                hidden = functional.leaky_relu(hidden, 0.01)
            if index == self.skip:
                hidden = torch.cat([hidden, points], dim=-1)
            hidden = _linear(layer, hidden, code if index in (0, self.skip) else None)
        return hidden


def _linear(layer: nn.Module, points: Float[Tensor, "n d"], code: Tensor | None) -> Float[Tensor, "n o"]:
    assert isinstance(layer, nn.Linear)
    if code is None:
        return layer(points)
    width = points.shape[-1]
    return functional.linear(points, layer.weight[:, :width], layer.bias + layer.weight[:, width:] @ code)


class OfficialRenderer(nn.Module):
    """Feature raster and shape code to the image, upsampled by 4, in [0, 1] by a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        width = COLOR_CHANNELS
        self.to_rgb = nn.ModuleList([nn.Conv2d(width, 3, 1) for _ in range(RENDERER_BLOCKS + 1)])
        self.blocks = nn.ModuleList([UpsamplingBlock(width) for _ in range(RENDERER_BLOCKS)])
        self.key, self.value = nn.Linear(width, SHAPE_CODE_WIDTH), nn.Linear(width, width)

    def forward(self, features: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b 3 H W"]:
        rgb, x = self.to_rgb[0](features), features
        for block, to_rgb in zip(self.blocks, self.to_rgb[1:], strict=True):
            x = block(x)
            x = x + self.pooled(x, code)[:, :, None, None]
            rgb = blurred(functional.interpolate(rgb, scale_factor=2, mode="bilinear")) + to_rgb(x)
        return torch.sigmoid(rgb)

    def pooled(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b c"]:
        """Attention over all pixels with the code as the only query; both resolutions share these weights.

        score = (Wk x + bk) . q / sqrt(e) = x . (Wk^T q) / sqrt(e) + a constant, which the softmax drops, and
        sum_p a_p (Wv x_p + bv) = Wv (sum_p a_p x_p) + bv: no tensor of size pixels x code is allocated.
        """
        pixels = x.flatten(2)  # (b, c, hw)
        query = code @ self.key.weight / code.shape[-1] ** 0.5  # (b, c)
        weights = torch.einsum("bcp,bc->bp", pixels, query).softmax(dim=-1)
        return self.value(torch.einsum("bcp,bp->bc", pixels, weights))


class UpsamplingBlock(nn.Module):
    """Upsamples by 2 with a pixel shuffle and a blur, then mixes channels. Only the blur uses neighbouring pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), nn.LeakyReLU(0.2), nn.Conv2d(2 * width, 4 * width, 1), nn.LeakyReLU(0.2)
        )
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        # The four copies are concatenated, so the shuffle takes the four subpixels of a pixel from four different channels.
        widened = self.widen(x) + x.repeat(1, 4, 1, 1)
        return functional.leaky_relu(self.mix(blurred(functional.pixel_shuffle(widened, 2))), 0.2)


def blurred(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """[1, 2, 1] / 4 along rows and columns; reflection padding without repeating the border."""
    taps = image.new_tensor([0.25, 0.5, 0.25])
    kernel = (taps[:, None] * taps).expand(image.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="reflect"), kernel, groups=image.shape[1])
