"""Metrics against scikit-learn and torchmetrics, against definitions by plain loops, and by hand."""

import itertools
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as theirs
from torchmetrics.functional.classification import multiclass_calibration_error

from crnn_bench import evaluation
from crnn_bench.metrics import map_at_10, rank_of_truth
from crnn_bench.metrics.accuracy import Accuracy
from crnn_bench.metrics.average_precision import AveragePrecision, MicroAveragePrecision
from crnn_bench.metrics.balanced_accuracy import BalancedAccuracy
from crnn_bench.metrics.calibration_error import CalibrationError
from crnn_bench.metrics.log_loss import LogLoss
from crnn_bench.metrics.macro_f1 import MacroF1
from crnn_bench.metrics.map_at_10 import MapAt10, RetrievalMapAt10
from crnn_bench.metrics.micro_f1 import MicroF1
from crnn_bench.metrics.precision import MacroPrecision, MicroPrecision, WeightedPrecision
from crnn_bench.metrics.recall import MacroRecall, MicroRecall, WeightedRecall
from crnn_bench.metrics.roc_auc import RocAuc, WeightedRocAuc
from crnn_bench.metrics.top3_accuracy import Top3Accuracy
from crnn_bench.metrics.weighted_f1 import WeightedF1

quick = settings(max_examples=40, deadline=None, derandomize=True)
Answered = tuple[NDArray[np.int64], NDArray[np.float64]]


