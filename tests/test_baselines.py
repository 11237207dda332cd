"""One battery for every classical baseline; a new file is tested without a word here."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import clone

from crnn_bench import bundles, classical, plugins
from crnn_bench.baselines import Baseline
from crnn_bench.classical import FittedBaseline
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.slicing import cut

BASELINES = sorted(set(plugins.options(Baseline).values()), key=lambda cls: cls.__name__)
FLOORS = ("MajorityClass", "StratifiedRandom")
FRAMES, BINS = 30, 20
every_baseline = pytest.mark.parametrize("cls", BASELINES, ids=lambda cls: cls.__name__)


def gaussian_row(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and covariance, as the one row that a baseline of song-level Gaussians takes."""
    covariance = np.cov(frames.T, bias=True)[np.triu_indices(frames.shape[1])]
    return np.concatenate([frames.mean(axis=0), covariance])[None].astype(np.float32)


def music(baseline: Baseline, n_tracks: int, n_classes: int, seed: int, constant: bool = False) -> Slices:
    """Tracks of three slices; classes differ by the means of half the bins and by the spread of others."""
    table = baseline.features is not None and baseline.features.is_table
    rng = np.random.default_rng(seed)
    arrays = []
    for track in range(n_tracks):
        label = track % n_classes
        frames = rng.standard_normal((3 * FRAMES, BINS)).astype(np.float32)
        frames[:, 10:] += 1.5 * np.sin(np.arange(1, 11) * (1 + label)) + rng.normal(0, 0.1, 10)
        frames[:, 5:9] *= 1 + label % 5
        if constant:
            frames[:, 4] = 7.0
        arrays.append(gaussian_row(frames) if table else frames)
    labels = [f"{track % n_classes:02}" for track in range(n_tracks)]
    tracks = pd.DataFrame({"track_id": [f"song {track}" for track in range(n_tracks)], "label": labels})
    clip = None if table else 1.0
    columns = tuple(f"bin {number}" for number in range(arrays[0].shape[1]))
    return cut(tracks, arrays, [f"{number:02}" for number in range(n_classes)], FRAMES, clip, columns=columns)


_fitted: dict[tuple[type, int], tuple[FittedBaseline, Slices]] = {}


