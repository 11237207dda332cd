"""Songs without their labels, as an experiment's features or its networks place them."""

from collections.abc import Sequence
from pathlib import Path

from crnn_bench import experiment, report
from crnn_bench.cells import Experiment
from crnn_bench.errors import BenchError
from crnn_bench.preparing import listings, prepare
from crnn_bench.terminal import say, show


def features(work: Experiment, out: Path) -> None:
    """Shows each dataset of an experiment through each of its features, without labels: figures, and scores as CSV."""
    listed = listings(work)
    prepared = prepare(work, listed)
    views = []
    for dataset, features in dict.fromkeys((cell.dataset, cell.features) for cell in work.cells):
        catalogue, view = experiment.look(dataset, features, listed[dataset], prepared.root)
        views.append(report.Seen(f"{dataset.build().name} {features.label}", view, catalogue.classes))
    _tell_views(out, views)


def networks(out: Path) -> None:
    """Shows the test songs of each network in a results folder as its bottleneck places them.

    Raises:
        BenchError: no network's cell is finished there.
    """
    cells = [cell for cell in report.stored(out) if cell.embeddings is not None]
    if not cells:
        raise BenchError(f"{out} has no network's bottleneck vectors; give the experiment's YAML to see its features")
    _tell_views(out, [report.Seen(c.name, experiment.look_at_bottleneck(c), tuple(c.record["classes"])) for c in cells])


def _tell_views(out: Path, views: Sequence[report.Seen]) -> None:
    table, written = report.show_views(out, views)
    say("Clusters of k-means, as many as labels, against the labels:")
    show(table)
    for path in written:
        say(str(path))
