"""Cross-validation by albums: every song is tested once, on an album that was never heard."""

import numpy as np
import pandas as pd

from crnn_bench.splits import (
    SplitStrategy,
    assign_folds,
    check_fold,
    deal_folds,
    require,
)


class AlbumKFold(SplitStrategy):
    """Fold `fold` of each artist's albums tests, the next one validates, the others train.

    With k = 2 nothing would be left to train on, so a stratified tenth of the other fold's *songs* validates; the
    test albums stay unheard. Ellis (2007) proposed k = 6 for artist20, each album testing once.
    """

    group = "album"

    def __init__(self, k: int = 6, fold: int | None = None) -> None:
        check_fold("AlbumKFold", k, fold, least=2)
        self.k = k
        self.fold = fold
        self.n_folds = k
        self.validation_group = "album" if k > 2 else "track_id"

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        require(tracks, "album", self.k, f"AlbumKFold with k={self.k}")
        folds = deal_folds(tracks["label"], tracks["album"], self.k, rng)
        return assign_folds(tracks["label"], folds, self.k, self.fold or 0, rng)
