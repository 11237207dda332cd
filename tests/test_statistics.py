"""Intervals against simulated truth, tests against brute force and their level."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from crnn_bench import effect, significance, statistics
from crnn_bench.errors import BenchError
from crnn_bench.metrics.accuracy import Accuracy
from crnn_bench.metrics.log_loss import LogLoss
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.statistics import Answers, Interval

F1 = WeightedF1()
EXPERIMENTS = 1000


def told(truth: NDArray[np.int64], predicted: NDArray[np.int64], clusters: NDArray[np.int64], n: int = 4) -> Answers:
    return Answers(truth, np.eye(n)[predicted], np.array([f"song {name}" for name in clusters], dtype=object))


def drawn(rng: np.random.Generator, songs: int = 24, slices: int = 5, skill: float = 0.7) -> Answers:
    """Songs of four labels in turn; a slice is right by its song's own chance."""
    clusters = np.repeat(np.arange(songs), slices)
    truth = clusters % 4
    right = rng.random(len(truth)) < np.clip(skill + 0.3 * rng.standard_normal(songs), 0, 1)[clusters]
    return told(truth, np.where(right, truth, (truth + rng.integers(1, 4, len(truth))) % 4), clusters)


# Coverage by simulation


@dataclass(frozen=True)
class World:
    """What answers are right by: the label, its album, the song, the training and chance (deviations of log-odds)."""

    labels: int = 6
    albums: int = 1
    songs: int = 6
    slices: int = 8
    skill: float = 1.0
    album: float = 0.0
    song: float = 1.2
    seed: float = 0.0

    def odds(
        self, rng: np.random.Generator, albums: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Of each song: label, album and log-odds of being right."""
        album = np.repeat(np.arange(self.labels * albums), self.songs)
        label = album // albums
        known = self.skill + np.linspace(-1, 1, self.labels)[label]
        return (
            label,
            album,
            known
            + self.album * rng.standard_normal(len(set(album)))[album]
            + self.song * rng.standard_normal(len(label)),
        )

    def trained(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """What a training adds for each label: most of it for all of them alike."""
        return self.seed * (rng.standard_normal() + 0.5 * rng.standard_normal(self.labels))

    def answers(
        self, rng: np.random.Generator, label: NDArray[np.int64], odds: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        truth = np.repeat(label, self.slices)
        right = rng.random(len(truth)) < np.repeat(1 / (1 + np.exp(-odds)), self.slices)
        return truth, np.where(right, truth, (truth + rng.integers(1, self.labels, len(truth))) % self.labels)

    def score(self, rng: np.random.Generator) -> float:
        """What the mean over trainings and all songs of the world comes to."""
        found = []
        for _ in range(400 if self.seed else 40):
            label, _, odds = self.odds(rng, max(1, 800 // self.songs))
            truth, predicted = self.answers(rng, label, odds + self.trained(rng)[label])
            found.append(F1.score(truth, np.eye(self.labels)[predicted]))
        return float(np.mean(found))

    def experiment(
        self, rng: np.random.Generator, seeds: int, own_songs: bool, other: "World | None"
    ) -> list[statistics.Seeds]:
        """One classifier, or two that hear the same songs."""
        classifiers: list[dict[int, Answers]] = [{}, {}] if other else [{}]
        heard = self.odds(rng, self.albums)
        for seed in range(seeds):
            label, album, odds = self.odds(rng, self.albums) if own_songs else heard
            clusters = album if self.albums > 1 else np.arange(len(label))
            names = np.repeat(clusters, self.slices) + (len(label) * seed if own_songs else 0)
            for found, world in zip(classifiers, [self, other] if other else [self], strict=True):
                assert world
                better = world.skill - self.skill
                truth, predicted = world.answers(rng, label, odds + better + world.trained(rng)[label])
                found[seed] = told(truth, predicted, names, self.labels)
        return [*classifiers]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "seeds", "own_songs", "skill"),
    [
        pytest.param(World(), 1, False, None, id="slices, by song"),
        pytest.param(World(songs=3, slices=15, song=1.5), 1, False, None, id="slices of few songs"),
        pytest.param(World(albums=4, songs=4, slices=1, album=1.0, song=1.0), 1, False, None, id="songs, by album"),
        pytest.param(World(seed=0.3), 3, False, None, id="three seeds, the same songs"),
        pytest.param(World(seed=0.3), 3, True, None, id="three seeds, songs of their own"),
        pytest.param(World(), 1, False, 1.4, id="difference"),
        pytest.param(World(seed=0.3), 3, False, 1.4, id="difference, three seeds"),
    ],
)
def test_nine_in_ten_intervals_hold_the_truth(
    world: World, seeds: int, own_songs: bool, skill: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """90% intervals of 1,000 simulated experiments hold the true score of the world that they are drawn from."""
    monkeypatch.setattr(statistics, "RESAMPLES", 800)
    rng = np.random.default_rng(2019)
    other = None if skill is None else World(**{**vars(world), "skill": skill})
    true = world.score(rng) - (other.score(rng) if other else 0)
    held = 0
    for _ in range(EXPERIMENTS):
        found = statistics.scores(world.experiment(rng, seeds, own_songs, other), F1)
        interval = (found[0].minus(found[1]) if other else found[0]).interval(0.9)
        held += interval.low <= true <= interval.high
    assert 0.87 <= held / EXPERIMENTS <= 0.93


@pytest.mark.slow
def test_where_nearly_all_is_right_the_interval_still_holds_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixteen songs that are all right, resampling alone would say that nothing is ever wrong."""
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    world, rng = World(labels=4, songs=4, slices=1, skill=3.5, song=1.0), np.random.default_rng(0)
    true = world.score(rng)
    intervals = [statistics.interval(world.experiment(rng, 1, False, None)[0], F1, 0.9) for _ in range(EXPERIMENTS)]
    assert true > 0.9
    assert sum(interval.value == 1 for interval in intervals) > 100
    assert np.mean([interval.low <= true <= interval.high for interval in intervals]) >= 0.87


# What the interval is of


def test_the_scatter_is_that_of_stratified_sampling() -> None:
    """Of single songs that weigh alike, the variance is the textbook's: the sum of w² s²/n over labels."""
    rng = np.random.default_rng(3)
    truth = np.repeat([0, 1, 2], [3, 5, 12])
    right = np.array([1, 1, 0, 1, 0, 1, 0, 0, *rng.integers(2, size=12)])
    answers = told(truth, np.where(right, truth, 3), np.arange(20))
    [scored] = statistics.scores([{0: answers}], Accuracy())
    of_labels = [right[truth == label] for label in range(3)]
    expected = sum((len(some) / 20) ** 2 * some.var(ddof=1) / len(some) for some in of_labels)
    assert scored.drawn.var() == pytest.approx(expected, rel=0.05)
    assert scored.freedom == 17


def test_slices_of_a_song_are_no_news() -> None:
    """Every slice ten times over: the same interval, which slices drawn one by one would make far narrower."""
    some = drawn(np.random.default_rng(0))
    again = np.repeat(np.arange(len(some.truth)), 10)
    more = Answers(some.truth[again], some.probabilities[again], some.clusters[again])
    assert vars(statistics.interval({0: more}, F1)) == pytest.approx(vars(statistics.interval({0: some}, F1)))


def test_the_order_of_items_and_seeds_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    seeds = {seed: drawn(rng) for seed in (0, 21, 42)}
    order = rng.permutation(len(seeds[0].truth))
    mixed = {
        seed: Answers(some.truth[order], some.probabilities[order], some.clusters[order])
        for seed, some in reversed(seeds.items())
    }
    once, again = statistics.interval(seeds, F1), statistics.interval(mixed, F1)
    assert (once.low, once.value, once.high) == pytest.approx((again.low, again.value, again.high), abs=1e-12)
    assert once.value == pytest.approx(np.mean([F1.score(some.truth, some.probabilities) for some in seeds.values()]))


def test_seeds_that_agree_add_nothing_and_seeds_that_do_not_widen() -> None:
    rng = np.random.default_rng(2)
    some, worse = drawn(rng, skill=0.9), drawn(rng, skill=0.3)
    alone = statistics.interval({0: some}, F1)
    assert vars(statistics.interval({0: some, 1: some, 2: some}, F1)) == pytest.approx(vars(alone), abs=0.003)
    apart = statistics.interval({0: some, 1: worse, 2: some}, F1)
    assert apart.high - apart.low > 2 * (alone.high - alone.low)
    assert 0 <= apart.low < apart.value < apart.high <= 1


def test_more_confidence_is_a_wider_interval_around_the_same_value() -> None:
    some = {0: drawn(np.random.default_rng(4))}
    narrow, wide = statistics.interval(some, F1, 0.5), statistics.interval(some, F1, 0.99)
    assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high


def test_all_songs_right_is_no_proof_of_perfection() -> None:
    """Clopper & Pearson's bound: with a share of 0.025^(1/n) right songs, all n would be right once in 40 times."""
    truth = np.arange(16) % 4
    right = statistics.interval({0: told(truth, truth, np.arange(16))}, F1)
    assert vars(right) == pytest.approx(vars(Interval(1, 0.025 ** (1 / 16), 1)))
    assert statistics.interval({0: told(truth, (truth + 1) % 4, np.arange(16))}, F1).high == pytest.approx(
        1 - 0.025 ** (1 / 16)
    )


def test_labels_that_are_all_right_and_all_wrong_are_no_proof_either() -> None:
    """Each label's songs are alike, so that draws are, too; the interval is not a point."""
    truth = np.arange(16) % 4
    found = statistics.interval({0: told(truth, np.where(truth == 3, 0, truth), np.arange(16))}, Accuracy())
    most = 1 - 0.025 ** (1 / 16)
    assert vars(found) == pytest.approx(vars(Interval(0.75, 0.75 - most, 0.75 + most)))


def test_a_difference_as_great_as_can_be_is_not_sure_either() -> None:
    truth = np.arange(16) % 4
    right, wrong = ({0: told(truth, (truth + n) % 4, np.arange(16))} for n in (0, 1))
    ahead, behind = statistics.difference(right, wrong, F1), statistics.difference(wrong, right, F1)
    least = 1 - 2**0.5 * (1 - 0.025 ** (1 / 16))  # Zou & Donner: two like distances, squared and added
    assert (ahead.low, ahead.high) == pytest.approx((least, 1))
    assert (behind.low, behind.high) == pytest.approx((-1, -least))


def test_seeds_whose_songs_make_up_for_each_other_have_no_endless_interval() -> None:
    """What one seed gains on drawn songs, another loses; Student's t is never that of less than the seeds' freedom."""
    values, gained = np.array([0.4, 0.5, 0.6]), 0.09 * np.random.default_rng(0).standard_normal(10_000)
    drawn = values + np.outer(gained, [1, -1, 0])
    found = statistics.Scores((0, 1, 2), values, drawn, 30, 20, (0, np.inf)).interval()
    assert 0 < found.value - found.low < 4.4 * values.std(ddof=1) / 3**0.5
    assert 0 < found.high - found.value < 4.4 * values.std(ddof=1) / 3**0.5


def test_seeds_with_an_album_each_of_a_label_are_no_proof_either() -> None:
    """Where the one is drawn the other is not, so that the mean of their F1 is the same in all draws."""
    truth = np.arange(4) % 4
    seeds = {seed: told(truth, truth, truth + 4 * seed) for seed in (0, 1)}
    [scored] = statistics.scores([seeds], effect.OfEachClass())
    found = scored.of_class(0, 2).interval()
    assert (found.value, found.low, found.high) == pytest.approx((1, 0.025**0.5, 1))


def test_one_cluster_has_no_interval() -> None:
    found = statistics.interval({0: told(np.array([0, 1, 1]), np.array([0, 1, 0]), np.zeros(3, int))}, F1)
    assert found.value == pytest.approx(2 / 3)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("alone", [1, 2, 3])
def test_labels_of_one_song_are_resampled_together(alone: int) -> None:
    """Their songs, or theirs and the smallest other label's, take each other's place."""
    truth = np.array([*range(alone), 3, 3, 3, 3])
    [scored] = statistics.scores([{0: told(truth, np.where(truth == 0, 1, truth), np.arange(len(truth)))}], Accuracy())
    assert scored.freedom == len(truth) - (1 if alone == 1 else 2)
    assert scored.drawn.std() > 0


def test_a_metric_without_upper_bound_is_not_cut() -> None:
    rng = np.random.default_rng(5)
    truth = np.arange(40) % 4
    answers = Answers(truth, rng.dirichlet(np.full(4, 0.1), 40), np.array([str(n) for n in range(40)], dtype=object))
    found = statistics.interval({0: answers}, LogLoss())
    assert 1 < found.low < found.value < found.high


# Differences


def test_differences_are_paired() -> None:
    """Two that fail on the same songs differ less surely by their scores alone than song by song."""
    rng = np.random.default_rng(6)
    ours = drawn(rng, songs=40, slices=10)
    missed = ours.probabilities.argmax(axis=1) != ours.truth
    also = missed | (rng.random(len(missed)) < 0.1)
    theirs = told(ours.truth, np.where(also, (ours.truth + 1) % 4, ours.truth), np.repeat(np.arange(40), 10))
    found, mine = statistics.difference({0: ours}, {0: theirs}, Accuracy()), statistics.interval({0: ours}, Accuracy())
    assert found.value == pytest.approx(also.mean() - missed.mean())
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.5 * (mine.high - mine.low)
    turned = statistics.difference({0: theirs}, {0: ours}, Accuracy())
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=2e-3)


