"""A trained model hears audio files of any length: slice by slice in bounded memory, or as whole songs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import audio, bundles, slicing, trained
from crnn_bench.aggregations import Aggregation
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.audio import UnusableAudioError
from crnn_bench.bundles import BaselineBundle, Bundle, NetworkBundle
from crnn_bench.errors import BenchError
from crnn_bench.features.rows import Rows
from crnn_bench.fitted import Fitted, FittedBaseline, FittedNetwork
from crnn_bench.numerics import CHANNELS_LAST
from crnn_bench.records import Slices
from crnn_bench.song import Song
from crnn_bench.terminal import say
from crnn_bench.whole import replacing

MOST_TOLD = 3  # classes of a song, the most probable first
ENDINGS = (".csv", ".png")
MOST_DRAWN = 50  # songs in one figure


@dataclass(frozen=True)
class Timeline:
    """What a model said of each slice of a song.

    Attributes:
        start_seconds: (n,) where each slice begins.
        seconds: of a slice.
        probabilities: (n, classes).
        vectors: (n, width), where the model places each.
        classes: their order.
    """

    start_seconds: NDArray[np.float64]
    seconds: float
    probabilities: NDArray[np.float64]
    vectors: NDArray[np.floating]
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
    """Cuts a file into slices as training did, and lets the model hear each; or lets it hear the whole file at once.

    The features are those of training; how songs of more than five minutes get theirs, `Feature.stream` says. Memory
    does not grow with the song, but for the answers, and where the model was trained on whole songs.

    Args:
        bundle: the model.
        path: an audio file of any length, in any format that `audio.load` reads.

    Raises:
        UnusableAudioError: the file is no sound, or shorter than a slice.
        BenchError: the model hears ready-made tables, or cannot be built.
        OSError: the file cannot be opened.
    """
    if isinstance(bundle.feature, Rows):
        raise BenchError(f"{bundle.path} hears the rows of a ready-made table, Rows, and no audio files")
    fitted, classes = _fitted(bundle), tuple(bundle.about["classes"])
    answers = [(fitted.hear(slices), seconds) for slices, seconds in _slices(bundle, path) if len(slices)]
    if not answers:
        least = (bundle.about["n_frames"] - 1) * bundle.feature.hop_samples / bundle.feature.sample_rate
        raise UnusableAudioError(f"shorter than a slice: the model needs at least {least:.2f} s")
    probabilities = np.concatenate([some.probabilities for some, _ in answers], dtype=np.float64)
    if not np.isfinite(probabilities).all():
        raise BenchError(f"{bundle.path} answers with NaN; train it again")
    vectors, seconds = np.concatenate([some.vectors for some, _ in answers]), answers[0][1]
    starts = np.arange(len(probabilities), dtype=np.float64) * seconds
    return Timeline(starts, seconds, probabilities, vectors, classes)


def _fitted(bundle: Bundle) -> Fitted:
    """The model as an experiment knows it."""
    if isinstance(bundle, NetworkBundle):
        return FittedNetwork(CHANNELS_LAST.lay_out(bundle.network), {})  # more than twice as fast on a processor
    if isinstance(bundle, BaselineBundle):
        about = bundle.about
        return FittedBaseline(bundle.baseline, bundle.estimator, about["temperature"], about["n_classes"], {})
    raise TypeError(type(bundle))


def _slices(bundle: Bundle, path: Path) -> Iterator[tuple[Slices, float]]:
    """A file's slices, some at a time, and the seconds of each; one slice where whole songs are heard."""
    feature, clip = bundle.feature, bundle.about["clip_seconds"]
    track = pd.DataFrame({"track_id": [_readable(path)], "label": bundle.about["classes"][:1]})  # any label will do
    if clip is None:
        samples = audio.load(path, feature.sample_rate)
        seconds = len(samples) / feature.sample_rate
        pieces = iter([feature.compute(Song(samples, feature.sample_rate)).astype(feature.dtype)])
    else:
        length = bundle.about["n_frames"]
        seconds = length / feature.frames_per_second
        pieces = feature.stream(audio.stream(path, feature.sample_rate), length)
    for frames in pieces:
        rate, classes = feature.frames_per_second, bundle.about["classes"]
        yield slicing.cut(track, [frames], classes, rate, clip, columns=feature.columns), seconds


def table(bundle: Bundle, files: Sequence[str]) -> pd.DataFrame:
    """One row a file, in their order: `path, label, probability, fault` and `p_<class>` for each class.

    The label is the vote's, and the probabilities are means over slices; a file that cannot be heard has a fault in
    words, no label, and no probabilities.
    """
    rows = []
    for path in files:
        row: dict[str, object] = {"path": path, "label": "", "probability": np.nan, "fault": ""}
        try:
            timeline = listen(bundle, Path(path))
        except (UnusableAudioError, OSError) as error:
            rows.append(row | {"fault": _reason(error)})
        else:
            means = dict(zip(timeline.classes, timeline.compiled().tolist(), strict=True))
            answered = {"label": timeline.label, "probability": means[timeline.label]}
            rows.append(row | answered | {f"p_{name}": mean for name, mean in means.items()})
    probabilities = [f"p_{name}" for name in bundle.about["classes"]]
    return pd.DataFrame(rows, columns=["path", "label", "probability", "fault", *probabilities])


def _readable(path: Path) -> str:
    """A file's name as text, which not every name is."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _reason(error: UnusableAudioError | OSError) -> str:
    return f"cannot be opened ({error.strerror or error})" if isinstance(error, OSError) else str(error)


def answer(
    model: str, files: Sequence[Path], top: int, timeline: Path | None, as_json: bool, tracking_uri: str | None
) -> None:
    """Tells whose song each file is, and writes the timelines; a bad file is named, and the others go on.

    A file that is given twice is heard once.

    Args:
        model: a bundle, or a results folder, of which the model with the best weighted F1 on validation songs is taken.
        files: audio files.
        timeline: a CSV or PNG file, if one is wanted.

    Raises:
        BenchError: there is no such model; or files could not be heard, after all others are done.
    """
    files = list(dict.fromkeys(files))
    if timeline:
        _refuse_unwritable(timeline, len(files))
    bundle = bundles.load(trained.choose(model))
    clip = bundle.about["clip_seconds"]
    slices = "whole songs" if clip is None else f"slices of {clip:g} s"
    say(f"{bundle.about['name']}: {bundle.about['n_classes']} classes, {slices}")
    heard: dict[str, Timeline] = {}
    failures = []
    for path in files:
        name = _readable(path)
        try:
            heard[name] = listen(bundle, path)
        except (UnusableAudioError, OSError) as error:
            failures.append(f"{name}: {_reason(error)}")
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
