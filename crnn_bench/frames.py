"""Frames of songs: samples of them, and what diagonal Gaussian mixtures make of them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

Songs: TypeAlias = Sequence[NDArray[Any]] | NDArray[Any]  # each (frames, bins), of its own length or all of one
Floats: TypeAlias = NDArray[np.float64]
Mixture: TypeAlias = tuple[Floats, Floats, Floats]  # log weights (n,), means (n, bins) and variances (n, bins)

BLOCK_FRAMES = 4096


def sample(songs: Songs, most: int, rng: np.random.Generator) -> Floats:
    """Draws at most `most` frames, each as likely as any other and none twice: (frames, bins)."""
    ends = np.cumsum([len(song) for song in songs])
    chosen = np.sort(rng.choice(ends[-1], min(most, ends[-1]), replace=False))
    starts = ends - [len(song) for song in songs]
    of_song = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    parts = [song[own - start] for song, own, start in zip(songs, of_song, starts, strict=True)]
    return np.concatenate(parts).astype(np.float64)


def scale(frames: Floats) -> Floats:
    """The deviation of each bin, and 1 for a bin that never changes: (bins,)."""
    return np.where(np.ptp(frames, axis=0) > 0, frames.std(axis=0), 1.0)


def log_densities(frames: NDArray[Any], mixture: Mixture) -> Floats:
    """Each component's density times its weight, as a logarithm: (frames, bins) to (frames, components)."""
    log_weights, means, variances = mixture
    frames = frames.astype(np.float64)
    constants = log_weights - 0.5 * (np.log(2 * np.pi * variances) + means**2 / variances).sum(axis=1)
    densities: Floats = constants + frames @ (means / variances).T - 0.5 * frames**2 @ (1 / variances).T
    return densities


def statistics(songs: Songs, mixture: Mixture) -> tuple[Floats, Floats]:
    """Baum-Welch statistics of each song.

    Returns:
        How many of its frames each component answers for, (songs, components), and the sum of these frames less the
        component's mean, in its deviations, (songs, components, bins).
    """
    _, means, variances = mixture
    occupancy = np.zeros((len(songs), len(means)))
    first = np.zeros((len(songs), *means.shape))
    for number, song in enumerate(songs):
        for start in range(0, len(song), BLOCK_FRAMES):
            block = song[start : start + BLOCK_FRAMES].astype(np.float64)
            shares = softmax(log_densities(block, mixture), axis=1)
            occupancy[number] += shares.sum(axis=0)
            first[number] += shares.T @ block
    return occupancy, (first - occupancy[..., None] * means) / np.sqrt(variances)
