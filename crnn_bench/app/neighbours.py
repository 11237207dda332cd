"""Which vectors point the same way: by looking at all, or, of many, at the likely ones.

Below `MOST_EXACT` vectors every cosine is computed. From there on, k-means cells are searched by faiss (IVF; Jégou,
Douze & Schmid, IEEE TPAMI 33, 2011): those whose centres are nearest to the query, as many as take some milliseconds.
Twice the cells take three times as long to make, and find no more in the same time.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench.errors import BenchError

MOST_EXACT = 50_000
CELLS = 1024
PROBED = 4096  # numbers: so many cells, times the width of a vector; more find more, and take longer
TRAINED_ON = 64  # vectors a cell
ROUNDS = 10  # of k-means
ROWS = 65_536  # vectors normalised at a time
Found = tuple[NDArray[np.int64], NDArray[np.float32]]


class Neighbours(ABC):
    """Vectors, ready to be searched."""

    @abstractmethod
    def search(self, queries: NDArray[np.floating], n: int) -> Found:
        """The positions of the nearest vectors and their cosines, the nearest first.

        Args:
            queries: (queries, width).
            n: vectors wanted; all, if there are fewer.

        Returns:
            (queries, n) positions, −1 where no more was found; and (queries, n) cosines.
        """


class Exact(Neighbours):
    """Looks at all vectors; of equally near ones the first comes first."""

    def __init__(self, vectors: NDArray[np.floating]) -> None:
        self.units = units(vectors)

    def search(self, queries: NDArray[np.floating], n: int) -> Found:
        cosines = units(queries) @ self.units.T
        n = min(n, cosines.shape[1])
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :n]
        return order, np.take_along_axis(cosines, order, axis=1)


class Cells(Neighbours):
    """Looks into the cells about a query."""

    def __init__(self, vectors: NDArray[np.floating]) -> None:
        faiss = _faiss()
        width = vectors.shape[1]
        self.index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, CELLS, faiss.METRIC_INNER_PRODUCT)
        self.index.cp.seed, self.index.cp.niter = 1, ROUNDS
        self.index.cp.max_points_per_centroid = TRAINED_ON
        self.index.nprobe = min(max(1, PROBED // width), CELLS)
        chosen = np.random.default_rng(0).permutation(len(vectors))[: TRAINED_ON * CELLS]
        self.index.train(units(vectors[np.sort(chosen)]))
        for first in range(0, len(vectors), ROWS):
            self.index.add(units(vectors[first : first + ROWS]))

    def search(self, queries: NDArray[np.floating], n: int) -> Found:
        cosines, positions = self.index.search(units(queries), min(n, self.index.ntotal))
        return positions, cosines


def build(vectors: NDArray[np.floating]) -> Neighbours:
    """Makes (songs, width) vectors ready to be searched.

    Raises:
        BenchError: there are `MOST_EXACT` or more, and faiss is not installed.
    """
    return Exact(vectors) if len(vectors) < MOST_EXACT else Cells(vectors)


def units(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Vectors of length 1 that point the same way; zeros stay zeros."""
    rows: NDArray[np.float32] = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return rows / lengths


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise BenchError(
            f"a library of {MOST_EXACT:,} songs or more needs faiss; pip install 'crnn-bench[app]'"
        ) from None
    return faiss
