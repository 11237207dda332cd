"""Tables of an experiment → its answer in sentences, each of which is true whatever was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import evaluation
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.blocks import with_interval
from crnn_bench.grouping import Group, labels
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.wording import span

METRIC = WeightedF1()
SIGNIFICANT = 0.05  # of p values after Holm's correction
MOST_NAMED = 4  # differences, or classifiers, in one sentence; the tables have them all
MOST_PLACES = 4  # splits that have a sentence of their own


@dataclass(frozen=True)
class Candidate:
    """A group, and how it did.

    Attributes:
        group: of cells.
        label: what tells it apart from all others.
        place: what it was tested on: split, and whatever varies of split and dataset.
        model: what it is, beside that.
        validation: its mean weighted F1 per song on the validation part, by which it may be chosen.
        test: the same on the test part; `low` and `high` its interval, NaN where there is none.
        songs: how many test songs a seed has, from the fewest to the most.
        chance: weighted F1 of guessing by the labels' shares of these, about the sum of their squares.
    """

    group: Group
    label: str
    place: str
    model: str
    validation: float
    test: float
    low: float
    high: float
    songs: str
    chance: float


def candidates(groups: Sequence[Group], scores: pd.DataFrame) -> list[Candidate]:
    """Every group with its scores per song; `scores` has columns as `classes.scores` gives them."""
    f1 = scores[(scores["level"] == "song") & (scores["metric"] == METRIC.name)]
    words = pd.DataFrame([{**group.words, "clip": group.clip} for group in groups]).fillna("")
    told = [name for name in words if len(set(words[name])) > 1 or name in ("split", "model")]
    found = []
    for group, label in zip(groups, labels(groups), strict=True):
        row = rows_of(f1, group).iloc[0]
        truths = [some.truth for some in group.answers("song").values()]
        truth = np.concatenate(truths)
        chance = float(((np.bincount(truth) / len(truth)) ** 2).sum())
        place = [_spoken(name, group.words[name]) for name in told if _is_place(name) and group.words[name]]
        all_words = {**group.words, "clip": group.clip}
        others = [n for n in told if n != "model" and not _is_place(n) and all_words[n]]
        beside = "; ".join(_spoken(name, all_words[name]) for name in others)
        model = group.words["model"] + (f" ({beside})" if beside else "")
        test, low, high = (float(row[name]) for name in ("mean", "low", "high"))
        where, songs = ", ".join(place), span([len(some) for some in truths], str)
        found.append(Candidate(group, label, where, model, _validated(group), test, low, high, songs, chance))
    return found


def rows_of(table: pd.DataFrame, group: Group) -> pd.DataFrame:
    """The rows of a table that are about a group: those with its words and its clip length."""
    about = {**group.words, "clip": group.clip}
    same = [table[name].fillna("").astype(str) == word for name, word in about.items() if name in table]
    return table[np.logical_and.reduce(same)] if same else table


def best(found: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """By place, the candidates that are level at the top by their validation songs; the test has no say."""
    places: dict[str, list[Candidate]] = {}
    for one in found:
        places.setdefault(one.place, []).append(one)
    return {place: _top([one for one in some if not np.isnan(one.validation)]) for place, some in places.items()}


def sentences(found: Sequence[Candidate], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The answer.

    Args:
        found: every group.
        tables: by name: `comparisons`, `album_effect` and `published`, where there are such.
    """
    places = best(found)
    told = [_of_place(place, top, found) for place, top in list(places.items())[:MOST_PLACES] if top]
    if len(places) > MOST_PLACES:
        told.append(f"{len(places) - MOST_PLACES} more datasets and splits are in the table.")
    empty = pd.DataFrame()
    told += _of_comparisons(tables.get("comparisons", empty))
    told += _of_effect(tables.get("album_effect", empty))
    return told + _of_published(tables.get("published", empty))


def _top(some: Sequence[Candidate]) -> list[Candidate]:
    highest = max((one.validation for one in some), default=np.nan)
    return [one for one in some if np.isclose(one.validation, highest)]


def _validated(group: Group) -> float:
    """Mean over the seeds that are tested, folds put together."""
    values = []
    for some in group.of("validation").values():
        if len(some.table):
            _, truth, probabilities = evaluation.compiled(some, SureVote())
            values.append(METRIC.score(truth, probabilities))
    return float(np.mean(values)) if values else np.nan


def _of_place(place: str, top: Sequence[Candidate], found: Sequence[Candidate]) -> str:
    first = top[0]
    rivals = [one for one in found if one.place == place]
    chosen = f"{first.model} is the best by its validation songs ({first.validation:.3f})"
    if len(rivals) == 1:
        chosen = f"{first.model} is the only classifier"
    elif len(top) > 1:
        chosen = (
            f"{' and '.join(one.model for one in top[:2])} are level on the validation songs ({first.validation:.3f})"
        )
        chosen += f", as are {len(top) - 2} more" if len(top) > 2 else ""
    seeds = len(first.group.pooled)
    times = f", mean over {seeds} seeds" if seeds > 1 else ""
    shown = top[:2] if len(top) > 1 else top
    scores = " and ".join(with_interval(one.test, one.low, one.high) for one in shown)
    verb = "score" if len(shown) > 1 else "it scores"
    text = f"{place}: {chosen}; on {first.songs} test songs {verb if len(shown) == 1 else 'they ' + verb} {scores} "
    text += f"weighted F1 per song{times}. {_against_chance(shown)}"
    higher = max(rivals, key=lambda one: one.test)
    if higher.test > max(one.test for one in top) + 1e-9:
        text += f" {higher.model} is higher on the test ({higher.test:.3f}), which nobody could know beforehand."
    return text


