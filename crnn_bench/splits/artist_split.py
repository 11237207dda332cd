"""The artist split: no test artist is heard in training, so that a genre is not recognised by its artists."""

import numpy as np
import pandas as pd

from crnn_bench.splits import SplitStrategy, assign_folds, check_fold, deal_artists, groups, require


class ArtistSplit(SplitStrategy):
    """Deals each label's artists to k folds: one, drawn at random, tests, the next validates, the others train.

    With 10 folds these are about 10, 10 and 80% of the songs. Where a label has fewer than k artists there are only so
    many folds, so that most labels are tested. Pampalk, Flexer & Widmer (2005) called it the artist filter.
    """

    group = "artist"
    validation_group = "artist"

    def __init__(self, k: int = 10) -> None:
        check_fold("ArtistSplit", k, None, least=3)
        self.k = k

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        require(tracks, "artist", 3, "ArtistSplit")
        k = min(self.k, int(groups(tracks, "artist").groupby(tracks["label"]).nunique().min()))
        return assign_folds(tracks["label"], deal_artists(tracks, k, rng), k, int(rng.integers(k)), rng)
