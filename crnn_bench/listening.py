"""A trained network hears audio files of any length, slice by slice, in bounded memory."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import audio, bundles, slicing
from crnn_bench.aggregations import Aggregation
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.audio import UnusableAudioError
from crnn_bench.bundles import Bundle
from crnn_bench.errors import BenchError
from crnn_bench.networks import FittedNetwork
from crnn_bench.numerics import PLAIN
from crnn_bench.terminal import say
from crnn_bench.whole import replacing

MOST_TOLD = 3  # classes of a song, the most probable first
ENDINGS = (".csv", ".png")
MOST_DRAWN = 50  # songs in one figure


@dataclass(frozen=True)
class Timeline:
    """What a network said of each slice of a song.

    Attributes:
        start_seconds: (n,) where each slice begins.
        seconds: of a slice.
        probabilities: (n, classes).
        classes: their order.
    """

    start_seconds: NDArray[np.float64]
    seconds: float
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]

    def compiled(self, aggregation: Aggregation | None = None) -> NDArray[np.float64]:
        """(classes,) probabilities of the whole song: the mean over its slices, or by another aggregation."""
        return (aggregation or MeanProbability()).song_probabilities(self.probabilities)

    @property
    def label(self) -> str:
        """The song's class by the vote of Nasrullah & Zhao (2019), as in the tables."""
        return self.classes[int(self.compiled(SureVote()).argmax())]

    @property
    def table(self) -> pd.DataFrame:
        """One row a slice: `start_seconds, seconds, label` and a column `p_<class>` for each class."""
        slices = {
            "start_seconds": self.start_seconds,
            "seconds": self.seconds,
            "label": np.asarray(self.classes, dtype=object)[self.probabilities.argmax(axis=1)],
        }
        columns = {f"p_{name}": self.probabilities[:, index] for index, name in enumerate(self.classes)}
        return pd.DataFrame({**slices, **columns})


def listen(bundle: Bundle, path: Path) -> Timeline:
    """Cuts a file into slices as training did, and lets the network hear each.

    The features are those of training; how songs of more than five minutes get theirs, `Feature.stream` says. Memory
    does not grow with the song, but for the answers.

    Args:
        bundle: the network.
        path: an audio file of any length, in any format that `audio.load` reads.

    Raises:
        UnusableAudioError: the file is no sound, or shorter than a slice.
        BenchError: the network hears tables, or cannot be built.
        OSError: the file cannot be opened.
    """
    feature, seconds = bundle.feature, bundle.about["clip_seconds"]
    classes, length = tuple(bundle.about["classes"]), bundle.about["n_frames"]
    if feature.is_table:
        raise BenchError(f"{bundle.path} hears the rows of a table, {type(feature).__name__}, and no audio files")
    fitted = FittedNetwork(bundle.network, PLAIN, {})
    tracks = pd.DataFrame({"track_id": [""], "label": classes[:1]})  # neither is looked at
    answers = [np.empty((0, len(classes)))]
    for frames in feature.stream(audio.stream(path, feature.sample_rate), length):
        slices = slicing.cut(tracks, [frames], classes, feature.frames_per_second, seconds)
        answers.append(fitted.predict_proba(slices).astype(np.float64))
    probabilities = np.concatenate(answers)
    if not len(probabilities):
        least = (length - 1) * feature.hop_samples / feature.sample_rate
        raise UnusableAudioError(f"shorter than a slice: the network needs at least {least:.2f} s")
    if not np.isfinite(probabilities).all():
        raise BenchError(f"{bundle.path} answers with NaN; train it again")
    slice_seconds = length / feature.frames_per_second
    return Timeline(np.arange(len(probabilities)) * slice_seconds, slice_seconds, probabilities, classes)


def answer(model: str, files: Sequence[Path], timeline: Path | None) -> None:
    """Tells whose song each file is, and writes the timelines; a bad file is named, and the others go on.

    A file that is given twice is heard once.

    Args:
        model: a bundle, or a results folder, of which the network with the lowest validation loss is taken.
        files: audio files.
        timeline: a CSV or PNG file, if one is wanted.

    Raises:
        BenchError: there is no such network; or files could not be heard, after all others are done.
    """
    files = list(dict.fromkeys(files))
    if timeline:
        _refuse_unwritable(timeline, len(files))
    bundle = bundles.load(bundles.find(model))
    say(f"{bundle.about['name']}: {bundle.about['n_classes']} classes, slices of {bundle.about['clip_seconds']:g} s")
    heard: dict[str, Timeline] = {}
    failures = []
    for path in files:
        name = os.fsencode(path).decode(errors="backslashreplace")  # not every file's name is text
        try:
            heard[name] = listen(bundle, path)
        except UnusableAudioError as error:
            failures.append(f"{name}: {error}")
            say(failures[-1])
        except OSError as error:
            failures.append(f"{name}: cannot be opened ({error.strerror or error})")
            say(failures[-1])
        else:
            _tell(name, heard[name])
    if timeline and heard:
        _write(timeline, heard)
    if failures:
        raise BenchError(f"{len(failures)} of {len(files)} files could not be heard: {failures[0]}")


def _refuse_unwritable(path: Path, n_songs: int) -> None:
    """Raises `BenchError` for a timeline that could not be written once all songs are heard."""
    if path.suffix not in ENDINGS:
        raise BenchError(f"--timeline {path}: its name must end in {' or '.join(ENDINGS)}")
    if path.suffix == ".png" and n_songs > MOST_DRAWN:
        raise BenchError(f"--timeline {path}: {MOST_DRAWN} songs fit in a figure, got {n_songs}; give a .csv")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or not above.is_dir() or not os.access(above, os.W_OK):
        raise BenchError(f"--timeline {path}: cannot be written there; name a file in a folder of yours")


def _tell(name: str, timeline: Timeline) -> None:
    mean = dict(zip(timeline.classes, timeline.compiled(), strict=True))
    ranked = sorted(mean, key=lambda one: -mean[one])[:MOST_TOLD]
    named = [*ranked, timeline.label] if timeline.label not in ranked else ranked  # the vote may go against the mean
    number = len(timeline.start_seconds)
    slices = "1 slice" if number == 1 else f"{number} slices"
    means = ", ".join(f"{one} {mean[one]:.3f}" for one in named)
    say(f"{name}: {timeline.label} by the vote of {slices}; mean probabilities {means}")


def _write(path: Path, heard: Mapping[str, Timeline]) -> None:
    """Writes timelines as a table with a column `file`, or draws them."""
    if path.suffix == ".csv":
        table = pd.concat([song.table.assign(file=name) for name, song in heard.items()], ignore_index=True)
        with replacing(path) as part:
            table[["file", *table.columns.drop("file")]].to_csv(part, index=False)
    else:
        from crnn_bench.figures import timeline

        songs = {name: (song.start_seconds, song.seconds, song.probabilities) for name, song in heard.items()}
        figure = timeline.draw(songs, next(iter(heard.values())).classes)
        with replacing(path) as part:
            figure.savefig(part, format="png", dpi=120)
    say(str(path))
