"""Kaldi's log-mel filter bank, as the Audio Spectrogram Transformer hears it (Gong, Chung & Glass 2021)."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song

WINDOW_SAMPLES, HOP_SAMPLES = 400, 160  # 25 ms and 10 ms
BEYOND_SAMPLES = WINDOW_SAMPLES - HOP_SAMPLES  # that a window reaches into the next frames
N_FFT = 512
LOWEST_HERTZ = 20.0
PREEMPHASIS = 0.97
FLOOR = 1.192092955078125e-07  # least power, of float32's precision
BLOCK_FRAMES = 256


class Fbank(Feature):
    """Natural logarithm of `n_mels` mel powers at 16 kHz: 25 ms Hann windows, 10 ms hops.

    Each window is brought to zero mean and pre-emphasised. Equals transformers' `ASTFeatureExtractor` without its
    normalisation and padding to 1e-3; float16 adds at most 0.004 (values lie between -16 and 16).
    """

    sample_rate = 16000
    hop_samples = HOP_SAMPLES

    def __init__(self, n_mels: int = 128) -> None:
        self.n_mels = n_mels
        refuse_below(self, n_mels=1)

    @property
    def n_bins(self) -> int:
        return self.n_mels

    @cached_property
    def _mel_filters(self) -> Any:
        """(n_mels, 257), sparse, lest the last bits depend on threads; triangles in mel, not in hertz."""
        from scipy.sparse import csr_array

        bins = _mel(np.arange(N_FFT // 2 + 1) * self.sample_rate / N_FFT)[np.newaxis]
        edges = np.linspace(_mel(LOWEST_HERTZ), _mel(self.sample_rate / 2), self.n_mels + 2)[:, np.newaxis]
        low, centre, high = edges[:-2], edges[1:-1], edges[2:]
        triangles = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
        return csr_array(np.maximum(triangles, 0))

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(n // 160, n_mels), at least one; the last two windows hear silence beyond the end.

        The extractor leaves these two out, so that a clip of 3 s would have 298 frames, too few for a slice of 3 s.
        """
        missing = max(BEYOND_SAMPLES, WINDOW_SAMPLES - len(song.samples))
        return self._logarithms(np.pad(song.samples, (0, missing)))

    def stream(self, blocks: Iterable[NDArray[np.float32]], slice_frames: int) -> Iterator[NDArray[np.floating]]:
        """The very frames of `compute`, as stored: no window hears more than itself."""
        most = self._piece_frames(slice_frames)
        waiting = np.zeros(0, np.float32)
        for block in blocks:
            waiting = np.concatenate([waiting, block])
            while len(waiting) >= _samples_of(most):
                yield self._logarithms(waiting[: _samples_of(most)]).astype(self.dtype)
                waiting = waiting[most * self.hop_samples :]
        whole = len(waiting) // self.hop_samples // slice_frames * slice_frames
        if whole:
            waiting = np.pad(waiting, (0, BEYOND_SAMPLES))
            yield self._logarithms(waiting[: _samples_of(whole)]).astype(self.dtype)

    def _logarithms(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of every whole window, (windows, n_mels)."""
        from scipy.fft import rfft

        frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[:: self.hop_samples]
        window = np.hanning(WINDOW_SAMPLES)
        logarithms = np.empty((len(frames), self.n_mels), dtype=np.float32)
        for first in range(0, len(frames), BLOCK_FRAMES):
            block = frames[first : first + BLOCK_FRAMES].astype(np.float64)
            block -= block.mean(axis=1, keepdims=True)
            before = np.concatenate([block[:, :1], block[:, :-1]], axis=1)
            spectrum = rfft((block - PREEMPHASIS * before) * window, N_FFT, axis=1)
            power = (self._mel_filters @ (spectrum.real**2 + spectrum.imag**2).T).T
            logarithms[first : first + BLOCK_FRAMES] = np.log(np.maximum(power, FLOOR))
        return logarithms


def _samples_of(n_frames: int) -> int:
    return n_frames * HOP_SAMPLES + BEYOND_SAMPLES


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + hertz / 700.0)
