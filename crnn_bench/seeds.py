"""Seeds derived by purpose, so that one number sets an experiment and no two uses share a stream."""

import hashlib

import numpy as np


def derive(seed: int, purpose: str) -> int:
    """Returns a 32-bit seed for one purpose (`split`, `init`, `batches`, …), the same everywhere."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Returns numpy's generator for one purpose."""
    return np.random.default_rng(derive(seed, purpose))
