"""How tables are read: arguments and numbers as people write them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench.plugins import short_name

COSTS = {"n_parameters": "parameters", "n_learned": "learned", "mflop_per_slice": "MFLOP"}
NUMBERS = ("mean", "best", "std", "low", "high", *COSTS.values())  # what columns of numbers end in
UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


def in_words(value: Any) -> str:
    """An argument as people write it: `64, 128, 128`, `2×2, 4×2`, `max`, `cosine (warm_up 5)`, `none`."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, (list, tuple)):
        return ", ".join("×".join(map(in_words, item)) if _is_list(item) else in_words(item) for item in value)
    return short_name(str(value))


def question(yaml: str) -> str:
    """The comment that opens an experiment's YAML (its question, its data, what is expected); blank where none does."""
    head = itertools.takewhile(lambda line: not line or line.startswith("#"), map(str.strip, yaml.splitlines()))
    return " ".join(word for line in head if (word := line.lstrip("#").strip()))


def count(number: float) -> str:
    """Three digits and a unit: `840`, `395 k`, `11.2 M`."""
    for size, unit in UNITS:
        if number >= 0.9995 * size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def amount(number: float) -> str:
    """Three digits at least, and never an exponent: `0.0312`, `57.9`, `5,809`."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}" if number >= 1e-4 or not number else f"{number:.4f}"


def span(numbers: Sequence[float], word: Callable[[float], str]) -> str:
    """From the least to the greatest, `193–5,809`; one word where they read alike, none where there are none."""
    known = [number for number in numbers if not np.isnan(number)]
    words = dict.fromkeys(word(number) for number in (min(known), max(known))) if known else {}
    return "–".join(words)


def with_bounds(value: float, low: float, high: float) -> str:
    """A score and its interval, `0.895 [0.81–0.96]`; the score alone where the interval is not known."""
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" + ("" if np.isnan(low) else f" [{low:.2f}–{high:.2f}]")


def printable(short: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A table as it is read: one text column for mean and interval, `0.765 [0.74–0.79]`, and those columns' names.

    Before them come what networks cost, where that is known: `parameters`, and `MFLOP` a slice, which grow with the
    clip length and are then given from the least to the greatest.
    """
    leading = [name for name in short if not is_number(name)]
    scores = [name.removesuffix(" mean") for name in short if name.endswith(" mean")]
    printed = {
        name: [with_bounds(*row) for row in short[[f"{name} {what}" for what in ("mean", "low", "high")]].to_numpy()]
        for name in scores
    }
    costs = pd.DataFrame([_costs_in_words(row) for row in short.to_dict("records")])
    costs = costs.loc[:, (costs != "").any()]
    return short[leading].astype(object).fillna("").astype(str).assign(**costs, **printed), scores


def numbers_last(table: pd.DataFrame) -> pd.DataFrame:
    """The same with its columns of numbers after those of words."""
    leading = [name for name in table if not is_number(name)]
    return table[[*leading, *(name for name in table if is_number(name))]]


def is_number(column: str) -> bool:
    """Whether a column's heading says that it holds numbers, as `3 s mean` does."""
    return column.endswith(tuple(f" {word}" for word in NUMBERS))


def _costs_in_words(row: dict[str, Any]) -> dict[str, str]:
    """Over all clip lengths: `11.2 M (3.08 k learned)` parameters and `193–5,809` MFLOP."""
    values = {word: [row[name] for name in row if name.endswith(f" {word}")] for word in COSTS.values()}
    parameters, learned = span(values["parameters"], count), span(values["learned"], count)
    frozen = f" ({learned} learned)" if learned not in ("", parameters) else ""
    return {"parameters": parameters + frozen, "MFLOP": span(values["MFLOP"], amount)}


def _of_mapping(value: Mapping[str, Any]) -> str:
    """A class with its arguments, or names with their values."""
    inside = value.get("init_args", {}) if "class_path" in value else value
    words = ", ".join(f"{name} {in_words(item)}" for name, item in inside.items())
    if "class_path" not in value:
        return words
    return short_name(str(value["class_path"])) + (f" ({words})" if words else "")


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))
