"""Where a song's beats lie."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench import spectra
from crnn_bench.song import Song
from crnn_bench.spectra import HOP_SAMPLES, N_FFT, once_a_song


@once_a_song
def beats(song: Song) -> NDArray[np.int64]:
    """(beats,) in samples, as `librosa.beat.beat_track` (Ellis 2007) finds them; none where nothing begins."""
    import librosa

    decibels = spectra.log_mel(song, N_FFT, HOP_SAMPLES)
    onsets = librosa.onset.onset_strength(S=decibels, sr=song.sample_rate, aggregate=np.median)
    if not onsets.any():
        return np.zeros(0, dtype=np.int64)
    _, found = librosa.beat.beat_track(
        onset_envelope=onsets, sr=song.sample_rate, hop_length=HOP_SAMPLES, units="samples"
    )
    inside: NDArray[np.int64] = found[found < len(song.samples)].astype(np.int64)
    return inside
