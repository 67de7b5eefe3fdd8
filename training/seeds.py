"""Random numbers as functions of (seed, purpose, position): any step can be drawn again on its own."""

import hashlib

import numpy as np
import torch


def derived(seed: int, *parts: str | int) -> int:
    """A 63-bit seed from a run's seed and what the numbers are for."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numpy_generator(seed: int, *parts: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose and position."""
    return np.random.default_rng(derived(seed, *parts))


def torch_generator(seed: int, *parts: str | int) -> torch.Generator:
    """A CPU generator for one purpose and position; the draws are small and go to the device afterwards."""
    return torch.Generator().manual_seed(derived(seed, *parts))
