"""Total variability: all that tells songs apart, in few dimensions (Dehak et al. 2011).

A song shifts the means of a Gaussian mixture by T w, w being drawn from N(0, I); T is (components, bins, rank), in
the components' deviations, and the expectation of w given a song's statistics is its i-vector. `occupancy` and
`first` are those of `frames.statistics`.
"""

from collections.abc import Iterator

import numpy as np

from crnn_bench.frames import Floats

BLOCK_SONGS = 64  # a song's covariance has rank ** 2 numbers
START_SONGS = 2000  # that the start is made from; slices may be many more
RELEVANCE = 16  # frames after which a song's mean counts half (Reynolds et al. 2000)


def fit(occupancy: Floats, first: Floats, rank: int, n_iterations: int) -> Floats:
    """Returns T (components, bins, rank) after some steps of EM; it starts from the songs' principal components.

    `rank` is at most the number of songs and of components times bins.
    """
    some = slice(None, None, max(1, len(first) // max(START_SONGS, rank)))
    shifts = (first[some] / (occupancy[some, :, None] + RELEVANCE)).reshape(-1, first[0].size)
    _, spreads, directions = np.linalg.svd(shifts, full_matrices=False)
    T: Floats = (directions[:rank].T * spreads[:rank] / np.sqrt(len(shifts))).reshape(*first.shape[1:], rank)
    for _ in range(n_iterations):
        T, _ = em_step(T, occupancy, first)
    return T


def em_step(T: Floats, occupancy: Floats, first: Floats) -> tuple[Floats, float]:
    """One step of EM, with minimum divergence (Kenny 2008): i-vectors keep unit covariance.

    Returns:
        The next T, which is at least as likely, and the log-likelihood of the one that came, up to a constant.
    """
    n_components, n_bins, rank = T.shape
    weighted = np.zeros((n_components, rank**2))
    crossed = np.zeros((n_components * n_bins, rank))
    total = np.zeros((rank, rank))
    likelihood = 0.0
    for songs, means, covariances, evidence in _posteriors(T, occupancy, first):
        second = covariances + means[:, :, None] * means[:, None, :]
        weighted += occupancy[songs].T @ second.reshape(-1, rank**2)
        crossed += first[songs].reshape(len(means), -1).T @ means
        total += second.sum(axis=0)
        likelihood += evidence
    ridge = np.finfo(np.float64).tiny * np.eye(rank)  # for a component that no frame is near
    solved = np.linalg.solve(weighted.reshape(-1, rank, rank) + ridge, crossed.reshape(T.shape).swapaxes(1, 2))
    return solved.swapaxes(1, 2) @ np.linalg.cholesky(total / len(occupancy)), likelihood


def i_vectors(T: Floats, occupancy: Floats, first: Floats) -> Floats:
    """The expectation of w for each song: (songs, rank)."""
    return np.concatenate([means for _, means, _, _ in _posteriors(T, occupancy, first)])


def _posteriors(T: Floats, occupancy: Floats, first: Floats) -> Iterator[tuple[slice, Floats, Floats, float]]:
    """By block of songs: which, the means (n, rank) and covariances (n, rank, rank) of w, and the log-evidence."""
    rank = T.shape[2]
    products = (T.swapaxes(1, 2) @ T).reshape(-1, rank**2)
    for start in range(0, len(occupancy), BLOCK_SONGS):
        songs = slice(start, start + BLOCK_SONGS)
        precisions = np.eye(rank) + (occupancy[songs] @ products).reshape(-1, rank, rank)
        projected = first[songs].reshape(len(precisions), -1) @ T.reshape(-1, rank)
        covariances = np.linalg.inv(precisions).astype(np.float64, copy=False)
        means = np.einsum("sij,sj->si", covariances, projected)
        evidence = 0.5 * ((means * projected).sum() - np.linalg.slogdet(precisions).logabsdet.sum())
        yield songs, means, covariances, float(evidence)
