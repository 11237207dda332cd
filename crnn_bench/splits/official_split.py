"""The split that a dataset's authors published with it."""

import numpy as np
import pandas as pd

from crnn_bench.errors import BenchError
from crnn_bench.splits import SplitStrategy, groups


class OfficialSplit(SplitStrategy):
    """Takes the part that the dataset itself gives each track; tracks without one are used by no part.

    Where it keeps artists apart, as the FMA's does, it is held to that.
    """

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        official = tracks["official"]
        if (official == "").all():
            raise BenchError(
                "OfficialSplit: this dataset publishes no split of its own (Fma does); "
                "use FileSplit with a published list, or draw one, e.g. with ArtistSplit or SongSplit"
            )
        kept = groups(tracks, "artist")[official != ""]
        apart = official[official != ""].groupby(kept).nunique().max() == 1
        self.group = self.validation_group = "artist" if apart else "track_id"
        return official.where(official != "")
