"""Clusters of songs → how often each counts in other draws of them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 200_000  # numbers: 1.6 MB, which the processor's cache holds


def strata(label: NDArray[np.int64], tested: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Places of the clusters of one label that the same seeds test, for test songs are drawn so.

    Args:
        label: (clusters,) number.
        tested: (clusters,) equal for those that the same seeds test.

    Returns:
        Each with at least two places, unless there is but one cluster: what has a single one is put together.
    """
    found = []
    for places in _with_company([np.flatnonzero(label == number) for number in np.unique(label)]):
        found += _with_company([places[tested[places] == pattern] for pattern in np.unique(tested[places])])
    return found


def _with_company(parts: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """The same, but those of one place are put together, or, where it is but one, with the smallest of the others."""
    parts = sorted(parts, key=len)
    alone = sum(len(places) == 1 for places in parts)
    together = max(alone, 2) if alone else 0
    return [*parts[together:], *([np.concatenate(parts[:together])] if alone else [])]


def weights(strata: Sequence[NDArray[np.int64]], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each cluster counts, (resamples, clusters).

    Of a stratum's n clusters n − 1 are drawn with replacement, each counting n/(n − 1) times, so that the scatter is
    right for few clusters, too (rescaled bootstrap, Rao & Wu, J. Am. Stat. Assoc. 83, 1988).
    """
    found = np.zeros((resamples, sum(map(len, strata))))
    rows = np.arange(resamples)[:, None]
    for places in strata:
        n = len(places)
        chosen = rows * n + rng.integers(n, size=(resamples, n - 1))
        counts = np.bincount(chosen.ravel(), minlength=resamples * n).reshape(resamples, n)
        found[:, places] = counts * (n / max(n - 1, 1))
    return found


def chunks(total: int, numbers: int) -> Iterator[int]:
    """Parts of a total such that each part, times so many numbers, is soon done."""
    size = max(1, AT_ONCE // max(numbers, 1))
    for first in range(0, total, size):
        yield min(size, total - first)
