"""Mean average precision of a list of ten: of classes for each item, and of items for each class."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.metrics import MeanOverItems, Metric, mean_of_known, rank_of_truth, ranking

K = 10


class MapAt10(MeanOverItems):
    """MAP@10 of each item's list of classes, most probable first: as one class is right, the mean of 1 over its rank.

    0 for an item whose class is not among the first ten; of tied classes the smaller is first. So does `mapk` of
    Kaggle's competitions, and so must the 0.779 be meant that is published for a genre CRNN beside a mean average
    precision of 0.72 and an AUC of 0.929: ten items for each class would then be all but perfect.
    """

    name = "map_at_10"

    def values(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        rank = rank_of_truth(truth, probabilities)
        return np.where(rank <= K, 1 / rank, 0)


class RetrievalMapAt10(Metric):
    """MAP@10 of each class's list of items, most probable first: what one hears who asks for an artist's songs.

    Mean over classes of the precision at each hit among the first ten, summed, over the lesser of ten and the number of
    true items. A class absent from the truth counts in no mean. Items of one probability come in any order: the value
    is the expected one (McSherry & Najork 2008).
    """

    name = "retrieval_map_at_10"

    def score(self, truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        return mean_of_known(np.array([of_class(truth == c, p) for c, p in enumerate(probabilities.T)]))


def of_class(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Expected average precision of the first K items; NaN without positives."""
    if not positive.any():
        return np.nan
    listed = scores >= np.partition(scores, -min(K, len(scores)))[-min(K, len(scores))]
    hits, found = ranking(positive[listed], scores[listed])
    total, hits_before, before = 0.0, 0.0, 0
    for upto, end in zip(hits, found.astype(int), strict=True):
        tied, right = end - before, upto - hits_before
        places = np.arange(1, min(end, K) - before + 1)  # within the tie, each right with the chance right / tied
        others = (places - 1) * (right - 1) / max(tied - 1, 1)  # right ones expected ahead, if this one is right
        total += float((right / tied * (hits_before + others + 1) / (before + places)).sum())
        hits_before, before = upto, end
    return total / min(K, int(positive.sum()))
