"""The log-mel spectrogram of Nasrullah & Zhao (IJCNN 2019), equal to librosa's."""

import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench.features import Feature
from crnn_bench.plugins import refuse_below
from crnn_bench.song import Song

AMIN = 1e-10
BLOCK_FRAMES = 256  # a block's spectrum stays in the processor's cache
LINEAR_STEP = 200.0 / 3  # Hz a mel
CORNER_HERTZ = 1000.0
LOG_STEP = np.log(6.4) / 27  # of the frequency's logarithm a mel, above the corner


class LogMel(Feature):
    """Mel power spectrogram in decibels: ref 1.0, amin 1e-10, at most `top_db` below the song's peak.

    Equals `librosa.power_to_db(librosa.feature.melspectrogram(...), top_db=top_db)` (Hann window, centred with zeros,
    Slaney mels) to 1e-3 dB. Stored as float16, which adds at most 0.032 dB for values between -128 and 128 dB.
    """

    decibels = True

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
        from scipy.sparse import csr_array

        return csr_array(mel_filters(self.sample_rate, self.n_fft, self.n_mels))

    @cached_property
    def _window(self) -> NDArray[np.float32]:
        return hann(self.n_fft)

    def compute(self, song: Song) -> NDArray[np.float32]:
        """(1 + n // hop_samples, n_mels) decibels; do not write into them, the song remembers them."""
        return song.once(self.key, lambda: self._decibels(song.samples))

    def stream(self, blocks: Iterable[NDArray[np.float32]], slice_frames: int) -> Iterator[NDArray[np.floating]]:
        """The very frames of `compute`, as stored: they wait on disk until the song's loudest is known."""
        rounded = np.dtype(self.dtype)
        peak = np.float32(-np.inf)
        with tempfile.TemporaryFile() as file:
            for decibels in self._unclipped(blocks):
                peak = np.maximum(peak, decibels.max())
                file.write(decibels.astype(rounded).tobytes())
            file.seek(0)
            size = self.n_mels * rounded.itemsize
            while piece := file.read(self._piece_frames(slice_frames) * size):
                n_frames = len(piece) // size // slice_frames * slice_frames
                frames = np.frombuffer(piece, rounded, n_frames * self.n_mels).reshape(n_frames, self.n_mels)
                if n_frames:
                    yield np.maximum(
                        frames, np.asarray(peak - self.top_db, rounded)
                    )  # rounding keeps the order: still exact

    def _decibels(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        decibels = np.concatenate(list(self._unclipped([samples])))
        np.maximum(decibels, decibels.max() - self.top_db, out=decibels)
        return decibels

    def _unclipped(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Decibels, `BLOCK_FRAMES` frames at a time, of samples that come in blocks of any length."""
        silence = np.zeros(self.n_fft // 2, np.float32)
        step = BLOCK_FRAMES * self.hop_samples
        enough = step - self.hop_samples + self.n_fft
        waiting = silence
        for block in blocks:
            for first in range(0, len(block), step):  # what waits is short: a whole song is never copied
                waiting = np.concatenate([waiting, block[first : first + step]])
                while len(waiting) >= max(enough, step):
                    yield self._frames(waiting[:enough])
                    waiting = waiting[step:]
        waiting = np.concatenate([waiting, silence])
        while len(waiting) >= self.n_fft:
            yield self._frames(waiting[:enough])
            waiting = waiting[step:]

    def _frames(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decibels of every whole window, (windows, n_mels)."""
        from scipy.fft import rfft

        windows = np.lib.stride_tricks.sliding_window_view(samples, self.n_fft)[:: self.hop_samples]
        spectrum = rfft(windows * self._window, axis=1)
        power = (self._mel_filters @ (spectrum.real**2 + spectrum.imag**2).T).T
        decibels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, AMIN))
        return decibels


def hann(n_fft: int) -> NDArray[np.float32]:
    """The periodic Hann window, (n_fft,), equal to SciPy's, whose module takes most of a second to import."""
    return (0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, n_fft + 1)[:-1])).astype(np.float32)


def mel_filters(sample_rate: float, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """(n_mels, n_fft // 2 + 1), equal to `librosa.filters.mel`, whose module takes more than a second to import.

    Triangles between neighbours on the scale of Slaney's Auditory Toolbox (1998): linear to 1 kHz, 27 mels from there
    to 6.4 kHz, and so on; each of area 1 in Hz.
    """
    edges = _mel_to_hertz(np.linspace(0.0, _hertz_to_mel(sample_rate / 2), n_mels + 2))
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1.0 / sample_rate))
    widths = np.diff(edges)[:, None]
    triangles: NDArray[np.float32] = np.maximum(
        0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])
    ).astype(np.float32)
    triangles *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return triangles


def _hertz_to_mel(hertz: float) -> float:
    if hertz < CORNER_HERTZ:
        return hertz / LINEAR_STEP
    return float(CORNER_HERTZ / LINEAR_STEP + np.log(hertz / CORNER_HERTZ) / LOG_STEP)


def _mel_to_hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    corner = CORNER_HERTZ / LINEAR_STEP
    hertz: NDArray[np.float64] = np.where(
        mels >= corner, CORNER_HERTZ * np.exp(LOG_STEP * (mels - corner)), LINEAR_STEP * mels
    )
    return hertz
