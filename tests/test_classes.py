"""From groups of cells to tables of scores, classes, seconds heard and hardest songs, and to curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as theirs

from crnn_bench import classes, curves, evaluation, grouping, hardest, heard, statistics
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.figures import clip_length, confusion_matrix, precision_recall, reliability, roc, seconds_heard
from crnn_bench.grouping import Group
from crnn_bench.metrics import Additive
from crnn_bench.metrics.calibration_error import CalibrationError
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.records import Predictions
from crnn_bench.results import Result

NAMES = ("alder", "birch", "cedar", "dogwood", "elm")
Told = tuple[str, Sequence[int]]
"""A song: its label, and the class that each of its slices is taken for, surely."""


def cell(songs: dict[str, Told], albums: dict[str, str] | None = None, seed: int = 0, clip: float = 3.0) -> Result:
    """A finished cell that has said this of its songs; an album is blank where it is not given."""
    rows = [
        {"part": "test", "track_id": track, "truth": label, "start_seconds": clip * n, "seconds": clip}
        | {f"p_{name}": 0.6 if index == told else 0.1 for index, name in enumerate(NAMES)}
        for track, (label, slices) in songs.items()
        for n, told in enumerate(slices)
    ]
    return finished(pd.DataFrame(rows), albums or {}, seed, clip)


def random_cell(seed: int, n_songs: int = 40, n_classes: int = 4, clip: float | None = 3.0) -> Result:
    """A cell whose answers are often right: songs of 1 to 6 slices, three an album; `elm` is nowhere true."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 7, n_songs) if clip else np.ones(n_songs, dtype=int)
    tracks = np.repeat([f"song {n:02d}" for n in range(n_songs)], lengths)
    truth = np.repeat(np.arange(n_songs) % n_classes, lengths)
    raw = rng.dirichlet(np.ones(len(NAMES)), len(tracks)) + 0.4 * np.eye(len(NAMES))[truth]
    table = pd.DataFrame({"part": "test", "track_id": tracks, "truth": np.array(NAMES)[truth]})
    starts = np.concatenate([np.arange(length) for length in lengths])
    table = table.assign(start_seconds=(clip or 0) * starts, seconds=clip or 60.0)
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    table = table.assign(**{f"p_{name}": probabilities[:, index] for index, name in enumerate(NAMES)})
    order = rng.permutation(len(table))  # stored in any order
    albums = {f"song {n:02d}": f"album {n % n_classes} {n // (3 * n_classes)}" for n in range(n_songs)}
    return finished(table.iloc[order], albums, seed, clip)


def finished(table: pd.DataFrame, albums: dict[str, str], seed: int, clip: float | None) -> Result:
    tracks = sorted(set(table["track_id"]))
    about = {"track_id": tracks, "album": [albums.get(track, "") for track in tracks], "title": tracks}
    parameters = {"split": "SongSplit", "model": "CRNN", "clip_seconds": clip, "split_seed": 0, "model_seed": seed}
    record: dict[str, Any] = {"name": "cell", "dataset": "music", "n_folds": 1, "parameters": parameters}
    record["songs"] = about | {"path": tracks, "seconds": [60.0] * len(tracks)}
    both = pd.concat([table, table.assign(part="validation")], ignore_index=True)
    return Result(Predictions(both, NAMES), record, None)


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    return grouping.groups([random_cell(0), random_cell(1), random_cell(2, clip=None)])


# Scores


def test_every_metric_is_there_with_its_mean_over_seeds(groups: list[Group]) -> None:
    table = classes.scores(groups).set_index(["clip", "level", "metric"])
    each = [evaluation.scores(some) for some in groups[0].pooled.values()]
    for level in ("slice", "song"):
        for metric in evaluation.metrics():
            values = [some[f"{level}/{metric.name}"] for some in each]
            row = table.loc[("3 s", level, metric.name)]
            assert row["mean"] == pytest.approx(np.mean(values))
            assert row["std"] == pytest.approx(np.std(values, ddof=1))
            assert isinstance(metric, Additive) == (row["low"] <= row["mean"] <= row["high"])
    assert set(table.loc["songs"].index.get_level_values("level")) == {"song"}
    assert table.loc["songs"]["std"].isna().all()


def test_intervals_are_those_of_each_metric_alone(groups: list[Group]) -> None:
    """They are found together, of the same resampled songs."""
    table = classes.scores(groups[:1]).set_index(["level", "metric"])
    for metric in evaluation.metrics():
        if isinstance(metric, Additive):
            alone = statistics.interval(groups[0].answers("song", evaluation.rule_of(metric)), metric)
            row = table.loc[("song", metric.name)]
            assert (row["low"], row["high"]) == pytest.approx((alone.low, alone.high)), metric.name


# Classes