def some_answers(seed: int, items: int, classes: int, ties: bool, held: int) -> Answered:
    """Class numbers below `held`, and probabilities: any, or of few distinct values."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(1, 4, (items, classes)).astype(float) if ties else rng.random((items, classes)) ** 4 + 1e-3
    return rng.integers(0, held, items), raw / raw.sum(axis=1, keepdims=True)


def answers(ties: st.SearchStrategy[bool], least_classes: int = 2) -> st.SearchStrategy[Answered]:
    """1 to 60 items of 2 to 12 classes, some of which are nowhere true; of one class alone, too."""
    sizes = st.integers(least_classes, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))
    return st.builds(
        lambda seed, items, size, tied: some_answers(seed, items, size[0], tied, size[1]),
        st.integers(0, 10**6),
        st.integers(1, 60),
        sizes,
        ties,
    )


any_answers, untied_answers = answers(st.booleans()), answers(st.just(False))

# Of counts

AVERAGED: list[tuple[type, Callable[..., float], str]] = [
    (WeightedF1, theirs.f1_score, "weighted"),
    (MacroF1, theirs.f1_score, "macro"),
    (MicroF1, theirs.f1_score, "micro"),
    (WeightedPrecision, theirs.precision_score, "weighted"),
    (MacroPrecision, theirs.precision_score, "macro"),
    (MicroPrecision, theirs.precision_score, "micro"),
    (WeightedRecall, theirs.recall_score, "weighted"),
    (MacroRecall, theirs.recall_score, "macro"),
    (MicroRecall, theirs.recall_score, "micro"),
]


@pytest.mark.parametrize(("metric", "function", "average"), AVERAGED, ids=lambda value: getattr(value, "name", ""))
@quick
@given(answered=any_answers)
def test_averages_equal_scikit_learn(
    metric: type, function: Callable[..., float], average: str, answered: Answered
) -> None:
    truth, probabilities = answered
    expected = function(truth, probabilities.argmax(axis=1), average=average, zero_division=0)
    assert metric().score(truth, probabilities) == pytest.approx(expected)


@quick
@given(any_answers)
def test_accuracies_equal_scikit_learn(answered: Answered) -> None:
    truth, probabilities = answered
    predicted = probabilities.argmax(axis=1)
    assert Accuracy().score(truth, probabilities) == pytest.approx(theirs.accuracy_score(truth, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of answers that are nowhere true, which it leaves out
        expected = theirs.balanced_accuracy_score(truth, predicted)
    assert BalancedAccuracy().score(truth, probabilities) == pytest.approx(expected)


def test_f1_by_hand() -> None:
    """Class 0: precision 1, recall 1/2, F1 2/3; class 1: 2/3, 1, 4/5; class 2 is nowhere and counts in no mean."""
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert Accuracy().score(truth, np.eye(3)[predicted]) == 0.75
    assert MacroF1().score(truth, np.eye(3)[predicted]) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert MacroPrecision().score(truth, np.eye(3)[predicted]) == pytest.approx((1 + 2 / 3) / 2)
    unlike = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert WeightedF1().score(unlike[0], np.eye(3)[unlike[1]]) == pytest.approx(0.75 * 4 / 5 + 0.25 * 2 / 3)


def test_a_class_that_is_predicted_but_nowhere_true() -> None:
    """It lowers the macro recall, as in scikit-learn, and leaves the balanced accuracy alone."""
    truth, told = np.array([0, 0, 1, 1]), np.eye(4)[[0, 0, 1, 3]]
    assert BalancedAccuracy().score(truth, told) == pytest.approx((1 + 1 / 2) / 2)
    assert MacroRecall().score(truth, told) == pytest.approx((1 + 1 / 2 + 0) / 3)


# Of places


@quick
@given(answers(st.just(False), least_classes=4))
def test_top_3_equals_scikit_learn(answered: Answered) -> None:
    truth, probabilities = answered
    labels = range(probabilities.shape[1])
    expected = theirs.top_k_accuracy_score(truth, probabilities, k=3, labels=labels)
    assert Top3Accuracy().score(truth, probabilities) == pytest.approx(expected)


@quick
@given(answers(st.just(True), least_classes=4))
def test_top_3_of_ties_equals_scikit_learn_on_classes_in_reverse(answered: Answered) -> None:
    """Theirs puts the greater of tied classes first, ours the smaller, as an answer is the smaller."""
    truth, probabilities = answered
    last = probabilities.shape[1] - 1
    expected = theirs.top_k_accuracy_score(last - truth, probabilities[:, ::-1], k=3, labels=range(last + 1))
    assert Top3Accuracy().score(truth, probabilities) == pytest.approx(expected)


def test_top_3_of_three_classes_says_nothing() -> None:
    assert Top3Accuracy().score(np.array([0, 1, 2]), np.eye(3)[[1, 2, 0]]) == 1


@quick
@given(any_answers)
def test_the_first_place_is_the_answer(answered: Answered) -> None:
    truth, probabilities = answered
    assert ((rank_of_truth(truth, probabilities) == 1) == (probabilities.argmax(axis=1) == truth)).all()


@quick
@given(untied_answers)
def test_map_at_10_is_the_ranking_precision_of_the_first_ten_classes(answered: Answered) -> None:
    truth, probabilities = answered
    n_classes = probabilities.shape[1]
    if n_classes <= 10:
        expected = theirs.label_ranking_average_precision_score(np.eye(n_classes)[truth], probabilities)
    else:
        lists = [np.argsort(-row)[:10].tolist() for row in probabilities]
        expected = np.mean([1 / (some.index(t) + 1) if t in some else 0 for some, t in zip(lists, truth, strict=True)])
    assert MapAt10().score(truth, probabilities) == pytest.approx(expected)


# Of rankings


@quick
@given(any_answers)
def test_average_precision_equals_scikit_learn(answered: Answered) -> None:
    truth, probabilities = answered
    true = np.eye(probabilities.shape[1])[truth]
    there = np.unique(truth)
    expected = theirs.average_precision_score(true[:, there], probabilities[:, there], average="macro")
    assert AveragePrecision().score(truth, probabilities) == pytest.approx(expected)
    expected = theirs.average_precision_score(true, probabilities, average="micro")
    assert MicroAveragePrecision().score(truth, probabilities) == pytest.approx(expected)


@quick
@given(any_answers)
def test_roc_auc_equals_scikit_learn(answered: Answered) -> None:
    truth, probabilities = answered
    there = [c for c in np.unique(truth) if not (truth == c).all()]
    areas = [theirs.roc_auc_score(truth == c, probabilities[:, c]) for c in there]
    sizes = [(truth == c).sum() for c in there]
    expected = (np.mean(areas), np.average(areas, weights=sizes)) if there else (math.nan, math.nan)
    assert RocAuc().score(truth, probabilities) == pytest.approx(expected[0], nan_ok=True)
    assert WeightedRocAuc().score(truth, probabilities) == pytest.approx(expected[1], nan_ok=True)


@pytest.mark.parametrize(("metric", "average"), [(RocAuc, "macro"), (WeightedRocAuc, "weighted")])
def test_roc_auc_equals_scikit_learns_one_versus_rest(metric: type, average: str) -> None:
    truth, probabilities = some_answers(0, 200, 6, ties=True, held=6)
    expected = theirs.roc_auc_score(truth, probabilities, multi_class="ovr", average=average)
    assert metric().score(truth, probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [RocAuc, AveragePrecision, RetrievalMapAt10])
def test_a_class_absent_from_the_truth_counts_in_no_mean(metric: type) -> None:
    truth, probabilities = some_answers(1, 50, 4, ties=False, held=3)
    wider = np.column_stack([probabilities, np.full(50, 0.5)])
    assert metric().score(truth, wider) == pytest.approx(metric().score(truth, probabilities[:, :3]))


def test_a_single_class_has_no_roc() -> None:
    truth, probabilities = np.zeros(5, dtype=np.int64), np.eye(3)[[0, 0, 1, 0, 2]]
    assert math.isnan(RocAuc().score(truth, probabilities))
    assert math.isnan(WeightedRocAuc().score(truth, probabilities))
    assert AveragePrecision().score(truth, probabilities) == 1, "all items are positives"
    assert 0 < MicroAveragePrecision().score(truth, probabilities) < 1


@quick
@given(untied_answers)
def test_retrieval_map_by_a_plain_loop(answered: Answered) -> None:
    truth, probabilities = answered
    expected = []
    for c in np.unique(truth):
        hits, total = 0, 0.0
        for place, item in enumerate(np.argsort(-probabilities[:, c])[:10], 1):
            if truth[item] == c:
                hits += 1
                total += hits / place
        expected.append(total / min(10, (truth == c).sum()))
    assert RetrievalMapAt10().score(truth, probabilities) == pytest.approx(np.mean(expected))


@settings(quick, max_examples=15)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=6), st.integers(0, 10))
def test_retrieval_map_of_ties_is_the_mean_over_their_orders(items: list[tuple[bool, int]], first: int) -> None:
    """Up to six items in every order, after some that are surely first: the tenth place may fall into a tie."""
    positive = np.array([True] * first + [is_true for is_true, _ in items])
    scores = np.array([3.0] * first + [value for _, value in items])
    precisions = []
    for order in itertools.permutations(range(first, len(scores))):
        ranked = sorted([*range(first), *order], key=lambda item: -scores[item])[:10]  # keeps the order of ties
        hits = positive[ranked]
        precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits).sum())
    expected = np.mean(precisions) / min(10, positive.sum()) if positive.any() else math.nan
    assert map_at_10.of_class(positive, scores) == pytest.approx(expected, nan_ok=True)


# Of probabilities


@quick
@given(any_answers)
def test_log_loss_equals_scikit_learn(answered: Answered) -> None:
    truth, probabilities = answered
    expected = theirs.log_loss(truth, probabilities, labels=range(probabilities.shape[1]))
    assert LogLoss().score(truth, probabilities) == pytest.approx(expected)


def test_log_loss_of_a_class_that_is_ruled_out() -> None:
    truth, told = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert LogLoss().score(truth, told) == pytest.approx(theirs.log_loss(truth, told))
    assert LogLoss().score(truth[1:], told[1:]) == pytest.approx(36.04, abs=0.01)
    assert LogLoss().score(np.array([0]), np.array([[1 + 1e-7, 0]])) == 0


@quick
@given(untied_answers)
def test_calibration_error_equals_torchmetrics(answered: Answered) -> None:
    truth, probabilities = answered
    expected = multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(truth), probabilities.shape[1], n_bins=15, norm="l1"
    )
    assert CalibrationError().score(truth, probabilities) == pytest.approx(float(expected), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    """0.9 said of two, one of them wrong: off by 0.4; 0.6 of a right one: off by 0.4; 1 of a right one: not off."""
    truth, sure = np.array([0, 0, 0, 0]), np.array([0.9, 0.1, 0.6, 1.0])
    told = np.column_stack([sure, 1 - sure])
    assert CalibrationError().score(truth, told) == pytest.approx((2 * 0.4 + 0.4 + 0) / 4)


def test_a_bin_of_calibration_has_its_upper_bound() -> None:
    """Guo et al.: (lower, upper]; 0.8 = 12/15 is with 0.75, and not with 0.85."""
    truth, sure = np.array([0, 1]), np.array([0.8, 0.75])
    together = CalibrationError().score(truth, np.column_stack([sure, 1 - sure]))
    assert together == pytest.approx(abs(1 - 0.8 - 0.75) / 2)
    sure = np.array([0.8, 0.85])
    apart = CalibrationError().score(truth, np.column_stack([sure, 1 - sure]))
    assert apart == pytest.approx((0.2 + 0.85) / 2)


# All of them


@pytest.mark.parametrize("metric", evaluation.metrics(), ids=lambda metric: metric.name)
def test_one_item(metric: evaluation.Metric) -> None:
    right = metric.score(np.array([2]), np.eye(5)[[2]])
    assert math.isnan(right) if metric.name.startswith("roc_auc") else right == metric.best
