"""How loud a song is where loudness is a fault: clipping and silence, measured cheaply in its samples."""

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 0.99  # of 1.0; resampling and coding smear what was cut off at 1.0
SILENCE = 1e-3  # -60 dBFS
BLOCK_SECONDS = 0.05


def clipped(samples: NDArray[np.float32]) -> float:
    """The share of samples, shape (n,), amid three at full scale, which music alone hardly ever has, 0 to 1."""
    if not len(samples) or max(samples.max(), -samples.min()) < FULL_SCALE:
        return 0.0
    loud = np.abs(samples) >= FULL_SCALE
    return float(np.count_nonzero(loud[:-2] & loud[1:-1] & loud[2:]) / len(samples))


def silent(samples: NDArray[np.float32], sample_rate: float) -> float:
    """The share of blocks of samples, shape (n,), in which none is louder than `SILENCE`, 0 to 1."""
    size = max(1, int(BLOCK_SECONDS * sample_rate))
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    if not len(blocks):
        return 0.0
    return float(np.mean((blocks.max(axis=1) < SILENCE) & (blocks.min(axis=1) > -SILENCE)))
