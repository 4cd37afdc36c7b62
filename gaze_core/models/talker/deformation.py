"""Spatial-audio attention: each Gaussian asks the tokens of a frame how to move (GaussianTalker, Cho et al. 2024)."""

import math

from jaxtyping import Bool, Float
from torch import Tensor, nn

from gaze_core.models.talker.config import TalkerConfig
from gaze_core.models.talker.fields import offset_head

SIZES = {"position": 3, "scale": 3, "rotation": 4, "opacity": 1}


class CrossAttention(nn.Module):
    """Attention of points to a few tokens, then a feed-forward layer, each with a residual and a norm after it."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, points: Float[Tensor, "c n d"], tokens: Float[Tensor, "b t d"], seen: Bool[Tensor, "n t"]
    ) -> Float[Tensor, "b n d"]:
        """Points of one canonical head (c = 1) or of each frame (c = b); a point attends to the tokens it has `seen`."""
        query, key, value = (
            self._heads(self.query(points)),
            self._heads(self.key(tokens)),
            self._heads(self.value(tokens)),
        )
        # Tokens before points: a softmax over the few tokens is faster along the outer axis.
        scores = key @ query.transpose(-1, -2) / math.sqrt(query.shape[-1])  # (b, heads, t, n)
        weights = scores.masked_fill(~seen.T, -math.inf).softmax(dim=-2)
        attended = (weights.transpose(-1, -2) @ value).transpose(1, 2).flatten(2)
        first = self.norms[0](points + self.dropout(self.out(attended)))
        second: Tensor = self.norms[1](first + self.dropout(self.feed_forward(first)))
        return second

    def _heads(self, values: Float[Tensor, "b n d"]) -> Float[Tensor, "b h n k"]:
        return values.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class Deformation(nn.Module):
    """Offsets of the configured attributes of each point, for each frame."""

    def __init__(self, config: TalkerConfig) -> None:
        super().__init__()
        width = config.width
        self.layers = nn.ModuleList(
            CrossAttention(width, config.num_heads, config.dropout) for _ in range(config.num_layers)
        )
        sizes = SIZES | {"color": 3 * config.num_sh}
        self.heads = nn.ModuleDict({name: offset_head(width, 2 * width, sizes[name]) for name in config.deformed})

    def forward(
        self, features: Float[Tensor, "n d"], tokens: Float[Tensor, "b t d"], seen: Bool[Tensor, "n t"]
    ) -> dict[str, Tensor]:
        """Raw offsets (b, n, size) by attribute."""
        points = features[None]
        for layer in self.layers:
            points = layer(points, tokens, seen)
        return {name: head(points) for name, head in self.heads.items()}
