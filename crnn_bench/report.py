"""Stored cells → table files, figures and a page; runs again from what is stored."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from crnn_bench import evaluation, grouping, learning, published, results, tables
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.cells import Experiment
from crnn_bench.errors import BenchError
from crnn_bench.results import Result
from crnn_bench.terminal import rounded, table_of, without_shared
from crnn_bench.unsupervised import View
from crnn_bench.whole import replacing
from crnn_bench.wording import printable


@dataclass(frozen=True)
class Seen:
    """A view of songs without their labels: its name, what was found, and the labels' names."""

    name: str
    view: View
    classes: tuple[str, ...]


def begin(out: Path, work: Experiment, cells: Sequence[str], rejected: Mapping[str, str]) -> None:
    """Notes which cells the folder's tables are about.

    Args:
        out: the folder.
        work: the experiment.
        cells: their names.
        rejected: tracks that some cell leaves out, and why.
    """
    content = {"name": work.name, "cells": list(cells), "yaml": work.text, "set": list(work.overrides)}
    _write_text(out / "experiment.json", json.dumps({**content, "rejected": dict(rejected)}, indent=1))


def stored(out: Path) -> list[Result]:
    """The finished cells of the folder's experiment, in its order.

    Raises:
        BenchError: no experiment was run there, or none of its cells is finished.
    """
    names = _noted(out)["cells"]
    found = [results.load(out, name) for name in names if results.predictions_path(out, name).is_file()]
    if not found:
        raise BenchError(f"{out}: none of the {len(names)} cells is finished yet; `crnn-bench run` goes on with them")
    return found


def write(out: Path) -> list[Path]:
    """Writes the tables (`aggregations` and `published` where there are such numbers), the figures and the page."""
    from crnn_bench.figures import score_bars

    cells = stored(out)
    found = {
        "results": tables.of_cells(cells),
        "summary": tables.summary(cells),
        "aggregations": tables.aggregations(cells),
        "published": published.beside(cells),
    }
    written = [_write_table(table, out / f"{name}.csv") for name, table in found.items() if len(table)]
    written.append(_save(score_bars.draw(tables.bars(cells)), out / "figures" / "scores.png"))
    curves = _draw_learning(out, cells)
    _write_text(out / "report.html", _page(out, cells, found, curves))
    return [*written, *curves, out / "report.html"]


def write_search(cell: Result, path: Path) -> None:
    """Writes the trials of a cell's search: `trial`, each argument, `mean`, `std` of weighted F1, and `fault`."""
    trials = [{**trial, **trial["arguments"]} for trial in cell.record["search"]]
    names = ["trial", *trials[0]["arguments"], "mean", "std", "fault"]
    _write_table(pd.DataFrame(trials).reindex(columns=names), path)


def rebuild(out: Path) -> list[Path]:
    """Draws every figure and writes every table again, from predictions and embeddings."""
    for cell in stored(out):
        draw_cell(out, cell)
    return write(out)


def draw_cell(out: Path, cell: Result) -> list[Path]:
    """Draws a cell's confusion matrices, bottleneck t-SNE and training curves to `figures/NAME-….png`."""
    from crnn_bench.figures import bottleneck_tsne, confusion_matrix, training_curves

    test, n_classes = cell.predictions.of("test"), len(cell.record["classes"])
    songs = evaluation.confusion(*evaluation.song_classes(test, SureVote()), n_classes)
    figures = {"confusion-songs": confusion_matrix.draw(songs, test.classes, "Test songs (vote)")}
    if grouping.hears_slices(cell):
        slices = evaluation.confusion(test.truth, test.probabilities.argmax(axis=1), n_classes)
        figures["confusion-slices"] = confusion_matrix.draw(slices, test.classes, "Test slices")
    if cell.embeddings is not None:
        vectors = cell.embeddings.drop(columns=["track_id", "part", "label"])
        tested = cell.embeddings["part"].eq("test")
        figures["tsne-slices"] = bottleneck_tsne.draw(
            vectors.to_numpy(), cell.embeddings["label"].to_numpy(), tested.to_numpy(), test.classes, "slices"
        )
        means = (
            vectors.assign(label=cell.embeddings["label"], tested=tested).groupby(cell.embeddings["track_id"]).mean()
        )
        points = means.drop(columns=["label", "tested"]).to_numpy(np.float32)
        figures["tsne-songs"] = bottleneck_tsne.draw(
            points, means["label"].to_numpy(np.int64), means["tested"].to_numpy() > 0, test.classes, "songs"
        )
    if "history" in cell.record:
        figures["training"] = training_curves.draw(cell.record["history"], cell.record["best_epoch"])
    return [_save(figure, out / "figures" / f"{cell.name}-{what}.png") for what, figure in figures.items()]


