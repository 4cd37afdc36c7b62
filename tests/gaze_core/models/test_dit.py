"""The transformer against the equations of Peebles & Xie (2023), written out in numpy one token and head at a time."""

import math

import numpy as np
import torch
from torch import nn

from gaze_core.models.dit import DiT, DiTBlock, sinusoidal_grid

WIDTH, HEADS, CODE, TOKENS = 8, 2, 5, 6


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random instead of zero initial weights, in float64."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.double().eval()


def linear(layer, x):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def attention(block, tokens):
    """Each token of each head: a softmax over its products with all keys weighs the values."""
    q, k, v = np.split(linear(block.qkv, tokens), 3, axis=-1)
    size = tokens.shape[-1] // block.num_heads
    mixed = np.empty_like(q)
    for head in range(block.num_heads):
        own = slice(head * size, (head + 1) * size)
        for token in range(len(tokens)):
            scores = np.array([q[token, own] @ k[other, own] / math.sqrt(size) for other in range(len(tokens))])
            weights = np.exp(scores) / np.exp(scores).sum()
            mixed[token, own] = weights @ v[:, own]
    return linear(block.projection, mixed)


def block_of(block, tokens, code):
    """adaLN: x + gate (F(norm(x) (1 + scale) + shift)), for attention and then for the MLP."""
    six = linear(block.modulation[1], silu(code))
    shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = np.split(six, 6)
    tokens = tokens + gate_a * attention(block, normalised(tokens) * (1 + scale_a) + shift_a)
    hidden = gelu_tanh(linear(block.mlp[0], normalised(tokens) * (1 + scale_m) + shift_m))
    return tokens + gate_m * linear(block.mlp[2], hidden)


def transformer(dit, maps, code):
    """The whole network on one sample (c, h, w)."""
    p, channels = dit.patch_px, maps.shape[0]
    rows, columns = maps.shape[1] // p, maps.shape[2] // p
    kernel, bias = dit.patch_embed.weight.detach().numpy(), dit.patch_embed.bias.detach().numpy()
    patches = [maps[:, r * p : r * p + p, c * p : c * p + p] for r in range(rows) for c in range(columns)]
    tokens = np.stack([np.einsum("dcij,cij->d", kernel, patch) + bias for patch in patches])
    tokens = tokens + dit.positions.numpy()
    condition = linear(dit.code_embed[2], silu(linear(dit.code_embed[0], code)))
    for block in dit.blocks:
        tokens = block_of(block, tokens, condition)
    shift, scale = np.split(linear(dit.final_modulation[1], silu(condition)), 2)
    tokens = normalised(tokens) * (1 + scale) + shift
    kernel, bias = dit.unpatchify.weight.detach().numpy(), dit.unpatchify.bias.detach().numpy()
    out = np.empty((channels, rows * p, columns * p))
    for n, token in enumerate(tokens):
        r, c = divmod(n, columns)
        out[:, r * p : r * p + p, c * p : c * p + p] = np.einsum("d,dcij->cij", token, kernel) + bias[:, None, None]
    return out


def small_dit():
    return randomised(DiT(3, CODE, side_px=4, token_width=WIDTH, depth=2, num_heads=HEADS, patch_px=2))


def test_a_block_matches_the_published_equations():
    block = randomised(DiTBlock(WIDTH, HEADS, CODE))
    tokens, code = torch.randn(2, TOKENS, WIDTH).double(), torch.randn(2, CODE).double()
    expected = np.stack([block_of(block, *pair) for pair in zip(tokens.numpy(), code.numpy(), strict=True)])
    np.testing.assert_allclose(block(tokens, code).detach(), expected, atol=1e-10)


def test_the_transformer_matches_the_published_equations():
    dit = small_dit()
    maps, code = torch.randn(2, 3, 4, 4).double(), torch.randn(2, CODE).double()
    expected = np.stack([transformer(dit, *pair) for pair in zip(maps.numpy(), code.numpy(), strict=True)])
    np.testing.assert_allclose(dit(maps, code).detach(), expected, atol=1e-9)


def test_a_block_is_permutation_equivariant_and_each_token_attends_to_the_others():
    block = randomised(DiTBlock(WIDTH, HEADS, CODE))
    tokens, code = torch.randn(1, TOKENS, WIDTH).double(), torch.randn(1, CODE).double()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(block(tokens[:, order], code), block(tokens, code)[:, order])
    other = tokens.clone()
    other[:, 0, 0] += 1
    assert (block(other, code) - block(tokens, code))[:, 1:].abs().amax(dim=-1).min() > 1e-3


def test_the_transformer_depends_on_the_position_of_each_patch():
    """Permuted patches would give permuted outputs if the transformer had no position embedding."""
    dit = small_dit()
    maps, code = torch.randn(1, 3, 4, 4).double(), torch.randn(1, CODE).double()
    swapped = torch.cat([maps[..., 2:], maps[..., :2]], dim=-1)
    out = dit(swapped, code)
    unswapped = torch.cat([out[..., 2:], out[..., :2]], dim=-1)
    assert (unswapped - dit(maps, code)).abs().max() > 1e-2


def test_positions_by_hand():
    """Row in the first half of the channels, column in the second: sines, then cosines, of 1 and of 1/100."""
    found = sinusoidal_grid(2, 3, 8)
    row, column = 1, 2
    expected = [f(x * w) for x in (row, column) for f in (math.sin, math.cos) for w in (1.0, 0.01)]
    torch.testing.assert_close(found[row * 3 + column], torch.tensor(expected))
