"""Stored cells → tables, figures and a page; runs again from what is stored."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from crnn_bench import evaluation, results
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.errors import BenchError
from crnn_bench.records import Predictions
from crnn_bench.results import Result

COLUMNS = {
    "f1_slice": "slice/f1",
    "f1_song": "song/f1",
    "accuracy_slice": "slice/accuracy",
    "accuracy_song": "song/accuracy",
    "f1_macro_slice": "slice/f1_macro",
    "f1_macro_song": "song/f1_macro",
    "f1_song_mean_prob": "song/f1/mean-prob",
    "f1_song_validation": "validation/song/f1",
}
RECORDED = (
    "n_train_slices", "n_test_slices", "n_test_songs", "n_rejected", "fit_seconds", "slices_per_second",
    "predict_slices_per_second", "precision", "epochs", "best_epoch", "run_id",
)  # fmt: skip
SEEDS = ("split_seed", "model_seed")
PER_CELL = (*SEEDS, "split.fold", "clip_seconds")  # what a group's cells may differ in
LEVELS = ("slice", "song")


@dataclass(frozen=True)
class Group:
    """Cells that differ in seeds and folds alone, at one clip length.

    Attributes:
        words: what tells the group apart: `dataset, split, model` and whatever else the grid varies.
        clip: heading of its column, e.g. `3 s`.
        runs: by seed, the cells of all folds.
    """

    words: dict[str, str]
    clip: str
    runs: dict[tuple[int, ...], list[Result]]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Weighted F1, one row a seed, columns slice and song; folds are pooled before they are scored."""
        rows = []
        for cells in self.runs.values():
            pooled = Predictions.joined([cell.predictions.of("test") for cell in cells])
            found = evaluation.scores(pooled, hears_slices(cells[0]))
            rows.append({level: found.get(f"{level}/f1", np.nan) for level in LEVELS})
        return pd.DataFrame(rows)


def begin(out: Path, name: str, cells: Sequence[str], yaml: str) -> None:
    """Notes which cells the folder's tables are about."""
    content = json.dumps({"name": name, "cells": list(cells), "yaml": yaml}, indent=1)
    _write_text(out / "experiment.json", content)


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


def table_of_cells(cells: Sequence[Result]) -> pd.DataFrame:
    """One row a cell: what it was, its scores, its counts and seconds."""
    rows = []
    for cell in cells:
        parameters = cell.record["parameters"]
        scores = of_cell(cell)
        row: dict[str, Any] = {"dataset": cell.record["dataset"], "split": parameters["split"]}
        row |= {"fold": parameters.get("split.fold"), "clip_seconds": parameters["clip_seconds"]}
        row |= {"model": parameters["model"], "pooling": _short(parameters.get("model.pooling", ""))}
        row |= {"seed": parameters["model_seed"], "split_seed": parameters["split_seed"]}
        row |= {column: scores.get(name) for column, name in COLUMNS.items()}
        row |= {name: cell.record.get(name) for name in RECORDED}
        rows.append(row)
    table = pd.DataFrame(rows)
    varied = _varied([cell.record["parameters"] for cell in cells])
    extra = {
        name: [cell.record["parameters"].get(name) for cell in cells] for name in varied if name != "model.pooling"
    }
    return table.assign(**{name: [_short(value) for value in values] for name, values in extra.items()})


def of_cell(cell: Result) -> dict[str, float]:
    """Every metric on the test part, and under `validation/…` on the validation part."""
    found = evaluation.scores(cell.predictions.of("test"), hears_slices(cell))
    checked = evaluation.scores(cell.predictions.of("validation"), hears_slices(cell))
    return found | {f"validation/{name}": value for name, value in checked.items()}


def hears_slices(cell: Result) -> bool:
    """Whether the model answers for slices; one that hears whole songs has no slice level."""
    return cell.record["parameters"]["clip_seconds"] is not None


def groups(cells: Sequence[Result]) -> list[Group]:
    """Puts cells together that differ in seeds and folds alone."""
    varied = _varied([cell.record["parameters"] for cell in cells])
    found: dict[tuple[str, str], Group] = {}
    for cell in cells:
        parameters = cell.record["parameters"]
        clip = "songs" if parameters["clip_seconds"] is None else f"{parameters['clip_seconds']:.3g} s"
        words = {"dataset": cell.record["dataset"], "split": parameters["split"], "model": parameters["model"]}
        words |= {_column(name): _short(parameters[name]) for name in varied if name in parameters}
        fixed = {name: value for name, value in parameters.items() if name not in PER_CELL}
        key = (json.dumps([cell.record["dataset"], fixed], sort_keys=True), clip)
        group = found.setdefault(key, Group(words, clip, {}))
        group.runs.setdefault(tuple(parameters[seed] for seed in SEEDS), []).append(cell)
    return list(found.values())


