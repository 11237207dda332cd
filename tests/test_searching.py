"""Random search: grouped, stratified, on training slices alone, and for the better."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from crnn_bench import classical, searching
from crnn_bench.baselines.decision_tree import DecisionTree
from crnn_bench.baselines.gaussian_mixture import GaussianMixture
from crnn_bench.baselines.k_nearest_neighbors import KNN
from crnn_bench.baselines.nu_svc import NuSVC
from crnn_bench.baselines.svc import SVC
from crnn_bench.cells import Search
from crnn_bench.errors import BenchError
from tests.test_classical import TRAIN, toy_slices

GROUPS = np.array([f"album {track // 6}" for track in TRAIN.track], dtype=object)
TRACKS = np.array([TRAIN.tracks[track] for track in TRAIN.track], dtype=object)


def test_every_draw_is_tried_and_the_first_is_the_yamls() -> None:
    told: list[int] = []
    search = Search(n_iter=6, folds=3, space={"C": {"loguniform": [1e-3, 1e3]}, "kernel": ["rbf", "linear"]})
    _, found = searching.best(SVC(C=0.5), search, TRAIN, TRACKS, 0, lambda trial: told.append(trial["trial"]))
    trials = found["search"]
    assert told == list(range(1, 8)) == [trial["trial"] for trial in trials]
    assert trials[0]["arguments"] == {"kernel": "rbf", "C": 0.5, "gamma": "scale"}
    assert all(1e-3 <= trial["arguments"]["C"] <= 1e3 for trial in trials)
    assert len({trial["arguments"]["C"] for trial in trials}) == 7
    for trial in trials:
        assert len(trial["f1"]) == 3
        assert trial["mean"] == pytest.approx(np.mean(trial["f1"]))
        assert trial["of"] == 7


def test_the_best_trial_is_taken() -> None:
    """A tree that may not split knows nothing; the search finds one that may."""
    stump = DecisionTree(max_depth=3, min_samples_leaf=len(TRAIN))
    search = Search(n_iter=10, folds=3, space={"min_samples_leaf": [1, len(TRAIN)]})
    best, found = searching.best(stump, search, TRAIN, TRACKS, 0)
    assert isinstance(best, DecisionTree)
    assert best.min_samples_leaf == 1
    assert best.max_depth == 3, "what is not searched stays as the YAML gives it"
    assert found["searched"] == {"min_samples_leaf": 1}
    assert len(found["search"]) == 2, "two values can be drawn only, one of them the YAML's"
    means = [trial["mean"] for trial in found["search"]]
    assert max(means) > means[0] + 0.3


def test_a_tie_goes_to_what_the_yaml_gives() -> None:
    search = Search(n_iter=2, folds=3, space={"max_depth": [30, 40]})
    best, _ = searching.best(DecisionTree(max_depth=20), search, TRAIN, TRACKS, 0)
    assert isinstance(best, DecisionTree)
    assert best.max_depth == 20


def test_it_is_deterministic_and_follows_its_seed() -> None:
    search = Search(n_iter=4, folds=3, space={"C": {"loguniform": [1e-3, 1e3]}})
    first, again, other = (searching.best(SVC(), search, TRAIN, TRACKS, seed)[1]["search"] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_folds_keep_groups_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """No group lies on both sides of a fold, and every slice is held out once."""
    folds = searching._folds(Search(folds=5), TRAIN, GROUPS, 0)
    held = np.concatenate([test for _, test in folds])
    assert sorted(held) == list(range(len(TRAIN)))
    for train, test in folds:
        assert not set(GROUPS[train]) & set(GROUPS[test])
        assert set(TRAIN.label[train]) == set(TRAIN.label)


def test_there_are_no_more_folds_than_a_label_has_groups() -> None:
    assert len(searching._folds(Search(folds=5), TRAIN, GROUPS, 0)) == 4
    halves = np.array([f"half {track // 12}" for track in TRAIN.track], dtype=object)
    assert len(searching._folds(Search(folds=5), TRAIN, halves, 0)) == 2


def test_a_label_with_one_group_is_named() -> None:
    labels = pd.Series(["x", "x", "y", "y"])
    searching.check(labels, pd.Series(["p", "q", "r", "s"]), "track_id")
    with pytest.raises(BenchError, match=r"a search needs two albums of each label to train on, .* but y has 1;"):
        searching.check(labels, pd.Series(["p", "q", "r", "r"]), "album")


def test_what_the_yaml_gives_is_not_tried_twice() -> None:
    _, found = searching.best(KNN(), Search(n_iter=3, folds=2, space={"n_neighbors": [1, 5, 9]}), TRAIN, TRACKS, 0)
    assert sorted(trial["arguments"]["n_neighbors"] for trial in found["search"]) == [1, 5, 9]
    assert found["searched_f1"] == max(trial["mean"] for trial in found["search"])


def test_a_refused_trial_is_recorded_and_the_others_go_on() -> None:
    """With uneven classes a large nu is infeasible."""
    uneven = TRAIN.track < 24
    uneven[(TRAIN.label == 2) & (TRAIN.track > 8)] = False
    few = replace(TRAIN, **{name: getattr(TRAIN, name)[uneven] for name in ("track", "start", "length", "label")})
    search = Search(n_iter=2, folds=2, space={"nu": [0.1, 0.95]})
    best, found = searching.best(NuSVC(nu=0.9), search, few, TRACKS[uneven], 0)
    assert isinstance(best, NuSVC)
    assert best.nu == 0.1
    faults = [trial["fault"] for trial in found["search"] if "fault" in trial]
    assert len(faults) == 2
    assert all(fault.startswith("nu is 0.9") for fault in faults)
    with pytest.raises(
        BenchError, match=r"NuSVC: no trial of the search worked: nu is 0\.9, but classes of \d+ to \d+ allow 0\.\d+"
    ):
        searching.best(NuSVC(nu=0.9), Search(n_iter=1, space={"nu": [0.95]}), few, TRACKS[uneven], 0)


def test_a_baseline_that_refuses_the_data_says_so_in_one_line() -> None:
    with pytest.raises(BenchError, match=r"^KNN: Expected n_neighbors <= n_samples_fit"):
        classical.fit(KNN(n_neighbors=1000), TRAIN, toy_slices(6), 3, 0).predict_proba(TRAIN)


@pytest.mark.parametrize(("arguments", "at"), [({"n_iter": 0}, "n_iter"), ({"folds": 1}, "folds")])
def test_settings_that_cannot_be_are_refused(arguments: dict[str, int], at: str) -> None:
    with pytest.raises(BenchError, match="must be at least") as caught:
        Search(**arguments)  # type: ignore[arg-type]
    assert caught.value.argument == at


def test_arguments_that_do_not_go_together_are_a_refused_trial() -> None:
    """Each value alone is allowed; the components need as many frames."""
    search = Search(n_iter=4, folds=2, space={"n_components": [2, 64], "max_frames": [64, 10]})
    _, found = searching.best(GaussianMixture(n_mfcc=5), search, TRAIN, TRACKS, 0)
    assert [trial["fault"] for trial in found["search"] if "fault" in trial] == [
        "GaussianMixture: max_frames must be at least 64, got 10"
    ]
