"""The album split of Nasrullah & Zhao (2019): no test album is heard in training."""

import numpy as np
import pandas as pd

from crnn_bench.splits import SplitStrategy, require


class AlbumSplit(SplitStrategy):
    """One album of each artist tests, one validates, the others train (Whitman et al. 2001: the producer effect)."""

    group = "album"
    validation_group = "album"

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        require(tracks, "album", 3, "AlbumSplit")
        part = pd.Series("train", index=tracks.index)
        for label in sorted(tracks["label"].unique()):
            mine = tracks["label"] == label
            test, validation = rng.permutation(np.sort(tracks.loc[mine, "album"].unique().astype(str)))[:2]
            part[mine & (tracks["album"] == test)] = "test"
            part[mine & (tracks["album"] == validation)] = "validation"
        return part