def show_views(out: Path, seen: Sequence[Seen]) -> tuple[Table, list[Path]]:
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
        written.append(_save(figure, out / "figures" / f"unsupervised-{name}.png"))
        rows.append({"vectors": one.name, "songs": len(view.labels), "labels": len(set(view.labels)), **view.scores})
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in rows[-1].values()))
    return table, [*written, _write_table(pd.DataFrame(rows), out / "unsupervised.csv")]


def console_table(out: Path) -> tuple[Table, str]:
    """The summary for the terminal, and what all its rows share, in words."""
    short, clips = printable(tables.summary(stored(out)))
    costs = [name for name in ("parameters", "MFLOP") if name in short]
    same = [name for name in costs if len(set(short[name]) - {""}) == 1]  # of all networks, baselines beside
    told = [f"{max(short[name])} {'MFLOP a slice' if name == 'MFLOP' else name}" for name in same]
    table, words = without_shared(short.drop(columns=same), [*clips, *costs], ["level"])
    return table, words + (f"; each network {', '.join(told)}" if told else "")


def aggregations_table(out: Path) -> tuple[Table, str] | None:
    """Scores by the rule that compiles slices to songs, likewise; `None` where only whole songs were heard."""
    found = tables.aggregations(stored(out))
    return None if found.empty else without_shared(*printable(found))


def reach_table(out: Path, score: float) -> tuple[Table, str, Path]:
    """Epochs to a validation accuracy, likewise, and the file `epochs_to.csv` that holds them.

    Raises:
        BenchError: the score is no accuracy, or no cell has a history of accuracies.
    """
    found = learning.epochs_to(stored(out), score)
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
    return table, words, _write_table(found, out / "epochs_to.csv")


def published_table(out: Path) -> Table | None:
    """Published numbers beside ours for the terminal; `None` where nothing is published of this protocol."""
    theirs = published.beside(stored(out))
    if theirs.empty:
        return None
    caption = "\n".join(dict.fromkeys(theirs["source"]))
    return table_of(theirs.drop(columns="source").map(rounded), ["ours", "published"], caption)


def _draw_learning(out: Path, cells: Sequence[Result]) -> list[Path]:
    """The networks' learning curves, where there are several groups to compare."""
    from crnn_bench.figures import learning as learning_figure

    curves = learning.curves(cells)
    if curves["group"].nunique() < 2:
        return []
    return [_save(learning_figure.draw(curves), out / "figures" / "learning.png")]


def _page(out: Path, cells: Sequence[Result], found: Mapping[str, pd.DataFrame], curves: Sequence[Path]) -> str:
    import jinja2

    template = jinja2.Template(resources.files("crnn_bench").joinpath("report.html.j2").read_text(), autoescape=True)
    pictures = [(cell.name, sorted((out / "figures").glob(f"{cell.name}-*.png"))) for cell in cells]
    table, by_rule = found["results"], found["aggregations"]
    page: str = template.render(
        noted=_noted(out),
        n_cells=len(cells),
        summary=printable(found["summary"])[0],
        aggregations=by_rule if by_rule.empty else printable(by_rule)[0],
        table=table.round(3).astype(object).where(table.notna(), ""),
        published=found["published"].round(3),
        scores=_inline(out / "figures" / "scores.png"),
        learning=[_inline(path) for path in curves],
        pictures=[
            (name, [(path.stem.removeprefix(f"{name}-"), _inline(path)) for path in paths]) for name, paths in pictures
        ],
    )
    return page


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _noted(out: Path) -> dict[str, Any]:
    path = out / "experiment.json"
    if not path.is_file():
        raise BenchError(f"no experiment was run in {out}; `crnn-bench run EXPERIMENT.yaml --out {out}` does it")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        raise BenchError(f"{path} is damaged; the same `crnn-bench run` writes it again") from None
    return content


def _save(figure: Any, path: Path) -> Path:
    with replacing(path) as part:
        figure.savefig(part, dpi=110, format="png")
    return path


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _write_table(table: pd.DataFrame, path: Path) -> Path:
    _write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path
