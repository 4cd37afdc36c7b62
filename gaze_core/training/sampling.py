"""The samples of each step: a pure function of seed and step, so resuming needs no sampler state."""

from functools import lru_cache

import torch

from gaze_core.reproducibility import generator


def step_indices(num_samples: int, batch_size: int, step: int, seed: int) -> list[int]:
    """Indices of the samples of `step`: consecutive slices of one permutation per epoch.

    The last, shorter slice of an epoch is filled up from the next epoch's permutation, so each batch has `batch_size`
    samples.
    """
    first = step * batch_size
    chosen: list[int] = []
    while len(chosen) < batch_size:
        epoch, offset = divmod(first + len(chosen), num_samples)
        chosen += _epoch_order(num_samples, seed, epoch)[offset : offset + batch_size - len(chosen)]
    return chosen


@lru_cache(maxsize=2)
def _epoch_order(num_samples: int, seed: int, epoch: int) -> list[int]:
    order: list[int] = torch.randperm(num_samples, generator=generator("epoch", seed, epoch)).tolist()
    return order
