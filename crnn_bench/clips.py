"""The songs that most classifiers take for another label → what they sound and look like."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import playing, plugins
from crnn_bench.audio import UnusableAudioError
from crnn_bench.blocks import Clip
from crnn_bench.datasets import Dataset
from crnn_bench.drawing import data_uri
from crnn_bench.errors import BenchError
from crnn_bench.features.log_mel import LogMel
from crnn_bench.results import Result
from crnn_bench.song import Song

CLIP_SECONDS = 6.0  # around the song's middle
SAMPLE_RATE = 16000  # Hz, as the networks hear it
MOST_SONGS = 8
PEAK = 0.9


def of_songs(hardest: pd.DataFrame, cells: Sequence[Result], with_sound: bool) -> tuple[list[Clip], str]:
    """The hardest songs, each with a clip and its log-mel spectrogram where its audio is at hand.

    Args:
        hardest: `track_id, label, album, title, seconds, answers, wrong, confused_with, mean_probability_of_truth`.
        cells: of the experiment; they tell where the songs are.
        with_sound: whether clips and spectrograms are made at all.

    Returns:
        Clips, and why some are silent; blank where none is.
    """
    rows = hardest[hardest["wrong"] > 0].head(MOST_SONGS) if len(hardest) else hardest
    places = _places(cells)
    found, faults = [], []
    for row in rows.to_dict("records"):
        sound = picture = ""
        if with_sound:
            try:
                samples = _middle(places[row["track_id"]])
                sound, picture = (
                    data_uri(playing.mp3(samples, SAMPLE_RATE), "audio/mpeg"),
                    data_uri(_spectrogram(samples), "image/jpeg"),
                )
            except (BenchError, OSError, LookupError) as error:
                faults.append(_reason(error))
        title = str(row["title"] or row["track_id"])
        picture_of = f"Log-mel spectrogram of {CLIP_SECONDS:g} s of {title}: time to the right, pitch upwards"
        found.append(Clip(title, _facts(row), sound, picture, picture_of if picture else ""))
    return found, f"{len(faults)} of {len(rows)} songs have no clip: {faults[0]}." if faults else ""


def _facts(row: Mapping[str, Any]) -> tuple[str, ...]:
    album = f", album {row['album']}" if row["album"] else ""
    wrong = round(row["wrong"] * row["answers"])
    taken = f", mostly for {row['confused_with']}" if row["confused_with"] else ""
    share = row["mean_probability_of_truth"]
    return (
        f"by {row['label']}{album}",
        f"taken for another in {wrong} of {row['answers']:.0f} answers{taken}",
        f"mean probability of the truth {share:.2f}",
    )


def _places(cells: Sequence[Result]) -> dict[str, tuple[Dataset, pd.Series]]:
    """By track id: the dataset that reads the song, and where it is.

    Raises:
        BenchError: the dataset's class is not there any more.
    """
    found: dict[str, tuple[Dataset, pd.Series]] = {}
    datasets: dict[str, Dataset] = {}
    for cell in cells:
        songs = pd.DataFrame({name: cell.record.get("songs", {}).get(name, []) for name in ("track_id", "path")})
        described = {n: v for n, v in cell.record["parameters"].items() if n.partition(".")[0] == "dataset"}
        key = plugins.digest(described)
        if len(songs) and key not in datasets:
            datasets[key] = playing.dataset(described)
        found |= {track: (datasets[key], song) for track, song in zip(songs["track_id"], songs.iloc, strict=True)}
    return found


def _middle(place: tuple[Dataset, pd.Series]) -> NDArray[np.float32]:
    """The samples of a clip, as loud as can be."""
    dataset, song = place
    samples = playing.samples(dataset, song, SAMPLE_RATE)
    length = min(len(samples), int(CLIP_SECONDS * SAMPLE_RATE))
    first = (len(samples) - length) // 2
    middle = samples[first : first + length]
    loudest = np.abs(middle).max(initial=0)
    return middle * np.float32(PEAK / loudest) if loudest else middle


def _spectrogram(samples: NDArray[np.float32]) -> bytes:
    """A JPEG of 128 mel bands, low ones below, 80 dB from black to white."""
    import matplotlib.image

    feature = LogMel(SAMPLE_RATE)
    buffer = io.BytesIO()
    decibels = feature.compute(Song(samples, SAMPLE_RATE)).T
    matplotlib.image.imsave(buffer, decibels, format="jpeg", cmap="magma", origin="lower", pil_kwargs={"quality": 80})
    return buffer.getvalue()


def _reason(error: Exception) -> str:
    if isinstance(error, UnusableAudioError):
        return str(error)
    if isinstance(error, LookupError):
        return "this result does not tell where its songs are"
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
