"""Published numbers, each with its source, beside ours where dataset and protocol are the same, and nowhere else."""

from collections.abc import Sequence
from importlib import resources

import numpy as np
import pandas as pd

from crnn_bench import evaluation, tables
from crnn_bench.records import Predictions
from crnn_bench.results import Result

PROTOCOL = ("dataset", "split", "split.k", "model", "clip_seconds")  # an empty field fits everything
WHAT = ["split", "model", "clip", "part", "level", "metric"]


def beside(cells: Sequence[Result]) -> pd.DataFrame:
    """One row a published number whose protocol some cells follow.

    Returns:
        Columns `split, model, clip, part, level, metric, ours` (mean over seeds, folds pooled), `published` and
        `source`; no rows where nothing is published.
    """
    known = numbers()
    rows = []
    for group in tables.groups(cells):
        cell = next(iter(group.runs.values()))[0]
        followed = {**cell.record["parameters"], "dataset": cell.record["dataset"]}
        followed["clip_seconds"] = followed["clip_seconds"] or "song"
        words = {"split": group.words["split"], "model": group.words["model"], "clip": group.clip}
        for number in known[[_fits(row, followed) for row in known[[*PROTOCOL]].to_dict("records")]].itertuples():
            ours = _score(group, number.part, f"{number.level}/{number.metric}")
            place = {"part": number.part, "level": number.level, "metric": number.metric}
            rows.append({**words, **place, "ours": ours, "published": number.value, "source": number.source})
    return pd.DataFrame(rows, columns=[*WHAT, "ours", "published", "source"])


def numbers() -> pd.DataFrame:
    """All published numbers: what protocol, part, level and metric each is of, its value, best trial and source."""
    text = dict.fromkeys(PROTOCOL, str)
    with resources.files("crnn_bench").joinpath("published.csv").open() as file:
        return pd.read_csv(file, dtype=text, keep_default_na=False, na_values={"best": [""]})


def _fits(row: dict[str, str], followed: dict[str, object]) -> bool:
    return all(row[name] in ("", _text(followed.get(name))) for name in PROTOCOL)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value == round(value) else str(value)


def _score(group: tables.Group, part: str, name: str) -> float:
    """The mean over seeds."""
    found = []
    for seed in group.runs.values():
        pooled = Predictions.joined([cell.predictions.of(part) for cell in seed])
        found.append(evaluation.scores(pooled, tables.hears_slices(seed[0]))[name])
    return float(np.mean(found))