def test_unlike_songs_are_resampled_on_their_own() -> None:
    """Variances of independent scores add up."""
    rng = np.random.default_rng(7)
    ours, theirs = drawn(rng), drawn(rng)
    other = Answers(theirs.truth, theirs.probabilities, np.array([f"other {name}" for name in theirs.clusters], object))
    mine, second = statistics.scores([{0: ours}, {0: other}], F1)
    assert mine.minus(second).drawn.var() == pytest.approx(mine.drawn.var() + second.drawn.var(), rel=0.1)


def test_only_shared_seeds_are_compared() -> None:
    rng = np.random.default_rng(8)
    a, b, c = drawn(rng), drawn(rng), drawn(rng)
    score = {name: F1.score(some.truth, some.probabilities) for name, some in {"a": a, "b": b, "c": c}.items()}
    assert statistics.difference({0: a, 1: b}, {1: c, 2: a}, F1).value == pytest.approx(score["b"] - score["c"])
    apart = statistics.difference({0: a, 1: b}, {2: c}, F1)
    assert apart.value == pytest.approx((score["a"] + score["b"]) / 2 - score["c"])


# Tests


def test_the_exact_p_value_by_brute_force() -> None:
    """All swaps of six songs' answers, with scikit-learn's F1."""
    rng = np.random.default_rng(9)
    ours, theirs = ({seed: drawn(rng, songs=6, slices=3) for seed in range(2)} for _ in range(2))
    scores = []
    for swaps in itertools.product([False, True], repeat=6):
        apart = 0.0
        for seed in range(2):
            swapped = np.repeat(swaps, 3)
            a, b = (some[seed].probabilities.argmax(axis=1) for some in (ours, theirs))
            truth = ours[seed].truth
            mine, other = np.where(swapped, b, a), np.where(swapped, a, b)
            apart += f1_score(truth, mine, average="weighted") - f1_score(truth, other, average="weighted")
        scores.append(abs(apart))
    expected = np.mean(np.array(scores) >= scores[0] - 1e-9)
    assert significance.permutation(ours, theirs, F1) == pytest.approx(expected)