def _against_chance(shown: Sequence[Candidate]) -> str:
    first = shown[0]
    guessing = f"Guessing by the labels' shares would give {first.chance:.3f}"
    if np.isnan(first.low):
        return f"{guessing}; there are too few songs, or albums, of a label for an interval."
    level = [one for one in shown if not one.low > one.chance]
    if not level:
        return f"{guessing}, below {'both intervals' if len(shown) > 1 else 'the interval'}."
    whose = "the interval" if len(shown) == 1 else f"the interval of {' and of '.join(one.model for one in level)}"
    return f"{guessing}, which {whose} does not lie above: no proof that anything was learned."


def _of_comparisons(table: pd.DataFrame) -> list[str]:
    """How many differences per song are significant, and the surest of them; one sentence a dataset and split."""
    if table.empty or not (table["level"] == "song").any():
        return []
    told: list[str] = []
    places = table[table["level"] == "song"].groupby(["dataset", "split"], sort=False)
    several = len(set(table["dataset"])) > 1
    for number, ((dataset, split), rows) in enumerate(places):
        split = f"{dataset}, {split}" if several else split
        if number == MOST_PLACES:
            return [*told, f"{places.ngroups - MOST_PLACES} more splits are in the table of comparisons."]
        sure = rows[rows["p_holm"] < SIGNIFICANT].sort_values("p_holm", kind="stable")
        pairs = f"{len(rows)} comparisons of classifiers" if len(rows) > 1 else "one comparison of classifiers"
        after = "after Holm's correction" if len(rows) > 1 else "at 5%"
        if sure.empty:
            least = f"the least {'corrected ' if len(rows) > 1 else ''}p is {rows['p_holm'].min():.2g}"
            none = f"none of {pairs}" if len(rows) > 1 else f"the {pairs}"
            verb = "is significant" if len(rows) > 1 else "is not significant"
            told.append(f"{split}: {none} {verb} {after} ({least}): a difference is not shown, nor ruled out.")
            continue
        named = "; ".join(_difference(row) for row in sure.head(MOST_NAMED).to_dict("records"))
        more = f"; and {len(sure) - MOST_NAMED} more" if len(sure) > MOST_NAMED else ""
        told.append(
            f"{split}: {len(sure)} of {pairs} {'are' if len(sure) > 1 else 'is'} significant {after}: {named}{more}."
        )
    return told


def _difference(row: Mapping[str, Any]) -> str:
    """`CRNN above MfccSVM by 0.21 [0.05, 0.38] (p 0.012; right where the other is wrong: 4.3 songs, the reverse 1)`."""
    a, b, sign = (row["a"], row["b"], 1) if row["difference"] >= 0 else (row["b"], row["a"], -1)
    low, high = sorted((sign * row["low"], sign * row["high"]))
    mine, theirs = (row["only_a"], row["only_b"])[::sign]
    songs = f"{mine:.3g} songs that it alone has right against {theirs:.3g}"
    doubt = "; yet the interval holds 0: not sure for other songs and trainings" if low <= 0 else ""
    gap = with_interval(abs(row["difference"]), low, high)
    return f"{a} above {b} by {gap} (p {row['p_holm']:.2g}; {songs}{doubt})"


def _of_effect(table: pd.DataFrame) -> list[str]:
    """What it costs to be tested on albums that were not heard."""
    if table.empty:
        return []
    rows = table[(table["level"] == "song") & (table["artist"].fillna("") == "")]
    told = []
    for row in rows.head(MOST_NAMED).to_dict("records"):
        effect = with_interval(row["effect"], row["low"], row["high"])
        what = f"Album effect of {row['model']} ({row['clip']}): {effect} weighted F1 per song"
        where = f"{row['song_split']:.3f} by song, {row['album_split']:.3f} by {row['kept_together']}"
        if np.isnan(row["low"]):
            verdict = "there are too few albums or songs of a label for an interval"
        elif row["low"] > 0:
            verdict = "the score drops where the test's production was not heard"
        elif row["high"] < 0:
            verdict = "the score is higher where the production was not heard"
        else:
            verdict = "no effect is shown, nor ruled out"
        told.append(f"{what} ({where}): {verdict}.")
    more = len(rows) - MOST_NAMED
    return told + ([f"The album effect of {more} more is in the table."] if more > 0 else [])


def _of_published(table: pd.DataFrame) -> list[str]:
    """How many published numbers were met."""
    if table.empty or "verdict" not in table:
        return []
    counts = table["verdict"].fillna("").loc[lambda verdict: verdict != ""].value_counts()
    words = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    return [f"Published numbers that are to be reproduced, and where ours lie: {words}."] if words else []


def _is_place(name: str) -> bool:
    return name.partition(".")[0] in ("dataset", "split")


def _spoken(name: str, word: str) -> str:
    """`MfccSVM`, `3 s`, `album effect 0.5`."""
    plain = name in ("dataset", "split", "clip", "pooling")
    return word if plain else f"{name.rpartition('.')[2].replace('_', ' ')} {word}"
