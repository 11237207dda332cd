"""Models of MFCC frames and of songs' Gaussians: formulas against direct computation, models on planted data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.linalg import block_diag, subspace_angles
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.base import BaseEstimator, clone

from crnn_bench import plda
from crnn_bench.baselines import Baseline
from crnn_bench.baselines.gaussian import Gaussian, GaussianClassifier
from crnn_bench.baselines.gaussian_mixture import GaussianMixture, GaussianMixtureClassifier, fit_mixture
from crnn_bench.baselines.i_vectors import IVectorClassifier, IVectors, discriminants
from crnn_bench.baselines.kl_svm import KLSVM, KLKernelSVC, gaussians, symmetrised_kl
from crnn_bench.baselines.mahalanobis_svm import MahalanobisSVC, MahalanobisSVM, whitening
from crnn_bench.errors import BenchError
from crnn_bench.frames import log_densities, sample, scale, statistics
from crnn_bench.total_variability import em_step, fit, i_vectors

Floats = NDArray[np.float64]
BINS = 4


def songs(n_songs: int, n_classes: int = 3, seed: int = 0) -> tuple[list[NDArray[np.float32]], NDArray[np.intp]]:
    """Songs of 40 to 79 frames; a class has its own mean, from which each song strays a little."""
    centres = np.random.default_rng(99).normal(0, 0.8, (n_classes, BINS))
    rng = np.random.default_rng(seed)
    labels = np.arange(n_songs) % n_classes
    arrays = [
        (centres[label] + rng.normal(0, 0.1, BINS) + rng.standard_normal((rng.integers(40, 80), BINS)))
        * [30, 5, 1, 0.1]
        for label in labels
    ]
    return [array.astype(np.float32) for array in arrays], labels


def rows(arrays: list[NDArray[np.float32]]) -> Floats:
    """Mean and upper triangle of the covariance of each song."""
    upper = np.triu_indices(BINS)
    return np.stack([np.concatenate([a.mean(axis=0), np.cov(a.T, bias=True)[upper]]) for a in arrays]).astype(
        np.float64
    )


def random_covariances(n: int, bins: int, rng: np.random.Generator) -> Floats:
    roots = rng.standard_normal((n, bins, 2 * bins))
    return np.asarray(roots @ roots.swapaxes(1, 2) / bins)


FRAME_MODELS: list[Callable[[], BaseEstimator]] = [
    GaussianClassifier,
    lambda: GaussianMixtureClassifier(n_components=3, random_state=0),
    lambda: IVectorClassifier(n_components=8, rank=5, random_state=0),
    lambda: IVectorClassifier(n_components=8, rank=5, scoring="cosine", random_state=0),
]
ROW_MODELS: list[Callable[[], BaseEstimator]] = [KLKernelSVC, MahalanobisSVC]
EVERY = [
    *(
        pytest.param(make, lambda arrays: arrays, id=f"{type(make()).__name__}-{n}")
        for n, make in enumerate(FRAME_MODELS)
    ),
    *(pytest.param(make, rows, id=type(make()).__name__) for make in ROW_MODELS),
]


# All models


@pytest.mark.parametrize(("make", "prepare"), EVERY)
@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_it_hears_planted_classes(make: Any, prepare: Any, n_classes: int) -> None:
    train, labels = songs(8 * n_classes, n_classes, seed=1)
    test, truth = songs(4 * n_classes, n_classes, seed=2)
    model = make().fit(prepare(train), labels)
    scores = model.decision_function(prepare(test))
    columns = scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)
    assert columns.shape == (len(test), n_classes)
    assert np.isfinite(columns).all()
    assert np.array_equal(model.classes_[columns.argmax(axis=1)], model.predict(prepare(test)))
    assert (model.predict(prepare(test)) == truth).mean() > (0.9 if n_classes < 20 else 0.4)


@pytest.mark.parametrize(("make", "prepare"), EVERY)
def test_labels_may_be_of_any_type_in_any_order(make: Any, prepare: Any) -> None:
    train, labels = songs(24, seed=1)
    test = prepare(songs(9, seed=2)[0])
    plain = make().fit(prepare(train), labels)
    for names in (np.array(["c", "a", "b"]), np.array([70, -3, 12])):
        named = make().fit(prepare(train), list(names[labels]))
        assert named.classes_.tolist() == sorted(names.tolist())
        assert np.array_equal(named.predict(test), names[plain.predict(test)])


@pytest.mark.parametrize(("make", "prepare"), EVERY)
def test_it_is_deterministic_and_stored_without_loss(make: Any, prepare: Any) -> None:
    train, labels = songs(24, seed=1)
    test = prepare(songs(9, seed=2)[0])
    model = make().fit(prepare(train), labels)
    np.random.seed(7)  # noqa: NPY002
    again = clone(model).fit(prepare(train), labels)
    stored = skops.io.dumps(model)
    loaded = skops.io.loads(stored, trusted=skops.io.get_untrusted_types(data=stored))
    assert again.get_params() == model.get_params()
    for other in (again, loaded):
        assert np.array_equal(other.decision_function(test), model.decision_function(test))
        assert np.array_equal(other.predict(test), model.predict(test))


@pytest.mark.parametrize(("make", "prepare"), EVERY)
def test_nothing_stored_is_of_an_odd_type(make: Any, prepare: Any) -> None:
    """Besides the package's own class."""
    train, labels = songs(24, seed=1)
    stored = skops.io.dumps(make().fit(prepare(train), labels))
    assert all(name.startswith("crnn_bench.") for name in skops.io.get_untrusted_types(data=stored))


