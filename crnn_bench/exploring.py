"""Songs without their labels, as an experiment's features or its networks place them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from crnn_bench import catalogue as catalogues
from crnn_bench import console, report, slicing, unsupervised
from crnn_bench.baselines import mean_and_deviation
from crnn_bench.cells import Experiment
from crnn_bench.engines.processes import Processes
from crnn_bench.errors import BenchError
from crnn_bench.feature_store import FeatureStore
from crnn_bench.plugins import Choice
from crnn_bench.preparing import listings, prepare
from crnn_bench.records import Catalogue
from crnn_bench.results import Result
from crnn_bench.terminal import say, show
from crnn_bench.unsupervised import View


def features(work: Experiment, out: Path) -> None:
    """Shows each dataset of an experiment through each of its features, without labels: figures, and scores as CSV."""
    listed = listings(work)
    with Processes() as processes:
        prepared = prepare(work, listed, processes)
    views = []
    pairs = list(dict.fromkeys((cell.dataset, cell.features) for cell in work.cells))
    for (dataset, features), name in zip(pairs, _names(pairs), strict=True):
        catalogue, view = _look(dataset, features, listed[dataset], prepared.root)
        views.append(console.Seen(name, view, catalogue.classes))
    _tell_views(out, views)


def _names(pairs: Sequence[tuple[Choice, Choice]]) -> list[str]:
    """Dataset and feature; where two pairs bear the same names, the arguments in which they differ besides."""
    plain = [f"{dataset.build().name} {features.label}" for dataset, features in pairs]
    arguments = [
        {name: str(value) for choice in pair for name, value in choice.describe()["init_args"].items()}
        for pair in pairs
    ]
    names = []
    for name, mine in zip(plain, arguments, strict=True):
        others = [some for other, some in zip(plain, arguments, strict=True) if other == name]
        telling = [f"{key} {mine[key]}" for key in mine if len({some.get(key) for some in others}) > 1]
        names.append(", ".join([name, *telling]))
    return names


def networks(results: Path, out: Path) -> None:
    """Shows the test songs of each network in a results folder as its bottleneck places them.

    Args:
        results: the folder.
        out: of the figures and scores.

    Raises:
        BenchError: no network's cell is finished there.
    """
    cells = [cell for cell in report.stored(results) if cell.embeddings is not None]
    if not cells:
        raise BenchError(
            f"{results} has no network's bottleneck vectors; give the experiment's YAML to see its features"
        )
    _tell_views(out, [console.Seen(c.name, _look_at_bottleneck(c), tuple(c.record["classes"])) for c in cells])


def _look(dataset: Choice, features: Choice, tracks: pd.DataFrame, root: Path) -> tuple[Catalogue, View]:
    """The usable songs of a dataset, whole, as an unsupervised method sees them through a feature.

    Args:
        dataset, features: what to look at, and through what.
        tracks: the dataset's listing; every track's features are stored.
        root: of the feature stores.
    """
    feature = features.build()
    store = FeatureStore(root, feature)
    catalogue = catalogues.build(tracks, store.lookup(tracks), 0.0)
    arrays, rate = store.arrays(catalogue.table), feature.frames_per_second
    songs = slicing.cut(catalogue.table, arrays, catalogue.classes, rate, None, columns=feature.columns)
    summarise = (lambda rows: rows.mean(axis=0)) if feature.is_table else mean_and_deviation
    vectors = np.stack([summarise(frames) for frames in songs.frames()])
    return catalogue, unsupervised.view(vectors, songs.label)


def _look_at_bottleneck(cell: Result) -> View:
    """A network's test songs, each the mean of its slices' bottleneck vectors; training songs would flatter."""
    assert cell.embeddings is not None
    tested = cell.embeddings[cell.embeddings["part"] == "test"]
    songs = tested.drop(columns="part").groupby("track_id").mean()
    return unsupervised.view(songs.drop(columns="label").to_numpy(), songs["label"].to_numpy(np.int64))


def _tell_views(out: Path, views: Sequence[console.Seen]) -> None:
    table, written = console.views(out, views)
    say("Clusters of k-means, as many as labels, against the labels:")
    show(table)
    for path in written:
        say(str(path))
