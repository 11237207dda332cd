"""Scores against scikit-learn and against the rules by hand, on predictions of any kind."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from crnn_bench import evaluation
from crnn_bench.aggregations import Aggregation
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.aggregations.product import Product
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.aggregations.vote import Vote
from crnn_bench.errors import BenchError
from crnn_bench.records import Predictions

quick = settings(max_examples=20, deadline=None, derandomize=True)
PARTS_OF_ONE = 64  # probabilities in 64ths: sums are exact, so ties are ties in any order
CLASSES = ("alder", "birch", "cedar", "dogwood")


def made(songs: Sequence[tuple[str, str, Sequence[Sequence[float]]]], classes: tuple[str, ...]) -> Predictions:
    """Predictions from (track, truth, probabilities of its slices)."""
    rows = [
        {"part": "test", "track_id": track, "start_seconds": 3.0 * n, "seconds": 3.0, "truth": truth}
        | {f"p_{label}": p for label, p in zip(classes, slice_, strict=True)}
        for track, truth, slices in songs
        for n, slice_ in enumerate(slices)
    ]
    return Predictions(pd.DataFrame(rows), classes)


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    """Up to 12 songs of 1 to 5 slices, of 2 to 4 classes, with many ties and many sure slices."""
    classes = CLASSES[: draw(st.integers(2, 4))]
    weights = st.lists(st.sampled_from([0, 1, 1, 2, 7]), min_size=len(classes), max_size=len(classes))
    songs = []
    for number in range(draw(st.integers(1, 12))):
        slices = []
        for _ in range(draw(st.integers(1, 5))):
            drawn = np.array(draw(weights.filter(any)))
            whole = np.floor(drawn / drawn.sum() * PARTS_OF_ONE)
            whole[int(drawn.argmax())] += PARTS_OF_ONE - whole.sum()
            slices.append((whole / PARTS_OF_ONE).tolist())
        songs.append((f"song {number}", draw(st.sampled_from(classes)), slices))
    return made(songs, classes)


def shuffled(some: Predictions, random: np.random.Generator) -> Predictions:
    order = random.permutation(len(some.table))
    return Predictions(some.table.iloc[order].reset_index(drop=True), some.classes)


# Confusion

numbers = st.integers(2, 6).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1))
)


@quick
@given(numbers)
def test_confusion_equals_scikit_learn(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    n_classes, pairs = drawn
    truth, predicted = np.array(pairs).T
    expected = confusion_matrix(truth, predicted, labels=range(n_classes))
    assert np.array_equal(evaluation.confusion(truth, predicted, n_classes), expected)


# From slices to a song


def song(rule: Aggregation, *slices: Sequence[float]) -> list[float]:
    compiled: list[float] = rule.song_probabilities(np.array(slices, dtype=np.float64)).tolist()
    return compiled


def test_only_sure_slices_vote() -> None:
    sure, unsure = [0.1, 0.9, 0.0], [0.5, 0.3, 0.2]
    assert song(SureVote(), sure, unsure, unsure, unsure) == [0, 1, 0]
    assert song(Vote(), sure, unsure, unsure, unsure) == [0.75, 0.25, 0]


def test_exactly_a_half_is_not_sure() -> None:
    assert song(SureVote(), [0.5, 0.5, 0.0], [0.0, 0.49, 0.51]) == [0, 0, 1]


def test_all_vote_where_none_is_sure() -> None:
    assert song(SureVote(), [0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.5, 0.4]) == pytest.approx([1 / 3, 2 / 3, 0])


def test_each_slice_has_one_vote_however_sure() -> None:
    assert np.argmax(song(SureVote(), [0.99, 0.01], [0.4, 0.6], [0.4, 0.6])) == 1
    assert np.argmax(song(MeanProbability(), [0.99, 0.01], [0.4, 0.6], [0.4, 0.6])) == 0


def test_mean_probability_is_the_mean() -> None:
    assert song(MeanProbability(), [0.25, 0.75, 0], [0.5, 0, 0.5]) == [0.375, 0.375, 0.25]


def test_the_product_by_hand() -> None:
    assert song(Product(), [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]) == pytest.approx([4 / 6, 1 / 6, 1 / 6])
    unsure, sure = [0.4, 0.6], [0.99, 0.01]
    assert np.argmax(song(Product(), unsure, unsure, unsure, sure)) == 0, "0.4³ · 0.99 is above 0.6³ · 0.01"


@quick
@given(predictions())
def test_the_product_is_the_softmax_of_summed_logarithms(some: Predictions) -> None:
    slices = np.maximum(some.probabilities, np.finfo(np.float32).tiny)
    assert song(Product(), *some.probabilities) == pytest.approx(softmax(np.log(slices).sum(axis=0)), abs=1e-8)


def test_a_slice_that_rules_a_class_out_leaves_numbers() -> None:
    """A floor under each probability: neither NaN nor a warning, even where every class is ruled out."""
    assert song(Product(), [0, 1], [1, 0]) == [0.5, 0.5]
    assert song(Product(), [0, 0.5, 0.5], [1, 0, 0]) == pytest.approx([0.5, 0.25, 0.25])
    assert song(Product(), *[[0, 1]] * 4000) == [0, 1]
    assert np.argmax(song(Product(), [0, 1], [0, 1], [1, 0])) == 1, "a class may be ruled out twice"


@quick
@given(st.permutations([[0.1, 0.3, 0.6], [0.3, 0.1, 0.6], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]]))
def test_equal_products_are_a_tie_in_any_order(slices: list[list[float]]) -> None:
    first, second, _ = song(Product(), *slices)
    assert first == second


def test_ties_go_to_the_smaller_class() -> None:
    by_rule = {
        "vote@0.5": [[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]],  # one vote each
        "vote": [[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]],
        "mean-prob": [[0.25, 0.25, 0.5], [0.25, 0.5, 0.25]],
        "product": [[0.2, 0.3, 0.5], [0.2, 0.5, 0.3]],
    }
    for rule in evaluation.aggregations():
        some = made([("a", "cedar", by_rule[rule.name])], CLASSES[:3])
        assert evaluation.songs(some, rule)["predicted"].tolist() == ["birch"], rule.name
    tied = made([("a", "cedar", [[0.0, 0.5, 0.5]])], CLASSES[:3])
    assert evaluation.scores(tied)["slice/accuracy"] == 0
    assert evaluation.songs(tied, Vote())["predicted"].tolist() == ["birch"], "within a slice, too"


@quick
@given(predictions())
def test_sure_vote_by_a_plain_loop(some: Predictions) -> None:
    expected = {}
    for track, rows in some.table.groupby("track_id"):
        slices = rows[[f"p_{label}" for label in some.classes]].to_numpy()
        votes = [0] * len(some.classes)
        voters = [p for p in slices if max(p) > 0.5] or list(slices)
        for p in voters:
            votes[list(p).index(max(p))] += 1
        expected[track] = some.classes[votes.index(max(votes))]
    table = evaluation.songs(some, SureVote())
    assert dict(zip(table["track_id"], table["predicted"], strict=True)) == expected


def test_songs_of_one_name_on_two_albums_are_two() -> None:
    """The released code gathers votes by file name alone."""
    some = made([("a/x/intro.mp3", "alder", [[1, 0]]), ("b/y/intro.mp3", "birch", [[0, 1]])], CLASSES[:2])
    assert len(evaluation.songs(some, SureVote())) == 2
    assert evaluation.scores(some)["song/accuracy"] == 1


# Scores


@quick
@given(predictions())
def test_scores_are_scikit_learns_at_both_levels(some: Predictions) -> None:
    scores = evaluation.scores(some)
    truth = some.table["truth"].to_numpy()
    columns = some.table[[f"p_{label}" for label in some.classes]].to_numpy()
    predicted = np.array(some.classes)[columns.argmax(axis=1)]
    assert scores["slice/accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert scores["slice/f1"] == pytest.approx(f1_score(truth, predicted, average="weighted", zero_division=0))
    for rule, suffix in (
        (SureVote(), ""),
        (Vote(), "/vote"),
        (MeanProbability(), "/mean-prob"),
        (Product(), "/product"),
    ):
        table = evaluation.songs(some, rule)
        expected = f1_score(table["truth"], table["predicted"], average="macro", zero_division=0)
        assert scores[f"song/f1_macro{suffix}"] == pytest.approx(expected)
        assert table["truth"].tolist() == some.table.groupby("track_id")["truth"].first().tolist()


def test_the_names_of_the_scores() -> None:
    some = made([("a", "alder", [[0.9, 0.1]]), ("b", "birch", [[0.2, 0.8]])], CLASSES[:2])
    scores = evaluation.scores(some)
    names = [metric.name for metric in evaluation.metrics()]
    by_rule = [f"{name}/{rule}" for name in ("f1", "f1_macro", "accuracy") for rule in ("vote", "mean-prob", "product")]
    assert set(scores) == {f"slice/{name}" for name in names} | {f"song/{name}" for name in [*names, *by_rule]}
    assert {name.split("/")[1]: value for name, value in scores.items() if value != 1} == {
        "log_loss": pytest.approx(-np.log([0.9, 0.8]).mean()),
        "calibration_error": pytest.approx(0.15),
    }
    assert not any(name.startswith("slice") for name in evaluation.scores(some, slice_level=False))


@quick
@given(predictions(), st.integers(0, 1000))
def test_the_order_of_rows_and_slices_changes_no_score(some: Predictions, seed: int) -> None:
    mixed = shuffled(some, np.random.default_rng(seed))
    assert evaluation.scores(mixed) == pytest.approx(evaluation.scores(some), rel=1e-12, nan_ok=True)
    for rule in evaluation.aggregations():
        pd.testing.assert_frame_equal(evaluation.songs(mixed, rule), evaluation.songs(some, rule))


@quick
@given(predictions())
def test_a_song_twice_as_long_with_the_same_slices_changes_no_song_score(some: Predictions) -> None:
    twice = Predictions.joined([some, some])
    alone = {name: value for name, value in evaluation.scores(some).items() if name.startswith("song")}
    both = {name: value for name, value in evaluation.scores(twice).items() if name.startswith("song")}
    assert alone == pytest.approx(both, rel=1e-12, nan_ok=True)


@settings(quick, max_examples=8)
@given(st.lists(predictions(), min_size=2, max_size=3))
def test_folds_pool_into_one_score(folds: list[Predictions]) -> None:
    """Every song counts once: the score is of all songs together, not the mean of the folds' scores."""
    renamed = [
        Predictions(_with_classes(fold).assign(track_id=[f"{n}/{t}" for t in fold.table["track_id"]]), CLASSES)
        for n, fold in enumerate(folds)
    ]
    pooled = Predictions.joined(renamed)
    tables = pd.concat([evaluation.songs(fold, SureVote()) for fold in renamed])
    expected = f1_score(tables["truth"], tables["predicted"], average="weighted", zero_division=0)
    scores = evaluation.scores(pooled)
    assert scores["song/f1"] == pytest.approx(expected)
    weights = [len(fold.table) for fold in renamed]
    accuracies = [evaluation.scores(fold)["slice/accuracy"] for fold in renamed]
    assert scores["slice/accuracy"] == pytest.approx(np.average(accuracies, weights=weights))