@pytest.mark.parametrize("level", ["slice", "song"])
def test_classes_equal_scikit_learn(groups: list[Group], level: str) -> None:
    table = classes.table(groups[:1])
    table = table[table["level"] == level].set_index("label")
    found = []
    for told, ranked in zip(
        groups[0].answers(level).values(), groups[0].answers(level, MeanProbability()).values(), strict=True
    ):
        predicted = told.probabilities.argmax(axis=1)
        rows = theirs.precision_recall_fscore_support(told.truth, predicted, labels=range(4), zero_division=0)[:3]
        true = np.eye(5)[ranked.truth][:, :4]
        rows = [*rows, theirs.average_precision_score(true, ranked.probabilities[:, :4], average=None)]
        found.append([*rows, theirs.roc_auc_score(true, ranked.probabilities[:, :4], average=None)])
    columns = ["precision", "recall", "f1", "average_precision", "roc_auc"]
    ours = table.loc[list(NAMES[:4]), columns].to_numpy().T
    assert ours == pytest.approx(np.mean(found, axis=0))
    assert table["songs"].tolist() == [10, 10, 10, 10, 0]
    assert table.loc["elm", columns].isna().all(), "no song, no score"
    known = table.iloc[:4]
    assert ((known["f1_low"] < known["f1"]) & (known["f1"] < known["f1_high"])).all()


def test_classes_make_up_the_weighted_f1(groups: list[Group]) -> None:
    table = classes.table(groups[:1]).query("level == 'song'").dropna(subset="f1")
    expected = [evaluation.scores(some)["song/f1"] for some in groups[0].pooled.values()]
    assert np.average(table["f1"], weights=table["songs"]) == pytest.approx(np.mean(expected))


def test_a_class_of_one_album_has_no_interval() -> None:
    songs: dict[str, Told] = {f"a{n}": ("alder", [0, 1]) for n in range(4)}
    songs |= {f"b{n}": ("birch", [1]) for n in range(4)}
    table = classes.table(grouping.groups([cell(songs, {f"a{n}": "one" for n in range(4)})]))
    rows = table[table["level"] == "song"].set_index("label")
    assert np.isnan(rows.loc["alder", "f1_low"])
    assert rows.loc["birch", "f1_low"] < rows.loc["birch", "f1_high"]


def test_confusion_of_all_seeds(groups: list[Group]) -> None:
    counts = classes.confusion(groups[0], "song")
    each = [evaluation.songs(some, evaluation.SureVote()) for some in groups[0].pooled.values()]
    both = pd.concat(each)
    assert np.array_equal(counts, theirs.confusion_matrix(both["truth"], both["predicted"], labels=NAMES))


@pytest.mark.parametrize("level", ["slice", "song"])
def test_reliability_is_what_the_calibration_error_sums(groups: list[Group], level: str) -> None:
    rows = classes.reliability(groups[0], level)
    told = groups[0].answers(level, MeanProbability()).values()
    truth = np.concatenate([some.truth for some in told])
    expected = CalibrationError().score(truth, np.concatenate([some.probabilities for some in told]))
    gaps = (rows["accuracy"] - rows["confidence"]).abs()
    assert np.average(gaps, weights=rows["answers"]) == pytest.approx(expected)
    assert rows["answers"].sum() == len(truth)


# Curves


def test_curves_have_scikit_learns_points(groups: list[Group]) -> None:
    told = list(groups[0].answers("song", MeanProbability()).values())
    truth = np.concatenate([some.truth for some in told])
    probabilities = np.concatenate([some.probabilities for some in told])
    of_classes, combined = curves.precision_recall(groups[0], "song")
    assert set(of_classes) == set(NAMES[:4])
    for name, (x, y, area) in of_classes.items():
        positive, scores = truth == NAMES.index(name), probabilities[:, NAMES.index(name)]
        precision, recall, _ = theirs.precision_recall_curve(positive, scores)
        best = pd.Series(precision).groupby(recall).max()  # its first point at each recall
        assert x[1:] == pytest.approx(best.index.to_numpy()[1:])
        assert y[1:] == pytest.approx(best.to_numpy()[1:])
        assert area == pytest.approx(theirs.average_precision_score(positive, scores))
        assert (np.diff(x) * y[1:]).sum() == pytest.approx(area), "steps have the area that is written beside them"
        x, y, area = curves.roc(groups[0], "song")[0][name]
        false, true, _ = theirs.roc_curve(positive, scores, drop_intermediate=False)
        assert (x, y) == (pytest.approx(false), pytest.approx(true))
        assert area == pytest.approx(theirs.roc_auc_score(positive, scores))
    everything = theirs.average_precision_score(np.eye(5)[truth], probabilities, average="micro")
    assert [area for _, _, area in combined.values()] == pytest.approx(
        [everything, np.mean([area for _, _, area in of_classes.values()])]
    )


