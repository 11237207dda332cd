"""Features: one file each; a feature turns a song into frames, or into the rows of a table."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from crnn_bench import audio
from crnn_bench.plugins import Choice, digest
from crnn_bench.song import Song

LONGEST_PIECE_SECONDS = 300.0  # of a long song that a feature hears at once; a CQT of ten minutes takes 0.6 GB


class Feature(ABC):
    """A description of frames; its class, `version` and arguments hash to the key under which arrays are stored.

    Attributes:
        version: raise it whenever `compute` gives other numbers, so that no stale array is ever read.
        sample_rate: of the song that `compute` takes, in Hz.
        hop_samples: from one frame to the next.
        dtype: of the stored frames.
        is_table: whether each frame is a row of a table, a vector that stands for itself: a slice is one row then.
        row_seconds: of audio that a table's row describes; `None` where it describes the whole song.
        decibels: whether frames are decibels, so that a gain is a sum.
    """

    version: int = 1
    sample_rate: float
    hop_samples: int
    dtype: DTypeLike = np.float16
    is_table: bool = False
    row_seconds: float | None = None
    decibels: bool = False

    @property
    @abstractmethod
    def n_bins(self) -> int:
        """Number of values in a frame; 0 where only the data tell."""

    @abstractmethod
    def compute(self, song: Song) -> NDArray[np.float32]:
        """Turns a song into frames (frames, n_bins)."""

    def stream(self, blocks: Iterable[NDArray[np.float32]], slice_frames: int) -> Iterator[NDArray[np.floating]]:
        """Turns a song of any length into the frames of its whole slices, piece by piece, in bounded memory.

        A song of up to five minutes gives the frames of `compute`. Each five minutes of a longer one are heard as a
        song of their own: what is measured against the whole song (its loudest frame, its tuning) is the piece's own,
        and the frames at its ends hear silence beyond them. A feature that can do without this has its own `stream`.

        Args:
            blocks: its samples, at `sample_rate`, in blocks of any length.
            slice_frames: of a slice; what remains at the song's end is dropped.

        Yields:
            Frames as they are stored, (slices * slice_frames, n_bins).
        """
        longest = self._piece_frames(slice_frames)
        for samples in _regrouped(blocks, longest * self.hop_samples):
            if len(samples) >= (slice_frames - 1) * self.hop_samples:
                frames = self.compute(Song(samples, self.sample_rate))
                n_frames = min(len(frames), longest) // slice_frames * slice_frames
                yield frames[:n_frames].astype(self.dtype)

    def _piece_frames(self, slice_frames: int) -> int:
        """Frames of the whole slices that are heard at once."""
        return max(1, int(LONGEST_PIECE_SECONDS * self.frames_per_second) // slice_frames) * slice_frames

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


def _regrouped(blocks: Iterable[NDArray[np.float32]], length: int) -> Iterator[NDArray[np.float32]]:
    """The same samples in blocks of one length; the last may be shorter, but not empty."""
    waiting: list[NDArray[np.float32]] = []
    for block in blocks:
        waiting.append(block)
        while sum(map(len, waiting)) >= length:
            joined = np.concatenate(waiting)
            yield joined[:length]
            waiting = [joined[length:]]
    if any(map(len, waiting)):
        yield np.concatenate(waiting)
