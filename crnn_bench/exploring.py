"""Songs without their labels, as an experiment's features or its networks place them."""

from collections.abc import Sequence
from pathlib import Path

from crnn_bench import experiment, report
from crnn_bench.cells import Experiment
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice
from crnn_bench.preparing import listings, prepare
from crnn_bench.terminal import say, show


def features(work: Experiment, out: Path) -> None:
    """Shows each dataset of an experiment through each of its features, without labels: figures, and scores as CSV."""
    listed = listings(work)
    prepared = prepare(work, listed)
    views = []
    pairs = list(dict.fromkeys((cell.dataset, cell.features) for cell in work.cells))
    for (dataset, features), name in zip(pairs, _names(pairs), strict=True):
        catalogue, view = experiment.look(dataset, features, listed[dataset], prepared.root)
        views.append(report.Seen(name, view, catalogue.classes))
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
        telling = [f"{key} {mine[key]}" for key in mine if len({some[key] for some in others}) > 1]
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
    _tell_views(out, [report.Seen(c.name, experiment.look_at_bottleneck(c), tuple(c.record["classes"])) for c in cells])


def _tell_views(out: Path, views: Sequence[report.Seen]) -> None:
    table, written = report.show_views(out, views)
    say("Clusters of k-means, as many as labels, against the labels:")
    show(table)
    for path in written:
        say(str(path))
