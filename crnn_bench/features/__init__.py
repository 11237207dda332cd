"""Features: one file each; a feature turns a song into frames, or into the rows of a table."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crnn_bench import audio
from crnn_bench.plugins import Choice, digest
from crnn_bench.song import Song


class Feature(ABC):
    """A description of frames; its class, `version` and arguments hash to the key under which arrays are stored.

    Attributes:
        version: raise it whenever `compute` gives other numbers, so that no stale array is ever read.
        sample_rate: of the song that `compute` takes, in Hz.
        hop_samples: from one frame to the next.
        dtype: of the stored frames.
        is_table: whether each frame is a row of a table, a vector that stands for itself: a slice is one row then.
        row_seconds: of audio that a table's row describes; `None` where it describes the whole song.
    """

    version: int = 1
    sample_rate: float
    hop_samples: int
    dtype: DTypeLike = np.float16
    is_table: bool = False
    row_seconds: float | None = None

    @property
    @abstractmethod
    def n_bins(self) -> int:
        """Number of values in a frame; 0 where only the data tell."""

    @abstractmethod
    def compute(self, song: Song) -> NDArray[np.float32]:
        """Turns a song into frames (frames, n_bins)."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What each of the `n_bins` values is called."""
        return tuple(f"{type(self).__name__} {number}" for number in range(self.n_bins))

    @property
    def frames_per_second(self) -> float:
        """Frames in a second of audio."""
        return self.sample_rate / self.hop_samples

    @property
    def versions(self) -> list[int]:
        """Of all code that its numbers come from; a feature made from another one adds the other's."""
        return [audio.VERSION, self.version]

    @property
    def key(self) -> str:
        """Names the feature's place in the store: changes with the class, its version and any parameter."""
        return f"{type(self).__name__}-{digest([Choice.of(self).describe(), self.versions], 12)}"