@pytest.mark.parametrize("make", FRAME_MODELS)
def test_slices_of_one_length_may_come_as_one_array(make: Any) -> None:
    train, labels = songs(24, seed=1)
    cut = [song[:40] for song in train]
    ragged = np.empty(len(cut), dtype=object)
    ragged[:] = cut
    model = make().fit(np.stack(cut), labels)
    for same in (cut, ragged):
        assert np.array_equal(clone(model).fit(same, labels).decision_function(same), model.decision_function(cut))


@pytest.mark.parametrize(("make", "prepare"), EVERY)
def test_few_songs_and_dead_bins_are_no_fault(make: Any, prepare: Any) -> None:
    """A song or two per class, fewer frames than components, a bin that never changes and one that a song keeps."""
    train, labels = songs(4, seed=1)
    short = [song[: 2 + number] for number, song in enumerate(train)]
    for song in short:
        song[:, 0] = -5.5
    short[0][:, 1] = 7
    scores = make().fit(prepare(short), labels).decision_function(prepare(short))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("baseline", [Gaussian(), GaussianMixture(), IVectors(), KLSVM(), MahalanobisSVM()])
def test_a_search_can_set_its_arguments(baseline: Baseline) -> None:
    model = baseline.estimator(seed=3)
    assert model.steps[-1][0] == "classifier"
    assert baseline.features is not None
    assert baseline.features.n_bins == (230 if isinstance(baseline, (KLSVM, MahalanobisSVM)) else 20)
    classifier = baseline.classifier(seed=3)
    mine = {name: value for name, value in vars(baseline).items() if name != "n_mfcc"}
    assert {name: value for name, value in classifier.get_params().items() if name != "random_state"} == mine
    assert classifier.get_params().get("random_state", 3) == 3
    for name, values in baseline.space.items():
        model.set_params(**{f"classifier__{name}": values})


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Gaussian(n_mfcc=0), "n_mfcc must be at least 1"),
        (lambda: GaussianMixture(n_components=0), "n_components must be at least 1"),
        (lambda: IVectors(rank=0), "rank must be at least 1"),
        (lambda: IVectors(scoring="svm"), "scoring must be cosine or plda, got 'svm'"),  # type: ignore[arg-type]
        (lambda: KLSVM(C=0), "C must be above 0, got 0"),
        (lambda: MahalanobisSVM(gamma=-1.0), "gamma must be scale or above 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(build: Callable[[], Baseline], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        build()


# Gaussians and mixtures


def test_the_gaussians_score_is_the_mean_log_likelihood() -> None:
    train, labels = songs(12, seed=1)
    test, _ = songs(5, seed=2)
    model = GaussianClassifier().fit(train, labels)
    for label in range(3):
        frames = np.concatenate([song for song, own in zip(train, labels, strict=True) if own == label]).astype(float)
        assert model.means_[label] == pytest.approx(frames.mean(axis=0))
        assert model.covariances_[label] == pytest.approx(np.cov(frames.T, bias=True), rel=1e-3, abs=1e-5)
        density = multivariate_normal(model.means_[label], model.covariances_[label])
        expected = [density.logpdf(song.astype(float)).mean() for song in test]
        assert model.decision_function(test)[:, label] == pytest.approx(expected)


def test_the_mixtures_score_is_the_mean_log_likelihood() -> None:
    train, labels = songs(12, seed=1)
    model = GaussianMixtureClassifier(n_components=2, random_state=0).fit(train, labels)
    for label, (log_weights, means, variances) in enumerate(model.mixtures_):
        parts = norm.logpdf(train[0][:, None].astype(float), means, np.sqrt(variances)).sum(axis=2) + log_weights
        expected = logsumexp(parts, axis=1).mean()
        assert model.decision_function(train[:1])[0, label] == pytest.approx(expected)


def test_a_mixture_finds_planted_components_of_whatever_unit() -> None:
    rng = np.random.default_rng(0)
    frames = np.concatenate([rng.normal((-3, 0), 1, (3000, 2)), rng.normal((3, 5), 1, (1000, 2))]) * [1000, 0.001]
    log_weights, means, variances = fit_mixture(frames, scale(frames), 2, 0)
    order = means[:, 0].argsort()
    assert np.exp(log_weights)[order] == pytest.approx([0.75, 0.25], abs=0.01)
    assert means[order] / [1000, 0.001] == pytest.approx(np.array([[-3, 0], [3, 5]]), abs=0.1)
    assert variances[order] / [1e6, 1e-6] == pytest.approx(np.ones((2, 2)), rel=0.2)


def test_a_sample_draws_each_frame_once_at_most() -> None:
    arrays = [np.arange(10.0)[:, None], np.arange(10.0, 13)[:, None], np.arange(13.0, 50)[:, None]]
    drawn = sample(arrays, 20, np.random.default_rng(0))
    assert drawn.shape == (20, 1)
    assert len(np.unique(drawn)) == 20
    assert np.array_equal(sample(arrays, 100, np.random.default_rng(0)), np.arange(50.0)[:, None])
    counts = np.bincount(
        np.concatenate([sample(arrays, 20, np.random.default_rng(n))[:, 0] for n in range(500)]).astype(int)
    )
    assert counts / 500 == pytest.approx(np.full(50, 0.4), abs=0.1)


# Songs' Gaussians


def test_rows_hold_the_upper_triangle_row_by_row() -> None:
    means, covariances = gaussians(np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9]], dtype=float))
    assert means.tolist() == [[1, 2, 3]]
    assert covariances.tolist() == [[[4, 5, 6], [5, 7, 8], [6, 8, 9]]]


