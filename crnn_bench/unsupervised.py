"""What can be seen in vectors without their labels: PCA, t-SNE and k-means, and how well clusters and labels agree."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.preprocessing import StandardScaler

from crnn_bench.errors import BenchError
from crnn_bench.seeds import derive

PERPLEXITY = 30.0  # scikit-learn's default; fewer where there are few songs
STARTS = 10  # of k-means; the best one is kept


@dataclass(frozen=True)
class View:
    """Songs as points.

    Attributes:
        labels: (songs,) class numbers.
        clusters: (songs,) by k-means with as many clusters as there are labels; each bears the number of a label, so
            that as many songs as possible have the number of their own (Kuhn 1955).
        pca, tsne: (songs, 2).
        explained: share of the variance that the two principal components hold.
        scores: `ari, nmi` of clusters against labels (Hubert & Arabie 1985; arithmetic mean), and `silhouette_labels`,
            `silhouette_clusters` of the scaled vectors (Rousseeuw 1987).
    """

    labels: NDArray[np.int64]
    clusters: NDArray[np.int64]
    pca: NDArray[np.float64]
    tsne: NDArray[np.float64]
    explained: float
    scores: dict[str, float]


def view(vectors: NDArray[np.floating], labels: NDArray[np.int64], seed: int = 0) -> View:
    """Looks at vectors (songs, columns), each column scaled to unit variance; a constant one counts nothing.

    Raises:
        BenchError: too few songs to form as many clusters as there are labels, or a single column.
    """
    n_labels = len(np.unique(labels))
    if len(vectors) <= n_labels:
        raise BenchError(f"{len(vectors)} songs are too few to look for {n_labels} clusters among them")
    if vectors.shape[1] < 2:
        raise BenchError("a feature of one column leaves nothing to project to a plane")
    scaled = StandardScaler().fit_transform(vectors.astype(np.float64))
    random = derive(seed, "unsupervised")
    pca = PCA(2, random_state=random)
    planar = pca.fit_transform(scaled)
    tsne = TSNE(perplexity=min(PERPLEXITY, (len(scaled) - 1) / 3), init="pca", random_state=random)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different songs than clusters: the scores show it
        clusters = KMeans(n_labels, n_init=STARTS, random_state=random).fit_predict(scaled)
    clusters = _numbered_as(labels, clusters)
    scores = {
        "ari": float(adjusted_rand_score(labels, clusters)),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "silhouette_labels": _silhouette(scaled, labels),
        "silhouette_clusters": _silhouette(scaled, clusters),
    }
    explained = float(pca.explained_variance_ratio_.sum())
    return View(labels, clusters, planar, tsne.fit_transform(scaled), explained, scores)


def _numbered_as(labels: NDArray[np.int64], clusters: NDArray[np.int32]) -> NDArray[np.int64]:
    numbers = np.unique(labels)
    together = (labels[:, None] == numbers).astype(np.int64).T @ (clusters[:, None] == np.arange(len(numbers)))
    label, cluster = linear_sum_assignment(-together)
    number_of = np.empty(len(numbers), dtype=np.int64)
    number_of[cluster] = numbers[label]
    return number_of[clusters]


def _silhouette(vectors: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """NaN where it is not defined: one group, or none with a second song."""
    return float(silhouette_score(vectors, groups)) if 1 < len(np.unique(groups)) < len(vectors) else float("nan")