def test_random_swaps_come_near_the_exact_p_value(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(10)
    ours, theirs = {0: drawn(rng, songs=12, skill=0.8)}, {0: drawn(rng, songs=12, skill=0.6)}
    exact = significance.permutation(ours, theirs, F1)
    monkeypatch.setattr(significance, "RESAMPLES", 4000)  # below 2^12
    assert significance.permutation(ours, theirs, F1) == pytest.approx(exact, abs=0.03)
    assert 0.01 < exact < 0.99


def test_the_level_is_kept_where_nothing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classifiers of the same skill are told apart at 5% of experiments, and a better one far oftener."""
    monkeypatch.setattr(significance, "RESAMPLES", 500)
    rng = np.random.default_rng(11)
    world, better = World(songs=5, slices=4), World(songs=5, slices=4, skill=1.7)

    def rejected(other: World, times: int) -> float:
        pairs = (world.experiment(rng, 1, False, other) for _ in range(times))
        return float(np.mean([significance.permutation(*pair, F1) <= 0.05 for pair in pairs]))

    assert 0.03 <= rejected(world, 1000) <= 0.07
    assert rejected(better, 100) > 0.3


def test_the_same_answers_differ_by_chance_alone() -> None:
    some = {0: drawn(np.random.default_rng(12))}
    assert significance.permutation(some, some, F1) == 1


@pytest.mark.parametrize("change", [lambda names: names + "x", lambda names: np.roll(names, 1)])
def test_answers_to_other_songs_cannot_be_swapped(change: Callable[[NDArray[np.object_]], NDArray[np.object_]]) -> None:
    some = drawn(np.random.default_rng(13))
    other = Answers(some.truth, some.probabilities, change(some.clusters))
    with pytest.raises(BenchError, match="the same test songs, with the same seeds"):
        significance.permutation({0: some}, {0: other}, F1)
    with pytest.raises(BenchError, match="the same test songs, with the same seeds"):
        significance.permutation({0: some}, {1: some}, F1)


def test_holm_by_hand() -> None:
    """Sorted 0.005·4, 0.01·3, 0.03·2, 0.04·1, and never less than one before."""
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.6, 0.7]) == [1, 1]
    assert significance.holm([]) == []


def test_a_difference_to_a_perfect_score_counts_how_sure_that_is() -> None:
    """Four songs that are all right prove little, so less than that score's own interval cannot be proved either."""
    perfect = {0: Answers(np.arange(4) % 2, np.eye(2)[np.arange(4) % 2], np.array(list("abcd"), dtype=object))}
    truth = np.arange(20) % 2
    told = np.where(np.arange(20) % 5 == 0, 1 - truth, truth)
    other = {0: Answers(truth, np.eye(2)[told], np.array([f"song {n}" for n in range(20)], dtype=object))}
    found = statistics.difference(perfect, other, WeightedF1())
    alone = statistics.interval(perfect, WeightedF1())
    assert found.value == pytest.approx(1 - statistics.interval(other, WeightedF1()).value)
    assert found.value - found.low > alone.value - alone.low > 0.5
    assert found.low < 0
