"""Songs that have been through MP3."""

import io

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.deformations import Deformation
from crnn_bench.errors import BenchError
from crnn_bench.plugins import refuse_outside
from crnn_bench.song import Song

# Bit rates of MPEG-1, MPEG-2 and MPEG-2.5 Layer III, in kbit/s, by the sample rates that each has.
FULL = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
HALF = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
QUARTER = (8, 16, 24, 32, 40, 48, 56, 64)
BIT_RATES = {
    **dict.fromkeys((32000, 44100, 48000), FULL),
    **dict.fromkeys((16000, 22050, 24000), HALF),
    **dict.fromkeys((8000, 11025, 12000), QUARTER),
}
BLOCK_SAMPLES = 65536  # written at a time; libsndfile's stack does not hold a whole song
DELAY_SAMPLES = 1105  # of LAME and the decoder together; few bits leave no room for the tag that says so
LARGEST_COMPRESSION = 0.9999  # libsndfile refuses 1, which its own scale has


def coded(song: Song, kilobits: float) -> NDArray[np.float32]:
    """(n,) decoded from an MP3 of constant bit rate, in kbit/s, in step with the song."""
    import soundfile

    rates = BIT_RATES[int(song.sample_rate)]
    compression = (rates[-1] - kilobits) / (rates[-1] - rates[0])  # libsndfile's scale, from the highest rate
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        int(song.sample_rate),
        1,
        format="MP3",
        compression_level=min(compression, LARGEST_COMPRESSION),
        bitrate_mode="CONSTANT",
    ) as mp3:
        for first in range(0, len(song.samples), BLOCK_SAMPLES):
            mp3.write(song.samples[first : first + BLOCK_SAMPLES])
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    n_samples = len(song.samples)
    late = DELAY_SAMPLES if len(decoded) > n_samples else 0  # with the tag, the decoder itself takes it away
    samples: NDArray[np.float32] = decoded[late : late + n_samples]
    return np.pad(samples, (0, n_samples - len(samples)))


class Codec(Deformation):
    """MP3 of constant bit rate, coded by LAME and decoded by mpg123, both within libsndfile.

    What is coded is what the features hear: mono, at their sample rate. A stereo file of 44.1 kHz spends more than
    twice the bits on the same band.

    Args:
        kilobits: a second; at 16, 22.05 and 24 kHz MP3 has 8, 16, 24 … 64, 80 … 128, 144 and 160.
    """

    unit = "kbit/s"

    def __init__(self, kilobits: tuple[int, ...] = (64, 32, 16, 8)) -> None:
        self.kilobits = kilobits
        refuse_outside(self, "kilobits", 8, 320)
        super().__init__({rate: Form(coded, (rate,)) for rate in kilobits})

    def check(self, sample_rate: float) -> None:
        """Refuses what MP3 does not have."""
        if sample_rate not in BIT_RATES:
            rates = ", ".join(f"{rate:g}" for rate in sorted(BIT_RATES))
            raise BenchError(f"{self.name}: MP3 has no {sample_rate:g} Hz; features need one of {rates}")
        unheard_of = sorted(set(self.kilobits) - set(BIT_RATES[int(sample_rate)]))
        if unheard_of:
            allowed = ", ".join(map(str, BIT_RATES[int(sample_rate)]))
            raise BenchError(f"{self.name}: MP3 at {sample_rate:g} Hz has no {unheard_of[0]} kbit/s; it has {allowed}")
