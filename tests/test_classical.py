"""The SVM on MFCC statistics: fitted on training slices alone, at slice and at song level."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from crnn_bench import classical
from crnn_bench.baselines.logistic_regression import LogisticRegression
from crnn_bench.baselines.mfcc_svm import MfccSVM
from crnn_bench.classical import FittedBaseline
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.records import Slices
from crnn_bench.slicing import cut

N_MFCC, FRAMES = 5, 20


def toy_slices(n_tracks: int, n_classes: int = 3, seed: int = 0, clip: float | None = 1.0, offset: float = 0) -> Slices:
    """Three slices a track; classes differ by the mean of one coefficient and by the spread of another."""
    rng = np.random.default_rng(seed)
    labels = [track % n_classes for track in range(n_tracks)]
    arrays = []
    for label in labels:
        frames = rng.standard_normal((3 * FRAMES, N_MFCC)) * [1, 1, 1 + 2 * label, 1, 20]
        frames[:, 1] += 4 * label + rng.normal(0, 0.5)
        arrays.append((frames + offset).astype(np.float16))
    tracks = pd.DataFrame({"track_id": [f"{i}" for i in range(n_tracks)], "label": [str(label) for label in labels]})
    return cut(tracks, arrays, [str(i) for i in range(n_classes)], FRAMES, clip)


TRAIN, VALIDATION, TEST = toy_slices(24, seed=1), toy_slices(6, seed=2), toy_slices(6, seed=3)
BASELINE = MfccSVM(n_mfcc=N_MFCC)


def statistics(slices: Slices) -> NDArray[np.float32]:
    frames = [slices[item].astype(np.float32) for item in range(len(slices))]
    return np.stack([np.concatenate([some.mean(axis=0), some.std(axis=0)]) for some in frames])


@pytest.fixture(scope="module")
def fitted() -> FittedBaseline:
    return classical.fit(BASELINE, TRAIN, VALIDATION, 3, seed=0)


def test_probabilities_are_some(fitted: FittedBaseline) -> None:
    probabilities = fitted.predict_proba(TEST)
    assert probabilities.shape == (len(TEST), 3)
    assert probabilities.min() >= 0
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_it_hears_the_classes(fitted: FittedBaseline) -> None:
    assert (fitted.predict_proba(TEST).argmax(axis=1) == TEST.label).mean() >= 0.9


def test_it_is_an_rbf_svm_on_scaled_means_and_deviations(fitted: FittedBaseline) -> None:
    plain = make_pipeline(StandardScaler(), SVC(C=10.0, gamma="scale", break_ties=True))
    plain.fit(statistics(TRAIN), TRAIN.label)
    expected = softmax(plain.decision_function(statistics(TEST)) / fitted.temperature, axis=1)
    assert np.abs(fitted.predict_proba(TEST) - expected).max() < 1e-9


def test_the_scaler_is_fitted_on_training_slices_alone() -> None:
    """However the validation slices sound, decisions on the test slices are the same; only the temperature is not."""
    usual = classical.fit(BASELINE, TRAIN, VALIDATION, 3, seed=0)
    far = classical.fit(BASELINE, TRAIN, toy_slices(6, seed=9, offset=1000.0), 3, seed=0)
    scaler = usual.estimator.steps[0][1]
    assert np.allclose(scaler.mean_, statistics(TRAIN).mean(axis=0), rtol=1e-5, atol=1e-5)
    assert np.array_equal(scaler.mean_, far.estimator.steps[0][1].mean_)
    assert np.array_equal(scaler.scale_, far.estimator.steps[0][1].scale_)
    vectors = statistics(TEST)
    assert np.array_equal(usual.estimator.decision_function(vectors), far.estimator.decision_function(vectors))
    assert usual.temperature != far.temperature
    assert np.array_equal(usual.predict_proba(TEST).argmax(axis=1), far.predict_proba(TEST).argmax(axis=1))


def test_predicting_other_slices_first_changes_nothing(fitted: FittedBaseline) -> None:
    before = fitted.predict_proba(TEST)
    fitted.predict_proba(toy_slices(6, seed=8, offset=500.0))
    assert np.array_equal(fitted.predict_proba(TEST), before)


def test_a_slices_company_does_not_change_its_answer(fitted: FittedBaseline) -> None:
    some = replace(TEST, track=TEST.track[4:7], start=TEST.start[4:7], length=TEST.length[4:7], label=TEST.label[4:7])
    assert np.abs(fitted.predict_proba(some) - fitted.predict_proba(TEST)[4:7]).max() < 1e-12


def test_it_is_deterministic(fitted: FittedBaseline) -> None:
    np.random.seed(7)  # noqa: NPY002
    again = classical.fit(BASELINE, TRAIN, VALIDATION, 3, seed=0)
    assert again.temperature == fitted.temperature
    assert np.array_equal(again.predict_proba(TEST), fitted.predict_proba(TEST))


def test_the_temperature_makes_validation_slices_most_probable() -> None:
    """On validation slices of which some are told wrongly; otherwise no temperature would be low enough."""
    doubtful = replace(VALIDATION, label=np.roll(VALIDATION.label, 1))
    fitted = classical.fit(BASELINE, TRAIN, doubtful, 3, seed=0)
    scores = fitted.estimator.decision_function(statistics(doubtful))

    def log_loss(temperature: float) -> float:
        probabilities = softmax(scores / temperature, axis=1)
        return float(-np.log(probabilities[np.arange(len(doubtful)), doubtful.label]).mean())

    assert fitted.temperature is not None
    assert fitted.details == {"temperature": fitted.temperature}
    assert 0.02 < fitted.temperature < 50
    assert all(log_loss(fitted.temperature) < log_loss(fitted.temperature * factor) for factor in (0.8, 1.25))


def test_few_and_faultless_validation_slices_do_not_make_it_boundlessly_sure(fitted: FittedBaseline) -> None:
    """Platt's (1999) softened targets, (n + 1) / (n + 2): at the best temperature they have the answers' mean score."""
    answers, n = fitted.predict_proba(VALIDATION), len(VALIDATION)
    scores = fitted.estimator.decision_function(statistics(VALIDATION))
    targets = np.where(np.eye(3)[VALIDATION.label] > 0, (n + 1) / (n + 2), 1 / (n + 2) / 2)
    assert (answers.argmax(axis=1) == VALIDATION.label).all()
    assert (answers * scores).sum() == pytest.approx((targets * scores).sum(), rel=1e-3)
    assert answers.max() < 0.99


def test_labels_that_validation_lacks_are_no_fault() -> None:
    lacking = toy_slices(4, n_classes=2, seed=2)
    fitted = classical.fit(BASELINE, TRAIN, lacking, 3, seed=0)
    assert (fitted.predict_proba(TEST).argmax(axis=1) == TEST.label).mean() >= 0.9


@pytest.mark.parametrize("trained", [2, 3])
def test_a_class_that_was_never_trained_is_never_said(trained: int) -> None:
    """The number of columns is the experiment's."""
    train = toy_slices(12, n_classes=trained, seed=1)
    probabilities = classical.fit(BASELINE, train, train, trained + 1, seed=0).predict_proba(TEST)
    assert probabilities.shape == (len(TEST), trained + 1)
    assert (probabilities[:, trained] == 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_two_classes() -> None:
    train, test = toy_slices(10, n_classes=2, seed=1), toy_slices(6, n_classes=2, seed=3)
    probabilities = classical.fit(BASELINE, train, test, 2, seed=0).predict_proba(test)
    assert probabilities.shape == (len(test), 2)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (probabilities.argmax(axis=1) == test.label).mean() >= 0.9


def test_song_level() -> None:
    """A slice is a song, of whatever length."""
    baseline = MfccSVM(n_mfcc=N_MFCC)
    train, test = toy_slices(90, seed=1, clip=None), toy_slices(9, seed=3, clip=None)
    arrays = [array[: 60 - 3 * number] for number, array in enumerate(test.arrays)]
    test = replace(test, arrays=arrays, length=np.array([len(array) for array in arrays]))
    fitted = classical.fit(baseline, train, test, 3, seed=0)
    assert len(train) == 90
    assert (fitted.predict_proba(test).argmax(axis=1) == test.label).mean() >= 0.8


def test_the_baseline_brings_its_own_features() -> None:
    features = MfccSVM(n_mfcc=13).features
    assert features is not None
    assert features.key == Mfcc(n_mfcc=13).key
    assert MfccSVM().summarise(np.ones((7, 20), np.float32)).tolist() == [1] * 20 + [0] * 20


def test_a_model_that_does_not_converge_says_so() -> None:
    fitted = classical.fit(LogisticRegression(C=1e6, max_iter=1), TRAIN, VALIDATION, 3, seed=0)
    assert fitted.details == {"remark": "stopped before it converged; raise its max_iter"}
    assert classical.fit(LogisticRegression(), TRAIN, VALIDATION, 3, seed=0).details == {}
