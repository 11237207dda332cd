"""Altered forms of a song, and their features, stored like any other's."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.plugins import digest
from crnn_bench.song import Song


@dataclass(frozen=True)
class Form:
    """How a song is altered; the function, its arguments and its version are the form's identity.

    Attributes:
        function: of a file, lest processes cannot find it; takes the song and the arguments, gives samples (n,).
        arguments: its other arguments.
        version: raise it whenever the function gives other samples.
    """

    function: Callable[..., NDArray[np.float32]]
    arguments: tuple[float, ...] = ()
    version: int = 1

    @cached_property
    def key(self) -> str:
        """Names the form; the same on every machine."""
        place = f"{self.function.__module__}.{self.function.__qualname__}"
        arguments = [float(value) for value in self.arguments]
        return f"{self.function.__name__}-{digest([place, arguments, self.version], 12)}"

    def alter(self, song: Song) -> NDArray[np.float32]:
        """The samples (n,) of the altered song; do not write into them."""
        return self.function(song, *self.arguments)


class Altered(Feature):
    """A feature of an altered form of the song; features of one form share its samples if they come one after another.

    Args:
        feature: any that reads samples.
        form: how the song is altered.
    """

    def __init__(self, feature: Feature, form: Form) -> None:
        self.feature = feature
        self.form = form
        self.version = feature.version
        self.sample_rate = feature.sample_rate
        self.hop_samples = feature.hop_samples
        self.dtype = feature.dtype
        self.is_table = feature.is_table
        self.row_seconds = feature.row_seconds
        self.decibels = feature.decibels

    @property
    def n_bins(self) -> int:
        return self.feature.n_bins

    @property
    def columns(self) -> tuple[str, ...]:
        return self.feature.columns

    @property
    def key(self) -> str:
        return f"{self.feature.key}-{self.form.key}"

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(frames, n_bins); there are more or fewer frames where the form is longer or shorter than the song."""
        samples = song.lately(self.form, lambda: self.form.alter(song))
        return self.feature.compute(Song(samples, song.sample_rate))  # whose spectra are forgotten with it


def drawn_from(song: Song) -> np.random.Generator:
    """A generator that the samples seed, so that a form's randomness is the same on every machine."""
    content = hashlib.sha256(np.ascontiguousarray(song.samples, dtype="<f4").data).digest()
    return np.random.default_rng(int.from_bytes(content[:8], "big"))
