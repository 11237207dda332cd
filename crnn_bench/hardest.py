"""Groups of cells → the songs and the classes that classifiers get wrong most often."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from crnn_bench import evaluation
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.grouping import Group

SONGS = (
    "dataset", "track_id", "label", "album", "title", "seconds", "answers", "wrong", "confused_with",
    "mean_probability_of_truth",
)  # fmt: skip
ABOUT = ("album", "title", "seconds")  # what records tell of songs


def songs(groups: Sequence[Group]) -> pd.DataFrame:
    """One row a test song, hardest first.

    Returns:
        `dataset, track_id, label, album, title, seconds` (blank where a cell does not tell), `answers`: how often
        songs' classifiers answered for it (each group, each seed), `wrong`: the share of wrong answers by the paper's
        vote, `confused_with`: the most frequent of them, and `mean_probability_of_truth` over slices and answers.
    """
    told = _answers(groups)
    if told.empty:
        return pd.DataFrame(columns=list(SONGS))
    by_song = told.groupby(["dataset", "track_id"], sort=True)
    rows = by_song.agg(
        label=("label", "first"),
        answers=("wrong", "size"),
        wrong=("wrong", "mean"),
        mean_probability_of_truth=("probability", "mean"),
    ).reset_index()
    mistakes = told[told["wrong"]].groupby(["dataset", "track_id"])["predicted"].agg(_most_frequent)
    rows = rows.merge(mistakes.rename("confused_with").reset_index(), on=["dataset", "track_id"], how="left")
    rows = rows.merge(_about(groups), on=["dataset", "track_id"], how="left")
    order = ["wrong", "mean_probability_of_truth", "dataset", "track_id"]
    rows = rows.sort_values(order, ascending=[False, True, True, True], ignore_index=True)
    blank = dict.fromkeys(("album", "title", "confused_with"), "")
    return rows.fillna(blank)[list(SONGS)]


def labels(groups: Sequence[Group]) -> pd.DataFrame:
    """Pairs of classes, the most confused first.

    Returns:
        `dataset, label, taken_for, answers` (for songs of the label), `confused` (how many of them were the other
        class) and `share`.
    """
    told = _answers(groups)
    columns = ["dataset", "label", "taken_for", "answers", "confused", "share"]
    if told.empty:
        return pd.DataFrame(columns=columns)
    answers = told.groupby(["dataset", "label"]).size().rename("answers").reset_index()
    wrong = told[told["wrong"]].rename(columns={"predicted": "taken_for"})
    pairs = wrong.groupby(["dataset", "label", "taken_for"]).size().rename("confused").reset_index()
    rows = pairs.merge(answers, on=["dataset", "label"])
    rows = rows.assign(share=rows["confused"] / rows["answers"])
    order = ["share", "confused", "dataset", "label", "taken_for"]
    return rows.sort_values(order, ascending=[False, False, True, True, True], ignore_index=True)[columns]


def _answers(groups: Sequence[Group]) -> pd.DataFrame:
    """One row a song, group and seed: `dataset, track_id, label, predicted, wrong, probability` (of the truth)."""
    found = []
    for group in groups:
        for predictions in group.pooled.values():
            voted = evaluation.songs(predictions, SureVote())
            _, truth, means = evaluation.compiled(predictions, MeanProbability())
            rows = voted[["track_id", "predicted"]].assign(dataset=group.words["dataset"], label=voted["truth"])
            wrong = voted["predicted"] != voted["truth"]
            found.append(rows.assign(wrong=wrong, probability=means[range(len(truth)), truth]))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _about(groups: Sequence[Group]) -> pd.DataFrame:
    """`dataset, track_id` and what records tell of each song, once."""
    names = ["track_id", *ABOUT]
    found = [pd.DataFrame(columns=["dataset", *names])]
    for group in groups:
        for cell in group.cells:
            columns = pd.DataFrame(cell.record.get("songs", {name: [] for name in names}))
            found.append(columns[names].assign(dataset=group.words["dataset"]))
    told = pd.concat([some for some in found if len(some)] or found)
    return told.drop_duplicates(["dataset", "track_id"])


def _most_frequent(answers: pd.Series) -> str:
    """Of several that are equally frequent, the first by name."""
    return str(min(Counter(answers).items(), key=lambda item: (-item[1], item[0]))[0])
