"""Cross-validation by artists: every song is tested once, by an artist who was never heard."""

import numpy as np
import pandas as pd

from crnn_bench.splits import SplitStrategy, assign_folds, check_fold, deal_artists, require


class ArtistKFold(SplitStrategy):
    """Fold `fold` of each label's artists tests, the next one validates, the others train.

    Without `fold` an experiment runs all k, one cell each, and pools their predictions into one score.
    """

    group = "artist"
    validation_group = "artist"

    def __init__(self, k: int = 5, fold: int | None = None) -> None:
        check_fold("ArtistKFold", k, fold, least=3)
        self.k = k
        self.fold = fold
        self.n_folds = k

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        require(tracks, "artist", self.k, f"ArtistKFold with k={self.k}")
        return assign_folds(tracks["label"], deal_artists(tracks, self.k, rng), self.k, self.fold or 0, rng)