def summary(cells: Sequence[Result]) -> pd.DataFrame:
    """The paper's table: a row a split, level and model; for each clip length mean, best and deviation over seeds."""
    rows: dict[str, dict[str, Any]] = {}
    for level in LEVELS:
        for group in groups(cells):
            values = group.scores[level].dropna()
            if values.empty:
                continue
            folds = len(next(iter(group.runs.values())))
            row = rows.setdefault(
                f"{level}{sorted(group.words.items())}",
                {**group.words, "level": level, "seeds": len(values), "pooled_folds": folds},
            )
            row[f"{group.clip} mean"] = values.mean()
            row[f"{group.clip} best"] = values.max()
            row[f"{group.clip} std"] = values.std(ddof=1) if len(values) > 1 else np.nan
    table = pd.DataFrame(list(rows.values()))
    leading = [name for name in table if not _is_number(name)]
    return table[[*leading, *(name for name in table if _is_number(name))]]


def write(out: Path) -> list[Path]:
    """Writes `results.csv`, `summary.csv`, `figures/scores.png` and `report.html` from what is stored."""
    from crnn_bench.figures import score_bars

    cells = stored(out)
    table, short = table_of_cells(cells), summary(cells)
    _write_text(out / "results.csv", table.to_csv(index=False, lineterminator="\n"))
    _write_text(out / "summary.csv", short.to_csv(index=False, lineterminator="\n"))
    bars = _save(score_bars.draw(_bars(cells)), out / "figures" / "scores.png")
    _write_text(out / "report.html", _page(out, cells, table, short))
    return [out / "results.csv", out / "summary.csv", bars, out / "report.html"]


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
    if hears_slices(cell):
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


def console_table(out: Path) -> Table:
    """The summary for the terminal; what all rows share stands below it."""
    short, clips = _printable(summary(stored(out)))
    shared = [name for name in short if len(set(short[name])) == 1 and name not in (*clips, "level")]
    caption = ", ".join(f"{name.replace('_', ' ')} {short[name].iloc[0]}" for name in shared)
    table = Table(caption=caption, caption_justify="left")
    for heading in short.columns.drop(shared):
        table.add_column(heading, justify="right" if heading in clips else "left", no_wrap=True)
    for row in short.drop(columns=shared).itertuples(index=False):
        table.add_row(*row)
    return table


def _printable(short: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The summary with one text column a clip length, `0.765 (0.768)`, and those columns' names."""
    leading = [name for name in short if not _is_number(name)]
    clips = [name.removesuffix(" mean") for name in short if name.endswith(" mean")]
    printed = {
        clip: [_mean_best(*pair) for pair in zip(short[f"{clip} mean"], short[f"{clip} best"], strict=True)]
        for clip in clips
    }
    return short[leading].astype(object).fillna("").astype(str).assign(**printed), clips


def _mean_best(mean: float, best: float) -> str:
    return "–" if np.isnan(mean) else f"{mean:.3f} ({best:.3f})"


def _bars(cells: Sequence[Result]) -> pd.DataFrame:
    rows = []
    for group in groups(cells):
        text = ", ".join([*list(group.words.values())[1:], group.clip])
        for level in LEVELS:
            rows.append(
                {"group": text, "level": level, "mean": group.scores[level].mean(), "std": group.scores[level].std()}
            )
    return pd.DataFrame(rows)


def _page(out: Path, cells: Sequence[Result], table: pd.DataFrame, short: pd.DataFrame) -> str:
    import jinja2

    template = jinja2.Template(resources.files("crnn_bench").joinpath("report.html.j2").read_text(), autoescape=True)
    pictures = [(cell.name, sorted((out / "figures").glob(f"{cell.name}-*.png"))) for cell in cells]
    page: str = template.render(
        noted=_noted(out),
        n_cells=len(cells),
        summary=_printable(short)[0],
        table=table.round(3).astype(object).where(table.notna(), ""),
        scores=_inline(out / "figures" / "scores.png"),
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


def _varied(parameters: Sequence[dict[str, Any]]) -> list[str]:
    """Parameters that differ among the cells of one model, besides seeds, folds, clip length and the split's name."""
    names: dict[str, None] = {}
    for model in dict.fromkeys(some["model"] for some in parameters):
        mine = [some for some in parameters if some["model"] == model]
        for name in dict.fromkeys(name for some in mine for name in some):
            values = {json.dumps(some[name]) for some in mine if name in some}
            if len(values) > 1 and name not in (*PER_CELL, "split", "min_seconds"):
                names[name] = None
    return list(names)


def _short(value: Any) -> str:
    """A class path by its last word, anything else as it is."""
    return (
        value.rsplit(".", 1)[-1].lower() if isinstance(value, str) and value.startswith("crnn_bench.") else str(value)
    )


def _column(parameter: str) -> str:
    """A varied parameter's column: its dotted name, but plain `pooling`."""
    return "pooling" if parameter == "model.pooling" else parameter


def _is_number(column: str) -> bool:
    return column.endswith((" mean", " best", " std"))


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    figure.savefig(temporary, dpi=110, format="png")
    temporary.replace(path)
    return path


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text)
    temporary.replace(path)
