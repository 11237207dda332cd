"""Whether a song is like those that a model was trained on, by its distance to them in the model's embedding.

The distance of a song is that to its k-th nearest training song (Sun et al., Out-of-Distribution Detection with Deep
Nearest Neighbors, ICML 2022), each column of the vectors centred and scaled by the training songs. A song is unfamiliar
beyond the distance that 95% of songs of the same kind keep to.

Measured on models of six artists of game music (83 training songs, ten validation songs, three seeds), which told their
validation and test songs from others with an AUROC of 0.84 (classical piano) and 0.90 (the toy's tones) in the
bottlenecks of a CRNN, of 0.60 and 0.95 to 1.00 in the inputs of a k-NN and an SVM. Of 33 test songs of their own, of
which 3 were to be expected, they called 1, 5 and 6 unfamiliar. Other k, vectors of length 1, and Mahalanobis distances
(Lee et al., NeurIPS 2018) were no better on the whole. The CRNN called 26% of the piano and 44% of the toy unfamiliar:
no warning is no proof that a model knows a kind of song.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crnn_bench import songs
from crnn_bench.songs import Songs

KNOWN_SHARE = 0.95
NEIGHBOURS = 1  # the k-th nearest counts
LEAST_SCALE = 1e-6  # of a column's largest value: one that varies less is constant but for rounding


@dataclass(frozen=True)
class Familiarity:
    """The songs that a model knows, and how far from them a song may be.

    Attributes:
        centre: (width,) mean of the training songs' vectors.
        scale: (width,) what a column is divided by; infinite where it is constant, and tells nothing.
        reference: (training songs, width), scaled.
        songs: (songs of all parts, width), scaled, among which similar ones are looked for.
        threshold: the largest distance of a song that counts as known.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    reference: NDArray[np.float64]
    songs: NDArray[np.float64]
    threshold: float

    def distance(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """(n, width) to (n,): how far each is from its k-th nearest training song."""
        return _kth(self._scaled(vectors), self.reference)

    def known(self, vector: ArrayLike) -> bool:
        """Whether a song's vector (width,) is as near to the training songs as songs of their kind are."""
        return bool(self.distance(np.asarray(vector)[None])[0] <= self.threshold)

    def nearest(self, vector: ArrayLike, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The n songs most like a vector (width,): their positions, and similarities (cosines, -1 to 1)."""
        similarities = _normed(self.songs) @ _normed(self._scaled(np.asarray(vector)[None]))[0]
        order = np.argsort(-similarities, kind="stable")[:n]
        return order, similarities[order]

    def _scaled(self, vectors: ArrayLike) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (np.asarray(vectors, np.float64) - self.centre) / self.scale
        return scaled


def of(placed: Songs) -> Familiarity | None:
    """What a model knows, by its songs; `None` of fewer than two training songs, or no validation songs.

    The threshold is the conformal quantile of the n validation songs' distances, the ceil(0.95 (n + 1))-th smallest: at
    most 5% of new songs of the same kind are then called unfamiliar. Fewer than 19 songs have no such quantile; their
    largest distance stands for it, beyond which lies 1 in n + 1 of new songs of the same kind: 9% where n is 10.
    """
    return _of(placed.vectors, placed.table["part"].to_numpy())


def read(path: Path) -> Familiarity | None:
    """`of` the songs in a file, without the tables that take a third of a second to import."""
    vectors, parts = songs.vectors(path)
    return _of(vectors, parts)


def _of(vectors: NDArray[np.float32], parts: NDArray[np.object_]) -> Familiarity | None:
    train, validation = vectors[parts == "train"].astype(np.float64), vectors[parts == "validation"]
    if len(train) < 2 or not len(validation):
        return None
    centre, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > LEAST_SCALE * np.abs(train).max(axis=0), deviation, np.inf)
    reference, everything = (train - centre) / scale, (vectors - centre) / scale
    found = Familiarity(centre, scale, reference, everything, math.inf)
    distances = np.sort(found.distance(validation))
    rank = min(math.ceil(KNOWN_SHARE * (len(distances) + 1)), len(distances))
    return replace(found, threshold=float(distances[rank - 1]))


def _kth(vectors: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, width) to (n,): distance to the k-th nearest row of the reference, or the farthest of fewer."""
    found = [np.sort(((reference - one) ** 2).sum(axis=1))[min(NEIGHBOURS, len(reference)) - 1] for one in vectors]
    return np.sqrt(np.array(found, dtype=np.float64))


def _normed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row of length 1; a row of nothing but zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    normed: NDArray[np.float64] = vectors / np.where(length > 0, length, 1)
    return normed
