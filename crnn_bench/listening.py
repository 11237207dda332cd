"""A trained model hears audio files of any length: slice by slice in bounded memory, or as whole songs."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crnn_bench import audio, slicing
from crnn_bench.aggregations import Aggregation
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.audio import UnusableAudioError
from crnn_bench.bundles import BaselineBundle, Bundle, NetworkBundle
from crnn_bench.errors import BenchError
from crnn_bench.features.rows import Rows
from crnn_bench.fitted import Fitted, FittedBaseline, FittedNetwork, Heard
from crnn_bench.numerics import CHANNELS_LAST
from crnn_bench.records import Slices
from crnn_bench.song import Song

if TYPE_CHECKING:
    import pandas as pd

HEARD = ("clip_seconds", "n_frames", "n_bins")  # of a bundle: how a song is cut


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
    def vector(self) -> NDArray[np.float64]:
        """(width,) where the model places the whole song: the mean of its slices."""
        mean: NDArray[np.float64] = self.vectors.mean(axis=0, dtype=np.float64)
        return mean

    @property
    def table(self) -> "pd.DataFrame":
        """One row a slice: `start_seconds, seconds, label` and a column `p_<class>` for each class."""
        import pandas as pd

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
    return together([bundle], path)[0]


def together(bundles: Sequence[Bundle], path: Path) -> list[Timeline]:
    """`listen` with models of the same features and slices (`hears`), for which the file is read and measured once."""
    first, answers = bundles[0], [list[Heard]() for _ in bundles]
    if isinstance(first.feature, Rows):
        raise BenchError(f"{first.path} hears the rows of a ready-made table, Rows, and no audio files")
    fitted, lengths = [_fitted(bundle) for bundle in bundles], [0.0]
    for slices, seconds in _slices(first, path):
        if len(slices):
            lengths.append(seconds)
            for one, said in zip(fitted, answers, strict=True):
                said.append(one.hear(slices))
    if not answers[0]:
        least = (first.about["n_frames"] - 1) * first.feature.hop_samples / first.feature.sample_rate
        raise UnusableAudioError(f"shorter than a slice: the model needs at least {least:.2f} s")
    return [_timeline(bundle, said, lengths[-1]) for bundle, said in zip(bundles, answers, strict=True)]


def hears(bundle: Bundle) -> tuple[object, ...]:
    """What a model hears; the same of two models that `together` may have."""
    features = bundle.about["features"]
    return features["class_path"], repr(sorted(features["init_args"].items())), *map(bundle.about.get, HEARD)


def _timeline(bundle: Bundle, answers: Sequence[Heard], seconds: float) -> Timeline:
    probabilities = np.concatenate([some.probabilities for some in answers], dtype=np.float64)
    if not np.isfinite(probabilities).all():
        raise BenchError(f"{bundle.path} answers with NaN; train it again")
    vectors = np.concatenate([some.vectors for some in answers])
    starts = np.arange(len(probabilities), dtype=np.float64) * seconds
    return Timeline(starts, seconds, probabilities, vectors, tuple(bundle.about["classes"]))


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
    track = {"track_id": [readable(path)], "label": bundle.about["classes"][:1]}  # any label will do
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


def table(bundle: Bundle, files: Sequence[str]) -> "pd.DataFrame":
    """One row a file, in their order: `path, label, probability, fault` and `p_<class>` for each class.

    The label is the vote's, and the probabilities are means over slices; a file that cannot be heard has a fault in
    words, no label, and no probabilities.
    """
    import pandas as pd

    rows = []
    for path in files:
        row: dict[str, object] = {"path": path, "label": "", "probability": np.nan, "fault": ""}
        try:
            timeline = listen(bundle, Path(path))
        except (UnusableAudioError, OSError) as error:
            rows.append(row | {"fault": reason(error)})
        else:
            means = dict(zip(timeline.classes, timeline.compiled().tolist(), strict=True))
            answered = {"label": timeline.label, "probability": means[timeline.label]}
            rows.append(row | answered | {f"p_{name}": mean for name, mean in means.items()})
    probabilities = [f"p_{name}" for name in bundle.about["classes"]]
    return pd.DataFrame(rows, columns=["path", "label", "probability", "fault", *probabilities])


def readable(path: Path) -> str:
    """A file's name as text, which not every name is."""
    return os.fsencode(path).decode(errors="backslashreplace")


def reason(error: UnusableAudioError | OSError) -> str:
    """Why a file could not be heard, in words."""
    return f"cannot be opened ({error.strerror or error})" if isinstance(error, OSError) else str(error)