def test_the_divergence_is_the_integral() -> None:
    p, q = norm(1, 2), norm(-0.5, 0.7)

    def integrand(x: float) -> float:
        return float((p.pdf(x) - q.pdf(x)) * (p.logpdf(x) - q.logpdf(x)))

    expected = quad(integrand, -25, 25, points=[-1, 1], limit=200)[0]
    ours = symmetrised_kl(np.array([[1.0]]), np.array([[[4.0]]]), np.array([[-0.5]]), np.array([[[0.49]]]))
    assert ours.item() == pytest.approx(expected)


def test_the_divergence_is_the_mean_log_ratio_of_draws() -> None:
    rng = np.random.default_rng(0)
    means, covariances = rng.normal(0, 0.5, (2, 3)), random_covariances(2, 3, rng)
    p, q = (multivariate_normal(means[n], covariances[n], seed=n) for n in range(2))
    drawn = (p.rvs(400_000), q.rvs(400_000))
    expected = (p.logpdf(drawn[0]) - q.logpdf(drawn[0])).mean() + (q.logpdf(drawn[1]) - p.logpdf(drawn[1])).mean()
    ours = symmetrised_kl(means[:1], covariances[:1], means[1:], covariances[1:]).item()
    assert ours == pytest.approx(expected, rel=0.02)


def test_the_divergence_of_shifted_unit_gaussians_is_the_squared_distance() -> None:
    means, unit = np.array([[0.0, 0], [3, 4], [-300, 400]]), np.tile(np.eye(2), (3, 1, 1))
    expected = ((means[:, None] - means) ** 2).sum(axis=2)
    assert symmetrised_kl(means, unit, means, unit) == pytest.approx(expected)


def test_the_divergence_is_symmetric_and_zero_from_oneself() -> None:
    rng = np.random.default_rng(1)
    means, covariances = rng.normal(-300, 30, (6, 20)), random_covariances(6, 20, rng)
    divergences = symmetrised_kl(means, covariances, means, covariances)
    assert np.abs(np.diag(divergences)).max() < 1e-6
    assert divergences == pytest.approx(divergences.T)
    assert (divergences[~np.eye(6, dtype=bool)] > 0.1).all()


def test_kernels_lie_between_0_and_1_and_their_median_is_1_over_e() -> None:
    train, labels = songs(23, n_classes=5, seed=1)
    model = KLKernelSVC().fit(rows(train), labels)
    kernel = model._kernel(rows(train))
    assert kernel.min() >= 0
    assert kernel.max() <= 1
    assert np.diag(kernel) == pytest.approx(1)
    assert np.median(kernel[np.triu_indices(23, 1)]) == pytest.approx(np.exp(-1))
    assert KLKernelSVC(gamma=0.5).fit(rows(train), labels).gamma_ == 0.5


