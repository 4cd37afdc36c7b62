"""Seeds derived from names and numbers, determinism and the choice of the device."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gaze_core.config import Runtime
from gaze_core.errors import BadInput


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on all parts and is unrelated for different parts."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(*parts: int | str) -> None:
    """Seeds Python, NumPy and torch; called before every step, so a resumed run needs no stored generator state."""
    seed = derived_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator(*parts: int | str) -> torch.Generator:
    """A separate CPU generator seeded from these parts."""
    return torch.Generator().manual_seed(derived_seed(*parts))


def choose_device(runtime: Runtime) -> torch.device:
    """The device requested by `runtime`.

    Raises:
        BadInput: CUDA is requested but not available.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise BadInput("device 'cuda' was requested, but torch finds no CUDA device; use --device cpu or auto")
    if runtime.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(runtime.device)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic torch kernels on a CPU, mainly for gradients of indexing.

    On CUDA nothing changes: some kernels have no deterministic version, others become several times slower.
    """
    settings: Any = torch.utils.deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), settings.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        settings.fill_uninitialized_memory = False  # costs time, and nothing here reads such memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