def _with_classes(some: Predictions) -> pd.DataFrame:
    absent = [label for label in CLASSES if label not in some.classes]
    return some.table.assign(**{f"p_{label}": 0.0 for label in absent})


def test_pooling_two_folds_by_hand() -> None:
    right = made([("a", "alder", [[1, 0]]), ("b", "alder", [[1, 0]]), ("c", "birch", [[0, 1]])], CLASSES[:2])
    wrong = made([("d", "birch", [[1, 0]])], CLASSES[:2])
    assert evaluation.scores(Predictions.joined([right, wrong]))["song/accuracy"] == 0.75
    with pytest.raises(ValueError, match="same classes"):
        Predictions.joined([right, made([("d", "cedar", [[0, 0, 1]])], CLASSES[:3])])


# Predictions that are none


@pytest.mark.parametrize(
    ("slice_", "said"),
    [([float("nan"), 1], "NaN or infinite"), ([0.5, 0.6], "sum to 1"), ([-0.1, 1.1], "non-negative")],
)
def test_what_are_no_probabilities_is_refused(slice_: list[float], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        made([("a", "alder", [slice_])], CLASSES[:2])


def test_one_part_of_the_predictions() -> None:
    some = made([("a", "alder", [[1, 0]]), ("b", "birch", [[1, 0]])], CLASSES[:2])
    table = some.table.assign(part=["validation", "test"])
    assert evaluation.scores(Predictions(table, some.classes).of("validation"))["song/accuracy"] == 1
    assert evaluation.scores(Predictions(table, some.classes).of("test"))["song/accuracy"] == 0
