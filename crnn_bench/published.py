"""Published numbers, each with its source, beside ours where dataset and protocol are the same, and nowhere else."""

from collections.abc import Mapping, Sequence
from importlib import import_module, resources
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import evaluation, grouping, plugins
from crnn_bench.plugins import Choice
from crnn_bench.records import Predictions
from crnn_bench.results import Result
from crnn_bench.schedules.constant import Constant

PROTOCOL = ("dataset", "dataset.subset", "split", "features", "model", "clip_seconds")  # an empty field fits everything
AT_DEFAULTS = {
    "split": ("crnn_bench.splits.SplitStrategy",),
    "features": ("crnn_bench.features.Feature",),
    "model": ("crnn_bench.models.Network", "crnn_bench.baselines.Baseline"),
}
OF_THE_PAPERS = {
    "trainer.max_epochs": 200,
    "trainer.patience": 10,
    "trainer.schedule": plugins.class_path(Constant),
    "trainer.warmup_epochs": 0,
    "augment": "none",
    "init_from": None,
}
WHAT = ["split", "model", "clip", "part", "level", "metric"]


def beside(cells: Sequence[Result]) -> pd.DataFrame:
    """One row a published number whose protocol some cells follow, with every argument at its default.

    Returns:
        Columns `split, model, clip, part, level, metric, ours` (mean over seeds, folds pooled), `published` and
        `source`; no rows where nothing is published.
    """
    known = numbers()
    rows = []
    for group in grouping.groups(cells):
        followed = next(iter(group.runs.values()))[0].record["parameters"]
        words = {"split": group.words["split"], "model": group.words["model"], "clip": group.clip}
        fitting = known[[_fits(row, followed) for row in known[[*PROTOCOL]].to_dict("records")]]
        for number in fitting.itertuples() if len(fitting) and _is_plain(followed) else ():
            ours = _score(group, number.part, f"{number.level}/{number.metric}")
            place = {"part": number.part, "level": number.level, "metric": number.metric}
            rows.append({**words, **place, "ours": ours, "published": number.value, "source": number.source})
    return pd.DataFrame(rows, columns=[*WHAT, "ours", "published", "source"])


def numbers() -> pd.DataFrame:
    """All published numbers: what protocol, part, level and metric each is of, its value, best trial and source."""
    text = dict.fromkeys(PROTOCOL, str)
    with resources.files("crnn_bench").joinpath("published.csv").open() as file:
        return pd.read_csv(file, dtype=text, keep_default_na=False, na_values={"best": [""]})


def _fits(row: Mapping[str, str], followed: Mapping[str, Any]) -> bool:
    """A field may name alternatives: `Fma|FmaFeatures`."""
    return all(row[name] == "" or _text(name, followed.get(name)) in row[name].split("|") for name in PROTOCOL)


def _text(name: str, value: object) -> str:
    if name == "clip_seconds":
        return "song" if value is None else f"{value:g}"
    return str(value)


def _is_plain(followed: Mapping[str, Any]) -> bool:
    """Whether split, features, model, search and training are as their defaults, which are the papers'."""
    searched = any(name.startswith("search.") for name in followed)
    if searched or any(name in followed and followed[name] != value for name, value in OF_THE_PAPERS.items()):
        return False
    for key, paths in AT_DEFAULTS.items():
        families = [getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in paths]
        cls = plugins.find(followed[key], *families)
        plain = Choice(cls, {name: p.default for name, p in plugins.parameters(cls).items()}).describe()["init_args"]
        if any(followed.get(f"{key}.{name}", value) != value for name, value in plain.items()):
            return False
    return True


def _score(group: grouping.Group, part: str, name: str) -> float:
    """The mean over seeds."""
    found = []
    for seed in group.runs.values():
        pooled = Predictions.joined([cell.predictions.of(part) for cell in seed])
        found.append(evaluation.scores(pooled, grouping.hears_slices(seed[0]))[name])
    return float(np.mean(found))
