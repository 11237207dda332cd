"""Published numbers, each with its source, beside ours where dataset and protocol are the same, and nowhere else."""

from collections.abc import Mapping, Sequence
from importlib import import_module, resources
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import evaluation, plugins, statistics
from crnn_bench.cells import Published
from crnn_bench.grouping import Group
from crnn_bench.metrics import Additive
from crnn_bench.plugins import Choice
from crnn_bench.schedules.constant import Constant
from crnn_bench.statistics import Interval

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
NUMBERS = ["ours", "low", "high", "published", "tolerance", "verdict", "source"]


def beside(groups: Sequence[Group], reproduced: Sequence[Published] = ()) -> pd.DataFrame:
    """One row a published number whose protocol some cells follow, with every argument at its default.

    Args:
        groups: of finished cells.
        reproduced: more numbers, of whichever cells they name, whatever their other arguments.

    Returns:
        Columns `split, model, clip, part, level, metric`, `ours` (mean over seeds, folds pooled), `low, high` (its 95%
        interval, where the metric has one), `published`, `tolerance`, `verdict` (where ours lies: `within`, `above` or
        `below` the tolerance; blank where none is known) and `source`; no rows where nothing is published.
    """
    known = _known()
    rows = []
    for group in groups:
        followed = group.cells[0].record["parameters"]
        words = {"split": group.words["split"], "model": group.words["model"], "clip": group.clip}
        fitting = [number for number in known if number.fits(followed)]
        plain = fitting if fitting and _is_plain(followed) else []
        for number in [*plain, *(number for number in reproduced if number.fits(followed))]:
            ours = _score(group, number)
            place = {"part": number.part, "level": number.level, "metric": number.metric}
            values = {"ours": ours.value, "low": ours.low, "high": ours.high, "published": number.value}
            judged = {"tolerance": number.tolerance, "verdict": number.verdict(ours.value), "source": number.source}
            rows.append({**words, **place, **values, **judged})
    return pd.DataFrame(rows, columns=[*WHAT, *NUMBERS]).astype({"tolerance": float})


def numbers() -> pd.DataFrame:
    """All published numbers: what protocol, part, level and metric each is of, value, best trial, tolerance, source."""
    text = dict.fromkeys(PROTOCOL, str)
    with resources.files("crnn_bench").joinpath("published.csv").open() as file:
        return pd.read_csv(file, dtype=text, keep_default_na=False, na_values={"best": [""], "tolerance": [""]})


def _known() -> list[Published]:
    found = []
    for row in numbers().rename(columns={"dataset.subset": "subset"}).to_dict("records"):
        clip, tolerance = row["clip_seconds"], row["tolerance"]
        row |= {"clip_seconds": clip if clip == "song" else float(clip)}
        row |= {"tolerance": None if np.isnan(tolerance) else tolerance}
        found.append(Published(**{str(n): value for n, value in row.items() if n not in ("best", "tolerance_of")}))
    return found


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


def _score(group: Group, number: Published) -> Interval:
    """The mean over seeds."""
    (metric,) = (metric for metric in evaluation.metrics() if metric.name == number.metric)
    answers = group.answers(number.level, evaluation.rule_of(metric), number.part)
    if isinstance(metric, Additive):
        return statistics.interval(answers, metric)
    value = np.mean([metric.score(some.truth, some.probabilities) for some in answers.values()])
    return Interval(float(value), np.nan, np.nan)