def test_whitened_vectors_are_mahalanobis_apart() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((3, 3))
    vectors = rng.standard_normal((20_000, 3)) @ mixing
    whitened = vectors @ whitening(vectors)
    assert np.cov(whitened.T) == pytest.approx(np.eye(3), abs=0.01)
    shift = vectors[0] - vectors[1]
    expected = shift @ np.linalg.inv(mixing.T @ mixing) @ shift
    assert ((whitened[0] - whitened[1]) ** 2).sum() == pytest.approx(expected, rel=0.05)


def test_there_may_be_more_dimensions_than_songs() -> None:
    vectors = np.random.default_rng(0).standard_normal((12, 230))
    whitened = vectors @ whitening(vectors)
    assert np.isfinite(whitened).all()
    assert whitened.var() < 2


# I-vectors


def planted(n_songs: int, rank: int, seed: int = 0, occupied: float = 40) -> tuple[Floats, Floats, Floats]:
    """T (3 components, 2 bins, rank), and the statistics of songs drawn from it."""
    rng = np.random.default_rng(seed)
    T = rng.standard_normal((3, 2, rank))
    occupancy = rng.uniform(0.5, 1.5, (n_songs, 3)) * occupied
    shifts = np.einsum("cbr,sr->scb", T, rng.standard_normal((n_songs, rank)))
    noise = rng.standard_normal((n_songs, 3, 2)) * np.sqrt(occupancy)[..., None]
    return T, occupancy, shifts * occupancy[..., None] + noise


def test_statistics_are_those_of_every_frame() -> None:
    rng = np.random.default_rng(0)
    mixture = (np.log([0.3, 0.7]), np.array([[0.0, 1], [2, 3]]), np.array([[1.0, 4], [9, 0.25]]))
    arrays = [rng.normal(1, 2, (n, 2)) for n in (5000, 3)]  # more than a block, and less
    occupancy, first = statistics(arrays, mixture)
    for number, frames in enumerate(arrays):
        densities = np.stack(
            [
                w * multivariate_normal(m, np.diag(v)).pdf(frames)
                for w, m, v in zip([0.3, 0.7], *mixture[1:], strict=True)
            ]
        ).T
        assert np.exp(log_densities(frames, mixture)) == pytest.approx(densities)
        shares = densities / densities.sum(axis=1, keepdims=True)
        assert occupancy[number] == pytest.approx(shares.sum(axis=0))
        centred = (frames[:, None] - mixture[1]) / np.sqrt(mixture[2])
        assert first[number] == pytest.approx((shares[..., None] * centred).sum(axis=0))


def test_an_i_vector_is_the_posterior_mean_of_a_dense_gaussian() -> None:
    """Conditioning the joint Gaussian of w and of the components' mean frames, which vary by 1 / occupancy."""
    T, occupancy, first = planted(4, rank=3)
    vectors = i_vectors(T, occupancy, first)
    stacked = T.reshape(6, 3)
    for song in range(4):
        noise = np.diag(np.repeat(1 / occupancy[song], 2))
        seen = (first[song] / occupancy[song][:, None]).ravel()
        expected = stacked.T @ np.linalg.inv(stacked @ stacked.T + noise) @ seen
        assert vectors[song] == pytest.approx(expected)


def test_em_never_becomes_less_likely_and_its_likelihood_is_the_dense_one() -> None:
    _, occupancy, first = planted(150, rank=2)
    T = np.random.default_rng(5).standard_normal((3, 2, 2))
    likelihoods, dense = [], []
    for _ in range(5):
        stacked, total = T.reshape(6, 2), 0.0
        for counts, sums in zip(occupancy, first, strict=True):
            noise = np.diag(np.repeat(1 / counts, 2))
            seen = (sums / counts[:, None]).ravel()
            total += multivariate_normal(cov=stacked @ stacked.T + noise).logpdf(seen)
            total -= multivariate_normal(cov=noise).logpdf(seen)
        dense.append(total)
        T, likelihood = em_step(T, occupancy, first)
        likelihoods.append(likelihood)
    assert likelihoods == pytest.approx(dense)
    assert (np.diff(likelihoods) > 0).all()


