"""The rows of a ready-made feature table, as they are."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.song import Song


class Rows(Feature):
    """What a dataset of ready-made features brings; a song's rows stand in the place of its samples.

    Args:
        row_seconds: of audio that a row describes; `None` where it describes the whole song.
    """

    is_table = True
    dtype = np.float32
    hop_samples = 1

    def __init__(self, row_seconds: float | None = None) -> None:
        self.row_seconds = row_seconds

    @property
    def sample_rate(self) -> float:  # type: ignore[override]
        """Rows a second; of whole songs, whose length nobody knows, one."""
        return 1 / self.row_seconds if self.row_seconds else 1.0

    @property
    def n_bins(self) -> int:
        """0: only the table knows."""
        return 0

    def compute(self, song: Song) -> NDArray[np.float32]:
        """Gives the rows, (rows, columns)."""
        return song.samples
