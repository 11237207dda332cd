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
        self._newest: tuple[Hashable, object] | None = None

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Returns what `compute` gives, and gives the same again whenever it is asked for `key`."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]  # type: ignore[return-value]

    def lately(self, key: Hashable, compute: Callable[[], T]) -> T:
        """As `once`, but only the newest is remembered: for what is as large as the song itself."""
        if self._newest is None or self._newest[0] != key:
            self._newest = key, compute()
        return self._newest[1]  # type: ignore[return-value]