@pytest.mark.parametrize("kind", [curves.precision_recall, curves.roc])
def test_the_mean_curve_and_thinned_ones_keep_their_areas(kind: Any) -> None:
    [group] = grouping.groups([random_cell(3, n_songs=1500)])
    of_classes, combined = kind(group, "slice")
    for x, y, area in [*of_classes.values(), *combined.values()]:
        heights = y[1:] if kind is curves.precision_recall else (y[1:] + y[:-1]) / 2
        assert len(x) <= curves.POINTS
        assert (np.diff(x) >= 0).all()
        assert (x[0], x[-1]) == (0, 1)
        assert (np.diff(x) * heights).sum() == pytest.approx(area, abs=0.005)


def test_one_class_alone_has_no_roc() -> None:
    [group] = grouping.groups([cell({"a": ("alder", [0]), "b": ("alder", [1])})])
    assert curves.roc(group, "song") == ({}, {})
    assert list(curves.precision_recall(group, "song")[0]) == ["alder"]


# Seconds heard


def test_the_last_is_the_whole_song(groups: list[Group]) -> None:
    table = heard.table(groups)
    scores = [evaluation.scores(some)["song/f1"] for some in groups[0].pooled.values()]
    assert table["clip"].unique().tolist() == ["3 s"], "what hears songs at once hears no less of them"
    assert table["f1"].iloc[-1] == pytest.approx(np.mean(scores))
    whole = [some.table.groupby("track_id")["seconds"].sum().mean() for some in groups[0].pooled.values()]
    assert table["seconds_heard"].iloc[-1] == pytest.approx(np.mean(whole))


def test_windows_by_hand() -> None:
    """Of one slice, half of the windows of `a` are right, all of `b`; of four, a tie, and the smaller class wins."""
    songs: dict[str, Told] = {"a": ("birch", [1, 1, 0, 0]), "b": ("alder", [0, 0, 0, 0]), "c": ("alder", [0] * 4)}
    table = heard.table(grouping.groups([cell(songs)]))
    assert table["seconds_heard"].tolist() == [3, 9, 12]
    truth = ["birch"] * 2 + ["alder"] * 4
    assert table["f1"].iloc[0] == pytest.approx(
        theirs.f1_score(truth, ["birch", "alder", *["alder"] * 4], average="weighted")
    )
    # slices 1–3 of `a`: birch, birch, alder; slices 2–4: birch, alder, alder
    assert table["f1"].iloc[1] == pytest.approx(table["f1"].iloc[0])
    assert table["f1"].iloc[2] == pytest.approx(
        theirs.f1_score(["birch", "alder", "alder"], ["alder"] * 3, average="weighted", zero_division=0)
    )


def test_songs_count_alike_and_short_ones_are_heard_whole() -> None:
    """A song of 24 slices weighs as much as one of a single slice."""
    songs: dict[str, Told] = {"a": ("alder", [0] * 24), "b": ("birch", [0]), "c": ("alder", [0] * 24)}
    table = heard.table(grouping.groups([cell(songs)]))
    assert table["f1"].tolist() == pytest.approx([2 / 3 * 0.8] * len(table))
    means = [(2 * seconds + 3) / 3 for seconds in (3, 9, 18, 30, 60, 72)]
    assert table["seconds_heard"].tolist() == pytest.approx(means)


