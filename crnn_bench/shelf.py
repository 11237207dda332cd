"""The models of a results folder, the best of each kind, with what their users need to read their answers."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from crnn_bench import familiar, songs, trained
from crnn_bench.bundles import Bundle
from crnn_bench.errors import BenchError
from crnn_bench.familiar import Familiarity
from crnn_bench.songs import Songs

SEEDS = ("split_seed", "model_seed", "split.fold")  # what models of one kind differ in
LEVELS = ("song", "slice")  # of the score; the first that there is
TOLD = ("mean", "low", "high")
TABLE_FAULTS = (KeyError, ValueError, TypeError, csv.Error)


@dataclass(frozen=True)
class Score:
    """Weighted F1 on test songs, the mean over seeds, with its 95% interval.

    Attributes:
        level: what it is a score of, `song` or `slice`.
        seeds: how many models were trained.
    """

    value: float
    low: float
    high: float
    level: str
    seeds: int


@dataclass(frozen=True)
class Shelved:
    """A model that is ready for use.

    Attributes:
        bundle: its file, opened.
        title: what it is, in words that no other model of the shelf has.
        score: of its kind; `None` where its folder has no table that tells it with an interval.
    """

    bundle: Bundle
    title: str
    score: Score | None

    @property
    def key(self) -> str:
        """Its stable name."""
        return self.bundle.path.stem

    @cached_property
    def songs(self) -> Songs | None:
        """Where it places the songs of its experiment; `None` where they were not kept."""
        path = songs.of_model(self.bundle.path)
        return songs.load(path) if path.is_file() else None

    @cached_property
    def familiarity(self) -> Familiarity | None:
        """What it knows; `None` where its songs were not kept."""
        path = songs.of_model(self.bundle.path)
        return familiar.read(path) if path.is_file() else None


def models(place: Path) -> list[Shelved]:
    """The best on validation songs of each kind of model, the best kind first; of a bundle's file, that one.

    Models that differ in seeds and folds alone are of one kind.

    Raises:
        BenchError: there are none, or one is damaged.
    """
    kinds: dict[str, Bundle] = {}
    for bundle in trained.ranked([place] if place.is_file() else trained.within(place)):
        kinds.setdefault(_kind(bundle.about), bundle)
    chosen = list(kinds.values())
    folder = chosen[0].path.absolute().parent.parent
    titles = _titles([bundle.about for bundle in chosen])
    try:
        scores = _scores(folder)
    except TABLE_FAULTS as error:
        fault = f"its results.csv or summary.csv is damaged ({type(error).__name__})"
        raise BenchError(f"{folder}: {fault}; make them again with `crnn-bench report`") from None
    return [
        Shelved(bundle, title, scores.get(str(bundle.about["name"])))
        for bundle, title in zip(chosen, titles, strict=True)
    ]


def best(place: Path) -> Shelved:
    """The first of `models`."""
    return models(place)[0]


def _kind(about: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in about["parameters"].items() if name not in SEEDS}
    return json.dumps([about.get("dataset"), kept], sort_keys=True)


def _titles(abouts: Sequence[Mapping[str, Any]]) -> list[str]:
    """`CRNN, AlbumSplit, 3 s`, and for those that are called alike what tells them apart."""
    titles = []
    for about in abouts:
        clip = about["clip_seconds"]
        heard = "whole songs" if clip is None else f"{clip:g} s"
        words = (about["parameters"].get(what) for what in ("model", "split"))
        titles.append(", ".join([*filter(None, words), heard]))
    return [
        ", ".join(
            [
                title,
                *_apart(
                    about["parameters"], [o["parameters"] for o, t in zip(abouts, titles, strict=True) if t == title]
                ),
            ]
        )
        for about, title in zip(abouts, titles, strict=True)
    ]


def _apart(mine: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a model has otherwise than some model that is called alike."""
    names = [name for name in mine if name not in SEEDS and any(other.get(name) != mine[name] for other in alike)]
    if not names:
        return []
    from crnn_bench.wording import in_words

    return [f"{name.rpartition('.')[2].replace('_', ' ')} {in_words(mine[name])}" for name in names]


def _scores(folder: Path) -> dict[str, Score]:
    """By the names of the cells, how the kind of each did on test songs, as the folder's tables tell."""
    cells, rows = _rows(folder / "results.csv"), _rows(folder / "summary.csv")
    found = {}
    for cell in cells:
        clip = f"{float(cell['clip_seconds']):g} s" if cell["clip_seconds"] else "songs"
        told = {row["level"]: score for row in rows if _is_of(row, cell) and (score := _score(row, clip))}
        for level in reversed(LEVELS):
            if level in told:
                found[cell["cell"]] = told[level]
    return found


def _is_of(row: Mapping[str, str], cell: Mapping[str, str]) -> bool:
    """Whether a row of the summary is about a cell: it has the same words."""
    return all(row[name] == cell[name] for name in row if name in cell and name not in ("seeds",))


def _score(row: Mapping[str, str], clip: str) -> Score | None:
    value, low, high = (float(row.get(f"{clip} {what}") or math.nan) for what in TOLD)
    if not all(map(math.isfinite, (value, low, high))):
        return None
    return Score(value, low, high, row["level"], int(row["seeds"]))


def _rows(path: Path) -> list[dict[str, str]]:
    """A table as a run writes it; nothing where there is none."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
