"""Which samples each step sees: a pure function of (seed, rank, step), so resuming needs no sampler state."""

import torch

from gaze_core.reproducibility import generator


def step_indices(num_samples: int, batch_size: int, step: int, seed: int, rank: int = 0, world: int = 1) -> list[int]:
    """Positions of the samples of `step`: consecutive slices of one permutation per epoch, shared between ranks.

    An epoch's last, short slice is filled from the next epoch's permutation, so each batch has `batch_size` samples.
    """
    first = (step * world + rank) * batch_size
    chosen: list[int] = []
    while len(chosen) < batch_size:
        epoch, offset = divmod(first + len(chosen), num_samples)
        order = torch.randperm(num_samples, generator=generator("epoch", seed, epoch)).tolist()
        chosen += order[offset : offset + batch_size - len(chosen)]
    return chosen
