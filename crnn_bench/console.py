"""Stored cells → the tables that commands print."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from crnn_bench import grouping, learning, published, report, tables
from crnn_bench.drawing import save
from crnn_bench.terminal import rounded, table_of, without_shared
from crnn_bench.unsupervised import View
from crnn_bench.wording import printable, with_bounds


@dataclass(frozen=True)
class Seen:
    """A view of songs without their labels: its name, what was found, and the labels' names."""

    name: str
    view: View
    classes: tuple[str, ...]


def summary(out: Path) -> tuple[Table, str]:
    """The summary for the terminal, and what all its rows share, in words."""
    short, clips = printable(tables.summary(grouping.groups(report.stored(out))))
    costs = [name for name in ("parameters", "MFLOP") if name in short]
    same = [name for name in costs if len(set(short[name]) - {""}) == 1]  # of all networks, baselines beside
    told = [f"{max(short[name])} {'MFLOP a slice' if name == 'MFLOP' else name}" for name in same]
    table, words = without_shared(short.drop(columns=same), [*clips, *costs], ["level"])
    return table, words + (f"; each network {', '.join(told)}" if told else "")


def aggregations(out: Path) -> tuple[Table, str] | None:
    """Scores by the rule that compiles slices to songs, likewise; `None` where only whole songs were heard."""
    found = tables.aggregations(grouping.groups(report.stored(out)))
    return None if found.empty else without_shared(*printable(found))


def reach(out: Path, score: float) -> tuple[Table, str, Path]:
    """Epochs to a validation accuracy, likewise, and the file `epochs_to.csv` that holds them.

    Raises:
        BenchError: the score is no accuracy, or no cell has a history of accuracies.
    """
    found = learning.epochs_to(grouping.groups(report.stored(out)), score)
    numbers = {
        "reached": [f"{row.reached} of {row.runs}" for row in found.itertuples()],
        "mean epochs": ["–" if np.isnan(mean) else f"{mean:.1f}" for mean in found["epochs_mean"]],
        "epochs": found["epochs"],
        "best accuracy": found["best_validation_accuracy"].map(rounded),
        "F1 slice": found["f1_slice"].map(rounded),
        "F1 song": found["f1_song"].map(rounded),
    }
    words_of_groups = found.loc[:, :"clip"]
    table, words = without_shared(words_of_groups.assign(**numbers), [*numbers])
    return table, words, report.write_table(found, out / "epochs_to.csv")


def published_numbers(out: Path) -> Table | None:
    """Published numbers beside ours for the terminal; `None` where nothing is published of this protocol."""
    theirs = published.beside(grouping.groups(report.stored(out)), report.reproduced(out))
    if theirs.empty:
        return None
    caption = "\n".join(dict.fromkeys(theirs["source"]))
    ours = [with_bounds(*row) for row in theirs[["ours", "low", "high"]].to_numpy()]
    told = theirs.assign(ours=ours).drop(columns=["low", "high", "source"]).map(rounded)
    return table_of(told, ["ours", "published", "tolerance"], caption)


def views(out: Path, seen: Sequence[Seen]) -> tuple[Table, list[Path]]:
    """Draws views to `figures/unsupervised-NAME.png`, writes their scores to `unsupervised.csv`, and tabulates them."""
    from crnn_bench.figures import unsupervised_view

    table, rows, written = (
        Table("vectors", "songs", "labels", "ARI", "NMI", "silhouette by label", "by cluster"),
        [],
        [],
    )
    for one in seen:
        view = one.view
        figure = unsupervised_view.draw(
            view.pca, view.tsne, view.labels, view.clusters, one.classes, view.explained, one.name
        )
        name = re.sub(r"[^\w.-]+", "-", one.name)
        written.append(save(figure, out / "figures" / f"unsupervised-{name}.png"))
        rows.append({"vectors": one.name, "songs": len(view.labels), "labels": len(set(view.labels)), **view.scores})
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in rows[-1].values()))
    return table, [*written, report.write_table(pd.DataFrame(rows), out / "unsupervised.csv")]
