"""Groups of many seeds → how much of their scatter is the split's, and how much the initialisation's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench.grouping import LEVELS, Group

NUMBERS = ["std_split", "std_model", "std_both", "cells", "songs", "songs_of_std", "songs_of_a_point", "remark"]
TOGETHER = "split and model seed change together; a grid of split_seed × model_seed tells them apart"
NOT_WHOLE = "not all of the grid of split_seed × model_seed has been run"


def table(groups: Sequence[Group]) -> pd.DataFrame:
    """What tells each group of several seeds apart, and its scores' standard deviations.

    Returns:
        Words, `clip, level`, `std_split` (between splits, by one initialisation), `std_model` (between initialisations,
        on one split), `std_both` (of one run, where both are drawn), `cells` (how many scores they are from), `songs`
        (of a seed's test), `songs_of_std` (songs that a difference of `std_both` amounts to), `songs_of_a_point` (that
        0.01 amounts to) and `remark` (why a part is not known). No rows where no group has several seeds.
    """
    rows = []
    for group in groups:
        for level in LEVELS if group.hears_slices else LEVELS[1:]:
            seeds = pd.DataFrame(list(group.pooled), columns=["split", "model"])
            scores = seeds.assign(score=group.scores[level]).pivot_table("score", "split", "model")
            if len(seeds) > 1:
                tested = [some.table["track_id"].nunique() for some in group.pooled.values()]
                about = {**group.words, "clip": group.clip, "level": level}
                rows.append({**about, **_told(scores, float(np.mean(tested)))})
    return pd.DataFrame(rows)


def components(scores: pd.DataFrame) -> dict[str, float]:
    """Standard deviations between splits and between initialisations, by the method of moments.

    A score is taken for a mean, plus what its split adds, plus what its initialisation adds, plus what the two do
    together; the last is counted to the initialisation, since it differs between initialisations on one split. A
    negative estimate of a variance is 0 (Searle, Casella & McCulloch, Variance Components, 1992).

    Args:
        scores: a row a split, a column an initialisation; NaN where the two were not run together.

    Returns:
        `std_split`, `std_model`, `std_both`; NaN for what the scores cannot tell.
    """
    known = scores.to_numpy(dtype=np.float64)
    n_splits, n_models = known.shape
    if np.isnan(known).any():
        return {"std_split": np.nan, "std_model": np.nan, "std_both": float(np.nanstd(known, ddof=1))}
    if n_splits == 1 or n_models == 1:
        std = float(known.std(ddof=1))
        alone = {"std_split": std, "std_model": np.nan} if n_models == 1 else {"std_split": np.nan, "std_model": std}
        return {**alone, "std_both": np.nan}
    within = known.var(axis=1, ddof=1).mean()
    left = known - known.mean(axis=1, keepdims=True) - known.mean(axis=0) + known.mean()
    together = (left**2).sum() / ((n_splits - 1) * (n_models - 1))
    of_split = max(0.0, known.mean(axis=1).var(ddof=1) - together / n_models)
    return {name: float(np.sqrt(v)) for name, v in zip(NUMBERS, (of_split, within, of_split + within), strict=False)}


def _told(scores: pd.DataFrame, songs: float) -> dict[str, Any]:
    found, run = components(scores), scores.notna()
    whole = np.nanmax([*found.values()])
    crossed = max(run.sum(axis=0).max(), run.sum(axis=1).max()) > 1
    remark = "" if run.all(axis=None) else NOT_WHOLE if crossed else TOGETHER
    amounts = {"songs": songs, "songs_of_std": whole * songs, "songs_of_a_point": songs / 100}
    return {**found, "cells": int(run.sum(axis=None)), **amounts, "remark": remark}
