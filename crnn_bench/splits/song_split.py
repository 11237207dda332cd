"""The song split of Nasrullah & Zhao (2019): every album is heard in training."""

import numpy as np
import pandas as pd

from crnn_bench.errors import BenchError
from crnn_bench.splits import SplitStrategy, require, stratified_sample


class SongSplit(SplitStrategy):
    """Draws test songs, then validation songs from the rest, both stratified by label.

    Songs of one album lie on both sides, so a model may recognise the production instead of the artist.
    """

    def __init__(self, test: float = 0.1, validation: float = 0.1) -> None:
        self.test = test
        self.validation = validation
        for name in ("test", "validation"):
            if not 0 < getattr(self, name) < 1:
                raise BenchError(f"SongSplit: {name} must lie between 0 and 1, got {getattr(self, name)}", name)

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        require(tracks, "track_id", 3, "SongSplit")
        part = pd.Series("train", index=tracks.index)
        part[stratified_sample(tracks["label"], self.test, rng)] = "test"
        rest = tracks.index[part == "train"]
        part[rest[stratified_sample(tracks.loc[rest, "label"], self.validation, rng)]] = "validation"
        return part
