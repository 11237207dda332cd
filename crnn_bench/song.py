"""A song's samples and the transforms that several features need, each computed once."""

from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Song:
    """Mono audio while its features are computed; forgotten afterwards.

    Attributes:
        samples: (n,) in -1 to 1; of a dataset of ready-made features its rows, (rows, columns).
        sample_rate: in Hz; rows a second of ready-made features.
    """

    def __init__(self, samples: NDArray[np.float32], sample_rate: float) -> None:
        self.samples = samples
        self.sample_rate = sample_rate
        self._known: dict[Hashable, object] = {}

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Returns what `compute` gives, and gives the same again whenever it is asked for `key`."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]  # type: ignore[return-value]
