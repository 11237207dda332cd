"""Features: one file each; a feature turns a song's samples into frames."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from crnn_bench import audio
from crnn_bench.plugins import Choice, digest


class Feature(ABC):
    """A description of frames; its class, `version` and arguments hash to the key under which arrays are stored.

    Attributes:
        version: raise it whenever `compute` gives other numbers, so that no stale array is ever read.
        sample_rate: of the samples that `compute` takes, in Hz.
        hop_samples: from one frame to the next.
    """

    version: int = 1
    sample_rate: int
    hop_samples: int

    @property
    @abstractmethod
    def n_bins(self) -> int:
        """Number of values in a frame."""

    @abstractmethod
    def compute(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turns mono samples (n,) into frames (frames, n_bins)."""

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