@pytest.mark.parametrize("n_slices", [1, 3, 8, 9, 30])
def test_windows_are_spread_over_the_song(n_slices: int) -> None:
    """Of a song that is one class at the start and another at the end, as many windows are the one as the other."""
    for right in (range(n_slices // 2), range((n_slices + 1) // 2, n_slices)):
        told = [0 if place in right else 2 if 2 * place + 1 == n_slices else 1 for place in range(n_slices)]
        [group] = grouping.groups([cell({"a": ("alder", told), "b": ("birch", [1] * n_slices)})])
        [windows] = [heard._Songs(some, group).windows(1)[0] for some in group.pooled.values()]
        answers = windows.probabilities[: heard.WINDOWS].argmax(axis=1)
        share = len(right) / n_slices
        assert (answers == 0).mean() == pytest.approx(share, abs=1 / heard.WINDOWS)


def test_equal_seconds_for_all_clip_lengths() -> None:
    songs: dict[str, Told] = {"a": ("alder", [0] * 40), "b": ("birch", [1] * 40)}
    longer: dict[str, Told] = {"a": ("alder", [0] * 12), "b": ("birch", [1] * 12)}
    table = heard.table(grouping.groups([cell(songs, clip=3.0), cell(longer, clip=10.0)]))
    by_clip = {clip: rows["seconds_heard"].tolist() for clip, rows in table.groupby("clip")}
    assert by_clip == {"3 s": [3, 9, 18, 30, 60, 120], "10 s": [10, 20, 30, 60, 120]}


# Clip lengths


def test_clip_lengths_are_those_of_rows_with_several() -> None:
    one = random_cell(0, clip=3.0)
    table = heard.clip_lengths(grouping.groups([one, random_cell(1, clip=10.0), random_cell(0, clip=1.0)]))
    assert table["clip_seconds"].tolist() == [1, 3, 10, 1, 3, 10]
    assert table["level"].tolist() == ["slice"] * 3 + ["song"] * 3
    expected = WeightedF1().score(one.predictions.of("test").truth, one.predictions.of("test").probabilities)
    assert table["mean"].iloc[1] == pytest.approx(expected)
    assert (table["low"] < table["mean"]).all()
    assert heard.clip_lengths(grouping.groups([one])).empty


# Hardest


def test_hardest_songs_by_hand() -> None:
    first = cell({"a": ("alder", [0, 0]), "b": ("birch", [0, 0]), "c": ("cedar", [1, 1])}, {"b": "one"})
    second = cell({"a": ("alder", [0, 0]), "b": ("birch", [0, 1]), "c": ("cedar", [3, 2])}, seed=1)
    table = hardest.songs(grouping.groups([first, second]))
    assert table["track_id"].tolist() == ["b", "c", "a"], "both always wrong answers tie at a vote; then by probability"
    rows = table.set_index("track_id")
    assert rows["wrong"].to_dict() == {"a": 0, "b": 1, "c": 0.5}
    assert rows["answers"].tolist() == [2, 2, 2]
    assert rows["confused_with"].to_dict() == {"a": "", "b": "alder", "c": "birch"}
    assert rows.loc["b", "mean_probability_of_truth"] == pytest.approx((0.1 + 0.1 + 0.1 + 0.6) / 4)
    assert rows["album"].to_dict() == {"a": "", "b": "one", "c": ""}
    assert rows.loc["a", ["label", "title", "seconds", "dataset"]].tolist() == ["alder", "a", 60, "music"]


def test_most_confused_pairs_by_hand() -> None:
    songs: dict[str, Told] = {"a": ("alder", [1]), "b": ("alder", [1]), "c": ("alder", [0]), "d": ("birch", [3])}
    table = hardest.labels(grouping.groups([cell(songs)]))
    assert table[["label", "taken_for", "answers", "confused"]].to_numpy().tolist() == [
        ["birch", "dogwood", 1, 1],
        ["alder", "birch", 3, 2],
    ]
    assert table["share"].tolist() == pytest.approx([1, 2 / 3])


def test_old_records_tell_less() -> None:
    old = cell({"a": ("alder", [0]), "b": ("birch", [0])})
    del old.record["songs"]
    table = hardest.songs(grouping.groups([old]))
    assert table["track_id"].tolist() == ["b", "a"]
    assert table["album"].tolist() == ["", ""]
    assert table["seconds"].isna().all()


def test_nothing_gives_empty_tables() -> None:
    for table in (classes.scores, classes.table, heard.table, heard.clip_lengths, hardest.songs, hardest.labels):
        assert table([]).empty


# Figures


def test_figures_are_drawn(groups: list[Group]) -> None:
    found = {level: curves.precision_recall(groups[0], level) for level in ("slice", "song")}
    axes = precision_recall.draw(found).axes
    assert [one.get_title() for one in axes] == ["slice", "song"]
    legend = [text.get_text() for text in axes[1].get_legend().get_texts()]
    areas = {name: area for name, (_, _, area) in found["song"][0].items()}
    assert f"best: {max(areas, key=lambda name: areas[name])}: {max(areas.values()):.3f}" in legend
    assert f"worst: {min(areas, key=lambda name: areas[name])}: {min(areas.values()):.3f}" in legend
    assert len(roc.draw({"song": curves.roc(groups[0], "song")}).axes) == 1
    assert reliability.draw({"song": classes.reliability(groups[0], "song")}).axes
    assert seconds_heard.draw(heard.table(groups)).axes
    several = grouping.groups([random_cell(0, clip=3.0), random_cell(0, clip=10.0)])
    assert clip_length.draw(heard.clip_lengths(several)).axes


@pytest.mark.parametrize(("n_classes", "texts"), [(2, ["3\n0.75", "1\n0.25"]), (40, [])])
def test_a_confusion_matrix_of_many_classes_is_colours_alone(n_classes: int, texts: list[str]) -> None:
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    counts[0, :2] = 3, 1
    figure = confusion_matrix.draw(counts, [f"class {n}" for n in range(n_classes)], "title")
    assert [text.get_text() for text in figure.axes[0].texts] == texts