def fitted(cls: type[Baseline], n_classes: int = 3) -> tuple[FittedBaseline, Slices]:
    """A baseline with its defaults, fitted once, and test slices."""
    if (cls, n_classes) not in _fitted:
        baseline = cls()
        of_class = 20 if n_classes < 20 else 4
        train = music(baseline, of_class * n_classes, n_classes, seed=1)
        validation, test = (music(baseline, of_class // 2 * n_classes, n_classes, seed) for seed in (2, 3))
        _fitted[cls, n_classes] = classical.fit(baseline, train, validation, n_classes, seed=0), test
    return _fitted[cls, n_classes]


@every_baseline
@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_probabilities_of_every_slice_and_class(cls: type[Baseline], n_classes: int) -> None:
    model, test = fitted(cls, n_classes)
    probabilities = model.predict_proba(test)
    assert probabilities.shape == (len(test), n_classes)
    assert np.isfinite(probabilities).all()
    assert probabilities.min() >= 0
    assert probabilities.sum(axis=1) == pytest.approx(1)


@every_baseline
@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_it_learns_unless_it_is_the_floor(cls: type[Baseline], n_classes: int) -> None:
    model, test = fitted(cls, n_classes)
    right = (model.predict_proba(test).argmax(axis=1) == test.label).mean()
    if cls.__name__ in FLOORS:
        assert right <= 0.75
    else:
        assert right >= (0.7 if n_classes < 20 else 0.1), "chance is 0.05 for twenty"


@every_baseline
def test_labels_of_any_type(cls: type[Baseline]) -> None:
    """The estimator itself, as it is stored, learns words, numbers with gaps, and truths."""
    baseline = cls()
    train, test = music(baseline, 40, 2, seed=1), music(baseline, 10, 2, seed=3)
    inputs, answers = baseline.inputs(train), baseline.inputs(test)
    said = []
    for names in (np.array(["zither", "accordion"]), np.array([70, -3]), np.array([True, False])):
        estimator = baseline.estimator(0).fit(inputs, names[train.label])
        assert set(estimator.classes_.tolist()) == set(names.tolist())
        predicted = estimator.predict(answers)
        assert predicted.dtype.kind == names.dtype.kind
        said.append([list(names).index(name) for name in predicted])
    if cls.__name__ not in FLOORS:
        assert np.mean(np.array(said) == test.label) >= 0.9


@every_baseline
def test_a_class_that_validation_lacks(cls: type[Baseline]) -> None:
    baseline = cls()
    train, validation = music(baseline, 30, 3, seed=1), music(baseline, 4, 2, seed=2)
    model = classical.fit(baseline, train, validation, 3, seed=0)
    assert model.predict_proba(music(baseline, 6, 3, seed=3)).sum(axis=1) == pytest.approx(1)


@every_baseline
def test_a_class_that_training_lacks_is_never_said(cls: type[Baseline]) -> None:
    baseline = cls()
    train, test = music(baseline, 20, 2, seed=1), music(baseline, 6, 2, seed=3)
    probabilities = classical.fit(baseline, train, train, 3, seed=0).predict_proba(test)
    assert probabilities.shape == (len(test), 3)
    assert (probabilities[:, 2] == 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)


@every_baseline
def test_it_is_deterministic(cls: type[Baseline]) -> None:
    model, test = fitted(cls)
    np.random.seed(7)  # noqa: NPY002
    train, validation = music(cls(), 60, 3, seed=1), music(cls(), 30, 3, seed=2)
    again = classical.fit(cls(), train, validation, 3, seed=0)
    assert np.array_equal(again.predict_proba(test), model.predict_proba(test))
    assert np.array_equal(model.predict_proba(test), model.predict_proba(test))


@every_baseline
def test_a_constant_bin_is_no_fault(cls: type[Baseline]) -> None:
    baseline = cls()
    train, test = music(baseline, 60, 3, 1, constant=True), music(baseline, 15, 3, 3, constant=True)
    probabilities = classical.fit(baseline, train, test, 3, seed=0).predict_proba(test)
    assert np.isfinite(probabilities).all()
    if cls.__name__ not in FLOORS:
        assert (probabilities.argmax(axis=1) == test.label).mean() >= 0.7


@every_baseline
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_nan_is_named_by_track_and_column(cls: type[Baseline], value: float) -> None:
    model, test = fitted(cls)
    broken = music(cls(), 6, 3, seed=3)
    broken.arrays[4][0, 11] = value
    with pytest.raises(BenchError, match=r"^song 4: bin 11 is NaN or infinite"):
        model.predict_proba(broken)
    with pytest.raises(BenchError, match=r"^song 4: bin 11 is NaN or infinite"):
        classical.fit(cls(), broken, test, 3, seed=0)


@every_baseline
def test_stored_and_read_it_says_the_same(cls: type[Baseline], tmp_path: Path) -> None:
    """No type in its file is unknown: a new baseline whose estimator holds another one has to be looked at."""
    model, test = fitted(cls)
    told = dict.fromkeys(bundles.TOLD) | {"model": Choice.of(model.baseline).describe()}
    bundles.save_baseline(tmp_path / "one.skops", model.estimator, told | {"temperature": model.temperature})
    read = bundles.load(tmp_path / "one.skops")
    assert isinstance(read, bundles.BaselineBundle)
    assert Choice.of(read.baseline) == Choice.of(cls())
    inputs = model.baseline.inputs(test)
    assert np.array_equal(read.estimator.predict(inputs), model.estimator.predict(inputs))
    again = FittedBaseline(read.baseline, read.estimator, read.about["temperature"], model.n_classes, {})
    if cls.__name__ != "StratifiedRandom":  # which throws dice anew
        assert np.array_equal(again.predict_proba(test), model.predict_proba(test))


@every_baseline
@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_probabilities_are_its_own_or_made_by_one_temperature(cls: type[Baseline], n_classes: int) -> None:
    """What is stored decides as what was scored."""
    model, test = fitted(cls, n_classes)
    inputs = model.baseline.inputs(test)
    if hasattr(model.estimator, "predict_proba"):
        assert model.temperature is None
        assert np.allclose(model.predict_proba(test), model.estimator.predict_proba(inputs), atol=1e-12)
    else:
        assert 0.01 <= (model.temperature or 0) <= 100
        assert np.array_equal(model.predict_proba(test).argmax(axis=1), model.estimator.predict(inputs))


@every_baseline
def test_an_estimator_is_unfitted_and_can_be_cloned(cls: type[Baseline]) -> None:
    estimator = cls().estimator(0)
    assert not hasattr(estimator, "classes_")
    assert str(clone(estimator).get_params()) == str(estimator.get_params())


@every_baseline
def test_every_value_of_the_search_space_is_an_argument(cls: type[Baseline]) -> None:
    given: dict[str, Any] = dict(Choice.of(cls()).arguments)
    for name, values in cls().space.items():
        assert name in given
        tried = values if isinstance(values, list) else next(iter(values.values()))
        for value in tried:
            built = cls(**{**given, name: value})
            assert getattr(built, name) == value