def test_em_finds_the_planted_subspace() -> None:
    T, occupancy, first = planted(2000, rank=2, occupied=100)
    found = fit(occupancy, first, 2, 30)
    assert np.degrees(subspace_angles(T.reshape(6, 2), found.reshape(6, 2))).max() < 3
    stacked, truth = found.reshape(6, 2), T.reshape(6, 2)
    assert stacked @ stacked.T == pytest.approx(truth @ truth.T, abs=0.1 * np.abs(truth @ truth.T).max())
    assert np.cov(i_vectors(found, occupancy, first).T) == pytest.approx(np.eye(2), abs=0.05)


def test_plda_scores_are_those_of_the_joint_gaussian() -> None:
    """p(test | enrolled) = p(test, enrolled) / p(enrolled), all of which are jointly Gaussian."""
    rng = np.random.default_rng(0)
    model = plda.PLDA(rng.standard_normal(2), *random_covariances(2, 2, rng))
    vectors, codes = rng.standard_normal((6, 2)), np.array([0, 1, 1, 0, 1, 2])
    test = rng.standard_normal((4, 2))
    means, covariances = plda.posteriors(model, vectors, codes)

    def joint(stacked: Floats) -> float:
        n = len(stacked)
        covariance = np.kron(np.ones((n, n)), model.between) + block_diag(*[model.within] * n)
        return float(multivariate_normal(np.tile(model.mean, n), covariance).logpdf(stacked.ravel()))

    for code in range(3):
        enrolled = vectors[codes == code]
        expected = [joint(np.vstack([enrolled, vector])) - joint(enrolled) for vector in test]
        scores = plda.log_normal(test, means[code], model.within + covariances[code])
        assert scores == pytest.approx(expected)


def test_plda_finds_the_planted_covariances() -> None:
    rng = np.random.default_rng(0)
    between, within = np.array([[4.0, 1], [1, 2]]), np.array([[1.0, -0.5], [-0.5, 2]])
    codes = np.repeat(np.arange(1500), rng.integers(1, 8, 1500))
    points = rng.multivariate_normal([5, -5], between, 1500)
    model = plda.fit(points[codes] + rng.multivariate_normal([0, 0], within, len(codes)), codes)
    assert model.mean == pytest.approx([5, -5], abs=0.2)
    assert model.between == pytest.approx(between, abs=0.4)
    assert model.within == pytest.approx(within, abs=0.1)


def test_discriminants_leave_out_what_tells_classes_apart_least() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(300) % 3
    vectors = rng.standard_normal((300, 4)) * [1, 1, 30, 1]
    vectors[:, 1] += 5 * (codes == 1)
    vectors[:, 3] += 5 * (codes == 2)
    directions = discriminants(vectors, codes)
    assert directions.shape == (4, 2)
    assert np.degrees(subspace_angles(directions, np.eye(4)[:, [1, 3]])).max() < 5


def test_plda_hears_artists_through_their_albums() -> None:
    """Albums stray far along few directions that all artists share; training and test albums are different ones."""
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((3, BINS * 2, 8))
    artists = rng.normal(0, 1, (8, 8)) * [1, 1, 1, 1, 1, 0, 0, 0]

    def album_songs(per_artist: int) -> tuple[list[Floats], NDArray[np.intp]]:
        arrays, labels = [], []
        for label, artist in enumerate(artists):
            for _ in range(per_artist):
                album = rng.normal(0, 4, 8) * [0, 0, 0, 0, 0, 1, 1, 1]
                for _ in range(3):
                    shift = 0.25 * basis @ (artist + album + rng.normal(0, 0.3, 8))
                    component = rng.integers(0, 3, 300)
                    spot = 20 * np.eye(3, BINS * 2)[component]
                    arrays.append(spot + shift[component] + rng.standard_normal((300, BINS * 2)))
                    labels.append(label)
        return arrays, np.array(labels)

    train, test = album_songs(5), album_songs(2)
    model = IVectorClassifier(n_components=3, rank=8, random_state=0).fit(*train)
    right = (model.predict(test[0]) == test[1]).mean()
    raw = [i_vectors(model.total_variability_, *statistics(some, model.mixture_)) for some, _ in (train, test)]
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in raw]
    means = np.stack([unit[0][train[1] == label].mean(axis=0) for label in range(8)])
    plain = ((unit[1] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(axis=1) == test[1]).mean()
    assert right > 0.8
    assert right > plain + 0.1


def test_the_rank_is_at_most_half_the_number_of_songs() -> None:
    train, labels = songs(6, seed=1)
    model = IVectorClassifier(random_state=0, n_components=4).fit(train, labels)
    assert model.total_variability_.shape == (4, BINS, 3)
    assert model.projection_.shape == (3, 2)
