"""What the MLflow dashboard shows of cells and experiments: names, tags, parameters, metrics and notes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from crnn_bench.cells import Cell
from crnn_bench.planning import Plan
from crnn_bench.wording import in_words, question

TRACKED = (  # of each level on the test part; the others are in scores.json
    "f1",
    "f1_macro",
    "accuracy",
    "balanced_accuracy",
    "top3_accuracy",
    "average_precision",
    "roc_auc",
    "log_loss",
    "calibration_error",
)
CHECKED = ("f1", "accuracy")  # of each level on the validation part
COLUMNS = ("song/f1", "slice/f1", "validation/song/f1", "fit_seconds")  # of the views
AXES = ("split", "model", "clip_seconds", "model_seed")
WORDS = ("split", "model", "clip_seconds", "seed")  # likewise: tags that tell cells apart
NAMED_ALREADY = ("features", "model.pooling")  # by the first words of a title


def title(cell: Cell, telling: Sequence[str] = ()) -> str:
    """A cell in words: what tells it apart from the others.

    Args:
        cell: the point of the grid.
        telling: parameters that differ among the cells of one model.
    """
    split = f"split seed {cell.split_seed}, model " if cell.split_seed != cell.model_seed else ""
    return f"{_words(cell, telling, _fold(cell))}, {split}seed {cell.model_seed}"


def group(cell: Cell, telling: Sequence[str] = ()) -> str:
    """The same words for all seeds and folds: what the dashboard is to group by."""
    return _words(cell, telling, "")


def _words(cell: Cell, telling: Sequence[str], fold: str) -> str:
    pooling = cell.parameters.get("model.pooling") if "model.pooling" in telling else None
    words = [cell.model.label + (f" ({in_words(pooling)} pooling)" if pooling else "")]
    if not cell.trainer and cell.model.build().features is None:
        words[0] += f" on {cell.features.label}"
    words.append(cell.split.label + (f" fold {fold}" if fold else ""))
    words.append("whole songs" if cell.clip_seconds is None else f"{cell.clip_seconds:g} s")
    others = [name for name in telling if name in cell.parameters and name not in NAMED_ALREADY]
    return ", ".join([*words, *(f"{name.rpartition('.')[2]} {in_words(cell.parameters[name])}" for name in others)])


def _fold(cell: Cell) -> str:
    fold = cell.split.arguments.get("fold")
    return "" if fold is None else str(fold)


def tags(planned: Plan, telling: Sequence[str]) -> dict[str, str]:
    """What runs of cells are filtered and grouped by."""
    cell = planned.cell
    return {
        "kind": "cell",
        "group": group(cell, telling),
        "dataset": planned.dataset.name,
        "split": cell.split.label,
        "kept_together": planned.split.group,
        "model": cell.model.label,
        "clip_seconds": _clip(cell),
        "seed": str(cell.model_seed),
        **({"fold": _fold(cell)} if _fold(cell) else {}),
    }


def parameters(cell: Cell, searched: Mapping[str, Any]) -> dict[str, str]:
    """All that a cell sets, in short words; numbers are numbers, and what is switched off is left out.

    Args:
        cell: the point of the grid.
        searched: what a search has chosen, by argument.
    """
    found = {name: value for name, value in cell.parameters.items() if value is not None and value is not False}
    found |= {f"searched.{name}": value for name, value in searched.items()}
    return {name: in_words(value) for name, value in found.items()} | {"clip_seconds": _clip(cell)}


def _clip(cell: Cell) -> str:
    return "song" if cell.clip_seconds is None else f"{cell.clip_seconds:g}"


def metrics(record: Mapping[str, Any], scores: Mapping[str, float]) -> dict[str, float]:
    """Few enough to be looked through: a cell's counts and seconds, and the scores that people ask for."""
    names = [f"{level}/{name}" for level in ("slice", "song") for name in TRACKED]
    names += [f"validation/{level}/{name}" for level in ("slice", "song") for name in CHECKED]
    chosen = {name: scores[name] for name in names if name in scores and math.isfinite(scores[name])}
    return chosen | {name: value for name, value in record.items() if isinstance(value, (int, float))}


def views(telling: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How the dashboard lists an experiment, as it would note it: its cells, their means, or all in parallel axes.

    Args:
        telling: parameters that differ among the cells of one model.
    """
    shown = {
        "searchFilter": "tags.kind = 'cell'",
        "orderByKey": f"metrics.`{COLUMNS[0]}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "selectedColumns": [*(f"metrics.`{name}`" for name in COLUMNS), *(f"tags.`{name}`" for name in WORDS)],
        "runsHiddenMode": "SHOWALL",
    }
    by_group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "group"}]}
    axes = {"selectedParams": [*AXES, *telling], "selectedMetrics": list(COLUMNS[2::-1]), "showAllRuns": True}
    chart = {"uuid": "axes", "type": "PARALLEL", "runsCountToCompare": 100, "metricSectionId": "all", "deleted": False}
    section = {
        "uuid": "all",
        "name": "All cells",
        "display": True,
        "isReordered": False,
        "deleted": False,
        "columns": 1,
    }
    charts = {"compareRunCharts": [{**chart, "isGenerated": False, **axes}]}
    charts |= {"compareRunSections": [{**section, "isGenerated": False}]}
    return {"cells": shown, "groups": {**shown, "groupBy": by_group}, "axes": {**shown, **charts}}


def note(yaml: str, summary: pd.DataFrame, out: str, best: str) -> str:
    """The note on the run of a whole experiment, in Markdown.

    Args:
        yaml: the experiment's.
        summary: the paper's table, as it is read.
        out: the results' folder.
        best: address and name of the registered model; empty where there is none.
    """
    paragraphs = [
        question(yaml),
        "Weighted F1 on test songs, mean [95% interval] over seeds:",
        markdown(summary),
        f"Best on validation songs: {best}." if best else "",
        f"The whole report: `report.html` under Artifacts, or `{out}/report.html`. "
        "Grouped by the tag `group`, the runs below show the mean over seeds and folds.",
    ]
    return "\n\n".join(text for text in paragraphs if text)


def markdown(table: pd.DataFrame) -> str:
    """A table of words in Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(str(word).replace('|', '/') for word in row)} |" for row in rows)
