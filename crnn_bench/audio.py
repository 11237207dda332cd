"""Audio files to mono samples, with every fault named."""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench.errors import BenchError

VERSION = 1  # raise it whenever `load` gives other samples, so that no stale feature is ever read
EXTENSIONS = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".au", ".aif", ".aiff")
SILENCE_PEAK = 1e-5  # -100 dBFS: below one step of 16-bit audio
SHORTEST_SECONDS = 0.5
BLOCK_SECONDS = 30.0  # of sound decoded at a time
PIECE_FRAMES = 2**16  # stay in the processor's cache from the decoder's output to the resampler's
LEAST_SHARE = 0.99  # of the frames that the header promises; some MP3 encoders miscount a frame or two
CLAMPED = re.compile(r"(?:data|SSND|Data Size) *: *(\d+) \(should be (\d+)\)")  # libsndfile's log of a cut-off file
STREAMED_BYTES = 2**31 - 2**16  # a header written before the length was known says this or more


class UnusableAudioError(BenchError):
    """A track that cannot be used; the text says why, and the track is left out by name."""


def load(path: Path, sample_rate: float) -> NDArray[np.float32]:
    """Decodes a whole file, mixes it to mono and resamples it.

    Args:
        path: a WAV, FLAC, Ogg, MP3, AU or AIFF file of any rate and number of channels.
        sample_rate: of the result, in Hz.

    Returns:
        Samples of shape (n,), about -1 to 1, equal to `librosa.load(path, sr=sample_rate)`.

    Raises:
        UnusableAudioError: the file is no audio, empty, truncated, too short or silent, or holds NaN or infinity.
        OSError: the file cannot be opened.
    """
    return _joined(stream(path, sample_rate, math.inf))


def stream(path: Path, sample_rate: float, block_seconds: float = BLOCK_SECONDS) -> Iterator[NDArray[np.float32]]:
    """Decodes a file of any length in bounded memory: the samples of `load` in blocks.

    They are the same bit for bit, but for some MP3, which libsndfile rounds otherwise (by less than 1e-6) after a seek.

    Args:
        path, sample_rate: as `load` takes them.
        block_seconds: of the file that are decoded at a time.

    Yields:
        Samples of shape (n,), never NaN or infinite.

    Raises:
        UnusableAudioError, OSError: as `load`; whether a song is cut, silent or not a number is known only at its end.
    """
    n_samples, n_broken, peak = 0, 0, 0.0
    for block in _decoded(path, sample_rate, block_seconds):
        n_samples += len(block)
        highest = float(max(block.max(initial=0), -block.min(initial=0)))
        if not math.isfinite(highest):
            n_broken += int((~np.isfinite(block)).sum())
        peak = max(peak, highest)
        if not n_broken:
            yield block
    seconds = n_samples / sample_rate
    if n_broken:
        raise UnusableAudioError(f"holds {n_broken} NaN or infinite samples")
    if seconds < SHORTEST_SECONDS:
        raise UnusableAudioError(f"too short: {seconds:.2f} s, at least {SHORTEST_SECONDS} s are needed")
    if peak < SILENCE_PEAK:
        raise UnusableAudioError(f"silent: no sample above {SILENCE_PEAK:g} in {seconds:.1f} s")


def _decoded(path: Path, sample_rate: float, block_seconds: float) -> Iterator[NDArray[np.float32]]:
    """Mono blocks at the wanted rate, whatever they hold."""
    import soundfile

    with path.open("rb") as raw:  # says why it cannot be opened; libsndfile only says "System error"
        if not raw.read(1):
            raise UnusableAudioError("empty file (0 bytes)")
    read = 0

    def blocks(file: Any) -> Iterator[NDArray[np.float32]]:
        nonlocal read
        size = max(1, int(min(block_seconds * file.samplerate, file.frames)))
        while len(samples := file.read(size, dtype="float32", always_2d=True)):
            read += len(samples)
            step = PIECE_FRAMES if file.channels > 1 else len(samples)
            for first in range(0, len(samples), step):
                yield to_mono(samples[first : first + step])

    try:
        with soundfile.SoundFile(path) as file:
            promised = _promised_frames(file)
            if (
                block_seconds < math.inf
            ):  # else soundfile seeks after each read, and MP3 frames miss bits lent by others
                file.seekable = lambda: False
            yield from _resampled(blocks(file), file.samplerate, sample_rate)
    except UnicodeEncodeError:
        raise UnusableAudioError("its name is no UTF-8; rename it") from None
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UnusableAudioError(f"cannot be decoded ({_first_line(error)})") from None
    if read < LEAST_SHARE * promised:
        raise UnusableAudioError(f"truncated: {read} of {promised} samples could be read")


def to_mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averages channels: (n, channels) to (n,); of a single channel it is a view.

    Adding the columns is some twenty times faster than `mean(axis=1)` on interleaved stereo.
    """
    if samples.shape[1] == 1:
        return samples[:, 0]
    mono: NDArray[np.float32] = samples[:, 0] + samples[:, 1]
    for channel in range(2, samples.shape[1]):
        mono += samples[:, channel]
    mono /= np.float32(samples.shape[1])
    return mono


def resample(samples: NDArray[np.float32], rate: float, wanted: float) -> NDArray[np.float32]:
    """Resamples (n,) at `rate` Hz to (ceil(n * wanted / rate),) at `wanted` Hz with soxr, high quality."""
    return _joined(_resampled([samples], rate, wanted))


def _resampled(blocks: Iterable[NDArray[np.float32]], rate: float, wanted: float) -> Iterator[NDArray[np.float32]]:
    """`resample` of samples that come in blocks; how they are cut changes no bit."""
    if rate == wanted:
        yield from blocks
        return
    import soxr

    resampler = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    taken = given = 0
    for block in blocks:
        for first in range(0, len(block), PIECE_FRAMES):
            piece = block[first : first + PIECE_FRAMES]
            resampled: NDArray[np.float32] = resampler.resample_chunk(piece)
            taken, given = taken + len(piece), given + len(resampled)
            yield resampled
    left = int(-(-taken * wanted // rate)) - given  # soxr rounds to the nearest; librosa rounds up and adds a zero
    last = resampler.resample_chunk(np.empty(0, np.float32), last=True)
    yield np.pad(last, (0, max(0, left - len(last))))[:left]


def _joined(pieces: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """All of them in one array; a single one as it is."""
    first, *others = pieces
    return np.concatenate([first, *others]) if others else first


def _promised_frames(file: Any) -> int:
    """Frames that an open file's header promises; of WAV, AIFF and AU libsndfile itself counts only what is there."""
    clamped = CLAMPED.search(file.extra_info)
    if clamped and int(clamped[1]) < STREAMED_BYTES:
        return int(file.frames * int(clamped[1]) / max(1, int(clamped[2])))
    return int(file.frames)


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0].rsplit(": ", 1)[-1].strip(" .")
    return "no audio" if "does not exist" in line else line  # libsndfile's words for text and noise named .mp3
