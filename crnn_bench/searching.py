"""Random search for a baseline's arguments, by grouped cross-validation on training slices alone."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.baselines import Baseline
from crnn_bench.cells import Search
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.seeds import derive

Trial = dict[str, Any]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def best(
    baseline: Baseline,
    search: Search,
    train: Slices,
    groups: NDArray[Any],
    seed: int,
    on_trial: Callable[[Trial], None] = lambda _: None,
) -> tuple[Baseline, dict[str, Any]]:
    """Tries arguments, and builds the baseline with those of the best mean weighted F1; ties go to the earlier trial.

    Args:
        baseline: as the YAML gives it; the first trial.
        search: how many draws and folds, and from what.
        train: training slices; nothing of the other parts is seen.
        groups: (slices,) what must lie in one fold.
        seed: of draws and folds.
        on_trial: is told each trial.

    Returns:
        The best baseline, and for the record `search`, every trial (`trial` from 1, `of, arguments, mean, std`, F1 of
        each fold `f1`, and `fault` where the estimator refused), and of the best one the arguments that were searched,
        `searched`, and the mean, `searched_f1`.

    Raises:
        BenchError: every trial failed.
    """
    from joblib import Parallel, cpu_count, delayed

    vectors, folds, given = baseline.inputs(train), _folds(search, train, groups, seed), Choice.of(baseline).arguments
    drawn = _draw(search, derive(seed, "draws"))
    arguments = [given, *({**given, **some} for some in drawn if {**given, **some} != given)]
    choices = [Choice(type(baseline), some) for some in arguments]
    jobs = (
        delayed(_f1)(choice, derive(seed, "estimator"), vectors, train.label, *fold)
        for choice, fold in product(choices, folds)
    )
    answers: Iterator[float | str] = Parallel(n_jobs=min(cpu_count(), len(choices)), return_as="generator")(jobs)
    trials: list[Trial] = []
    for number, choice in enumerate(choices):
        about = {"trial": number + 1, "of": len(choices), "arguments": dict(choice.arguments)}
        trials.append(about | _scored([next(answers) for _ in folds]))
        on_trial(trials[-1])
    whole = [trial for trial in trials if "fault" not in trial]
    if not whole:
        raise BenchError(f"{type(baseline).__name__}: no trial of the search worked: {trials[0]['fault']}")
    chosen = max(whole, key=lambda trial: (trial["mean"], -trial["trial"]))
    built: Baseline = choices[chosen["trial"] - 1].build()
    taken = {name: chosen["arguments"][name] for name in search.space}
    return built, {"search": trials, "searched": taken, "searched_f1": chosen["mean"]}


def check(labels: pd.Series, names: pd.Series, group: str) -> None:
    """Refuses training songs that cannot be cross-validated.

    Args:
        labels: of the training songs.
        names: what each of them is kept together with.
        group: what kind of name that is.

    Raises:
        BenchError: a label has a single group; names it.
    """
    numbers = names.groupby(labels).nunique().sort_index()
    if numbers.min() < 2:
        what = group.removesuffix("_id")
        raise BenchError(
            f"a search needs two {what}s of each label to train on, so that one can be held out, but "
            f"{numbers.idxmin()} has {numbers.min()}; take a split that trains on more, or no search"
        )


def _folds(search: Search, train: Slices, groups: NDArray[Any], seed: int) -> list[Fold]:
    """As many folds as asked for, or as the label with the fewest groups allows."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(np.unique(groups[train.label == label])) for label in np.unique(train.label))
    folds = StratifiedGroupKFold(min(search.folds, fewest), shuffle=True, random_state=derive(seed, "folds"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of labels with fewer slices than folds
        return list(folds.split(np.zeros(len(train)), train.label, groups))


def _draw(search: Search, seed: int) -> list[dict[str, Any]]:
    """Arguments, `n_iter` of them or as many as there are."""
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    space = {name: _distribution(values) for name, values in search.space.items()}
    lists = all(isinstance(values, list) for values in space.values())
    n_iter = min(search.n_iter, len(ParameterGrid(space))) if lists else search.n_iter
    sampled = ParameterSampler(space, n_iter, random_state=seed)
    return [{name: _plain(value) for name, value in some.items()} for some in sampled]


def _distribution(values: Any) -> Any:
    """A list as it is, `{name: [low, high]}` as scipy's distribution."""
    from scipy import stats

    if not isinstance(values, Mapping):
        return list(values)
    ((name, (low, high)),) = values.items()
    return stats.uniform(low, high - low) if name == "uniform" else getattr(stats, name)(low, high)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _f1(
    choice: Choice,
    seed: int,
    vectors: NDArray[Any],
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> float | str:
    """Weighted F1 on a fold, or why the baseline or its estimator refused."""
    from sklearn.metrics import f1_score

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a worker's remarks have no reader
            estimator = choice.build().estimator(seed).fit(vectors[train], labels[train])
            predicted = estimator.predict(vectors[test])
    except (ValueError, BenchError) as error:
        return str(error).splitlines()[0]
    return float(f1_score(labels[test], predicted, average="weighted", zero_division=0))


def _scored(answers: list[float | str]) -> Trial:
    faults = [answer for answer in answers if isinstance(answer, str)]
    f1 = [answer for answer in answers if isinstance(answer, float)]
    if faults:
        return {"mean": None, "std": None, "f1": f1, "fault": faults[0]}
    return {"mean": float(np.mean(f1)), "std": float(np.std(f1)), "f1": f1}
