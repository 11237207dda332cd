"""The log-mel spectrogram of Nasrullah & Zhao (IJCNN 2019), equal to librosa's."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song

AMIN = 1e-10
BLOCK_FRAMES = 256  # a block's spectrum stays in the processor's cache


class LogMel(Feature):
    """Mel power spectrogram in decibels: ref 1.0, amin 1e-10, at most `top_db` below the song's peak.

    Equals `librosa.power_to_db(librosa.feature.melspectrogram(...), top_db=top_db)` (Hann window, centred with zeros,
    Slaney mels) to 1e-3 dB. Stored as float16, which adds at most 0.032 dB for values between -128 and 128 dB.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 2048,
        hop_samples: int = 512,
        n_mels: int = 128,
        top_db: float = 80.0,
    ) -> None:
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.n_mels = n_mels
        self.top_db = top_db
        refuse_below(self, sample_rate=1, n_fft=2, hop_samples=1, n_mels=1, top_db=0)

    @property
    def n_bins(self) -> int:
        return self.n_mels

    @cached_property
    def _mel_filters(self) -> Any:
        """(n_mels, n_fft // 2 + 1), sparse: a dense product's last bits depend on how many threads share it."""
        import librosa
        from scipy.sparse import csr_array

        return csr_array(librosa.filters.mel(sr=self.sample_rate, n_fft=self.n_fft, n_mels=self.n_mels))

    @cached_property
    def _window(self) -> NDArray[np.float32]:
        from scipy.signal import get_window

        window: NDArray[np.float32] = get_window("hann", self.n_fft, fftbins=True).astype(np.float32)
        return window

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, n_mels) decibels; do not write into them, the song remembers them."""
        return song.once(self.key, lambda: self._decibels(song.samples))

    def _decibels(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        from scipy.fft import rfft

        padded = np.pad(samples, self.n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_samples]
        power = np.empty((len(frames), self.n_mels), dtype=np.float32)
        for first in range(0, len(frames), BLOCK_FRAMES):
            spectrum = rfft(frames[first : first + BLOCK_FRAMES] * self._window, axis=1)
            power[first : first + BLOCK_FRAMES] = (self._mel_filters @ (spectrum.real**2 + spectrum.imag**2).T).T
        decibels = 10 * np.log10(np.maximum(power, AMIN))
        clipped: NDArray[np.float32] = np.maximum(decibels, decibels.max() - self.top_db)
        return clipped
