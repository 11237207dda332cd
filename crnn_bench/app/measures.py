"""What a song is made of, whatever any model says: a table of features, and its spectrogram as a picture."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crnn_bench import audio
from crnn_bench.song import Song

RATE = 22050  # Hz
TABLE_SECONDS = 120.0  # of a song, from its beginning, that the table is of; GTZAN's songs have 30
PICTURE_SECONDS = 600.0  # likewise of the picture
HOP_SAMPLES = 512
N_FFT = 2048
PIECE = 1024  # frames of the picture that are transformed at a time
COLUMNS = 1200  # of the picture, at most
RANGE_DB = 80.0
TICKS_HZ = (256, 512, 1024, 2048, 4096, 8192)
NAMES = {  # the table's columns, in the words of Subramanian et al. (2024), figs. 4 and 5
    "chroma_stft": "Chromagram Short-Time Fourier Transform (Chroma-STFT)",
    "rms": "Root Mean Square Energy (RMS)",
    "spectral_centroid": "Spectral Centroid",
    "spectral_bandwidth": "Spectral Bandwidth",
    "rolloff": "Spectral Rolloff",
    "zero_crossing_rate": "Zero Crossing Rate",
    "harmony": "Harmony",
    "perceptr": "Percussion",
    "tempo": "Tempo",
    **{f"mfcc{number}": f"Mel-Frequency Cepstral Coefficients (MFCC-{number})" for number in range(1, 21)},
}

Row = dict[str, str | float | None]


def beginning(path: Path, seconds: float) -> NDArray[np.float32]:
    """(n,) samples of a song at 22,050 Hz, at most so many seconds; the rest is not decoded.

    Raises:
        UnusableAudioError, OSError: as `audio.stream`.
    """
    blocks, left = [], int(seconds * RATE)
    for block in audio.stream(path, RATE):
        blocks.append(block[:left])
        left -= len(block)
        if left <= 0:
            break
    return np.concatenate(blocks)


def table(samples: NDArray[np.float32]) -> list[Row]:
    """Mean and variance of each feature of the GTZAN table; the tempo has no variance."""
    from crnn_bench.features.gtzan_table import GtzanTable

    feature = GtzanTable(RATE)
    row = dict(zip(feature.columns, feature.compute(Song(samples, RATE))[0].tolist(), strict=True))
    return [
        {"feature": words, "mean": row.get(f"{name}_mean", row.get(name)), "variance": row.get(f"{name}_var")}
        for name, words in NAMES.items()
    ]


def spectrogram(samples: NDArray[np.float32], whole_seconds: float) -> bytes:
    """A PNG of loudness over seconds and Hz, on the mel scale.

    Args:
        samples: (n,) the beginning of a song.
        whole_seconds: of the song, which the picture tells where it is not all of it.
    """
    import librosa
    from matplotlib.figure import Figure

    decibels, seconds = _decibels(samples), len(samples) / RATE
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    extent = (0, seconds, 0, len(decibels))
    image = axes.imshow(decibels, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="none")
    highest = librosa.hz_to_mel(RATE / 2)
    axes.set_yticks([len(decibels) * librosa.hz_to_mel(hertz) / highest for hertz in TICKS_HZ], map(str, TICKS_HZ))
    axes.set(xlabel="seconds", ylabel="Hz (mel scale)")
    if seconds < whole_seconds - 1:
        axes.set_title(f"the first {seconds / 60:.0f} of {whole_seconds / 60:.0f} minutes", fontsize=10)
    figure.colorbar(image, label="dB below the loudest", format="{x:.0f}")
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=100)
        return file.getvalue()


def _decibels(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(128, columns) dB, at most 80 below the peak; neighbouring frames are averaged in one column.

    The frames are librosa's, but are made some at a time: the spectrum of ten minutes would take half a gigabyte.
    """
    import librosa

    n_frames = 1 + len(samples) // HOP_SAMPLES
    padded = np.pad(samples, (N_FFT // 2, N_FFT // 2))
    pieces = [
        librosa.feature.melspectrogram(
            y=padded[first * HOP_SAMPLES : (min(first + PIECE, n_frames) - 1) * HOP_SAMPLES + N_FFT],
            sr=RATE,
            n_fft=N_FFT,
            hop_length=HOP_SAMPLES,
            center=False,
        )
        for first in range(0, n_frames, PIECE)
    ]
    frames = np.concatenate(pieces, axis=1)
    first = np.linspace(0, n_frames, min(n_frames, COLUMNS) + 1)[:-1].astype(int)
    means = np.add.reduceat(frames, first, axis=1) / np.diff([*first, n_frames])
    decibels: NDArray[np.float32] = librosa.power_to_db(means, ref=np.max, top_db=RANGE_DB)
    return decibels
