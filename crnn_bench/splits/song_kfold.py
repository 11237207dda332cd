"""Cross-validation by songs: every song is tested once."""

import numpy as np
import pandas as pd

from crnn_bench.splits import SplitStrategy, assign_folds, check_fold, deal_folds, require


class SongKFold(SplitStrategy):
    """Fold `fold` tests, the next one validates, the others train; stratified by label.

    With k = 2 a stratified tenth of the other fold validates.
    Without `fold` an experiment runs all k, one cell each, and pools their predictions into one score.
    """

    def __init__(self, k: int = 5, fold: int | None = None) -> None:
        check_fold("SongKFold", k, fold, least=2)
        self.k = k
        self.fold = fold
        self.n_folds = k

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        require(tracks, "track_id", 3, "SongKFold")
        folds = deal_folds(tracks["label"], tracks["track_id"], self.k, rng)
        return assign_folds(tracks["label"], folds, self.k, self.fold or 0, rng)
