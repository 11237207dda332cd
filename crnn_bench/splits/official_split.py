"""The split that a dataset's authors published with it."""

import numpy as np
import pandas as pd

from crnn_bench.errors import BenchError
from crnn_bench.splits import SplitStrategy


class OfficialSplit(SplitStrategy):
    """Takes the part that the dataset itself gives each track; tracks without one are used by no part."""

    def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        official = tracks["official"]
        if (official == "").all():
            raise BenchError(
                "OfficialSplit: this dataset publishes no split of its own (Fma does); "
                "use FileSplit with a published list, or draw one, e.g. with ArtistSplit or SongSplit"
            )
        return official.where(official != "")
