"""Groups side by side: differences, album effects, and what seeds scatter by."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crnn_bench import comparing, config, effect, experiment, plans, preparing, scatter, significance, statistics
from crnn_bench.engines.local import Local
from crnn_bench.grouping import groups
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.records import Predictions
from crnn_bench.results import Result

LABELS = ("alder", "birch", "cedar")
N_SONGS = 24


def cell(right: np.ndarray, slices: int = 1, kept: str = "track_id", start: float = 0.0, **parameters: Any) -> Result:
    """Twenty-four songs, two of each album; of each song as many slices, all told as the song is."""
    song = np.repeat(np.arange(N_SONGS), slices)
    truth = song // 2 % 3
    predicted = np.where(right[song], truth, (truth + 1) % 3)
    table = pd.DataFrame({"part": "test", "track_id": [f"song {n:02}" for n in song]})
    table = table.assign(start_seconds=start + 3.0 * (np.arange(len(song)) % slices), seconds=3.0)
    table = table.assign(truth=np.array(LABELS)[truth])
    table = table.assign(**{f"p_{name}": np.where(predicted == n, 0.8, 0.1) for n, name in enumerate(LABELS)})
    usual = {"split": "SongSplit", "model": "CRNN", "clip_seconds": 3.0, "split_seed": 0, "model_seed": 0}
    names = [f"song {n:02}" for n in range(N_SONGS)]
    songs = {"track_id": names, "album": [f"album {n // 2}" for n in range(N_SONGS)]}
    about = {"name": "cell", "dataset": "music", "n_folds": 1, "classes": list(LABELS), "kept_together": kept}
    record = {**about, "songs": songs, "parameters": {"dataset": "Folder", **usual, **parameters}}
    return Result(Predictions(table, LABELS), record, None)


def wrong(*songs: int) -> np.ndarray:
    return ~np.isin(np.arange(N_SONGS), songs)


# Two classifiers on the same songs


def test_a_row_tells_how_far_two_are_apart() -> None:
    cells = [cell(wrong(0, 1, 2), model=model) for model in ("A", "B")]
    cells[1] = cell(wrong(2, 4, 5, 6, 7, 8, 9, 10), model="B")
    table = comparing.table(groups(cells))
    assert table["level"].tolist() == ["slice", "song"]
    row = table.iloc[1]
    assert (row["a"], row["b"], row["songs"], row["only_a"], row["only_b"]) == ("A", "B", 24, 7, 2)
    a, b = (groups(cells)[n].answers("song") for n in range(2))
    expected = statistics.difference(a, b, WeightedF1())
    assert row[["difference", "low", "high"]].tolist() == pytest.approx([expected.value, expected.low, expected.high])
    assert row["p"] == row["p_holm"] == significance.permutation(a, b, WeightedF1())


def test_holms_correction_is_over_the_level() -> None:
    cells = [cell(wrong(*range(n)), model=f"model {n}") for n in (0, 8, 20)]
    table = comparing.table(groups(cells))
    assert len(table) == 6
    for _, rows in table.groupby("level"):
        assert rows["p_holm"].tolist() == pytest.approx(significance.holm(rows["p"].tolist()))


def test_seeds_are_compared_seed_by_seed() -> None:
    cells = [cell(wrong(n), model=model, model_seed=n) for model in "AB" for n in (0, 1)]
    table = comparing.table(groups(cells)).query("level == 'song'")
    assert table[["difference", "p", "only_a", "only_b"]].to_numpy().tolist() == [[0, 1, 0, 0]]
    lacking = comparing.table(groups(cells[:3]))
    assert lacking.empty, "a seed that one of them lacks would be compared with another one"


def test_what_heard_other_songs_is_not_compared() -> None:
    other = cell(wrong(), model="B")
    renamed = other.predictions.table.assign(track_id=other.predictions.table["track_id"].str.replace("song", "piece"))
    cells = [cell(wrong(0)), Result(Predictions(renamed, LABELS), other.record, None)]
    assert comparing.table(groups(cells)).empty
    assert comparing.table(groups([cell(wrong(0)), cell(wrong(), model="B", split="AlbumSplit", kept="album")])).empty
    strengths = [cell(wrong(0), **{"dataset.album_effect": strength}) for strength in (0, 1)]
    assert comparing.table(groups(strengths)).empty, "other music whose songs are called alike"
    assert list(comparing.table([]).columns) == comparing.COLUMNS


def test_clip_lengths_and_whole_songs_are_compared_per_song() -> None:
    cells = [
        cell(wrong(0), slices=3),
        cell(wrong(1), slices=1, clip_seconds=10.0),
        cell(wrong(2), slices=3, model="SVC"),
        cell(wrong(3), clip_seconds=None, model="KNN"),
    ]
    table = comparing.table(groups(cells))
    assert table.groupby("level").size().to_dict() == {"slice": 1, "song": 6}
    assert table.query("level == 'slice'")[["a", "b"]].to_numpy().tolist() == [["CRNN", "SVC"]]
    assert set(table.query("level == 'song'")["b"]) == {"CRNN; 10 s", "SVC; 3 s", "KNN; songs"}


# The album effect


def test_the_effect_is_the_difference_of_the_two_splits() -> None:
    known, unknown = cell(wrong(0)), cell(wrong(0, 2, 4, 8, 12, 16), split="AlbumSplit", kept="album")
    table = effect.table(groups([known, unknown, cell(wrong(), model="lonely")]))
    assert set(table["model"]) == {"CRNN"}
    row = table.query("level == 'song' and artist == ''").iloc[0]
    expected = statistics.difference(
        groups([known])[0].answers("song"), groups([unknown])[0].answers("song"), WeightedF1()
    )
    assert (row["effect"], row["low"], row["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert row["effect"] == pytest.approx(row["song_split"] - row["album_split"])
    assert "split" not in table
    artists = table.query("level == 'song' and artist != ''").set_index("artist")
    assert set(artists.index) == set(LABELS)
    assert (artists["low"] <= artists["effect"]).all()
    assert (artists["effect"] <= artists["high"]).all()


def test_artists_are_told_apart() -> None:
    """Birch is never found on unknown albums, the others always, but for what is taken for cedar."""
    unknown = cell(np.arange(N_SONGS) // 2 % 3 != 1, split="AlbumSplit", kept="album")
    table = effect.table(groups([cell(wrong()), unknown])).query("level == 'song'").set_index("artist")
    assert table.loc["alder", "effect"] == 0
    assert table.loc["birch", "effect"] == 1
    assert table.loc["cedar", "effect"] == pytest.approx(1 - 2 / 3)


def test_an_artist_that_one_of_them_did_not_test_has_no_effect() -> None:
    unknown = cell(wrong(0), split="AlbumSplit", kept="album")
    table = unknown.predictions.table
    some = Result(Predictions(table[table["truth"] != "birch"].reset_index(drop=True), LABELS), unknown.record, None)
    found = effect.table(groups([cell(wrong(1)), some])).query("level == 'song'")
    assert found["artist"].tolist() == ["", "alder", "cedar"]


def test_what_does_not_belong_together_has_no_effect() -> None:
    folds = cell(wrong(1), split="AlbumKFold", kept="album")
    folds.record["n_folds"] = 4
    assert effect.table(groups([cell(wrong(0)), folds])).empty, "folds go with folds"
    fewer = cell(wrong(1))
    fewer.record["n_folds"] = 3
    assert effect.table(groups([fewer, folds])).empty, "five folds leave more to train on than three"
    twice = [cell(wrong(0)), cell(wrong(0), split="Other"), cell(wrong(1), split="AlbumSplit", kept="album")]
    assert effect.table(groups(twice)).empty, "which of the two?"
    old = cell(wrong(1), split="AlbumSplit")
    del old.record["kept_together"]
    assert effect.table(groups([cell(wrong(0)), old])).empty
    artist = effect.table(groups([cell(wrong(0)), cell(wrong(1), split="ArtistSplit", kept="artist")]))
    assert set(artist["kept_together"]) == {"artist"}


def test_the_figure_shows_every_effect() -> None:
    from crnn_bench.figures import album_effect

    cells = [cell(wrong(0), model=model) for model in "AB"]
    cells += [cell(wrong(*range(8)), model=model, split="AlbumSplit", kept="album") for model in "AB"]
    table = effect.table(groups(cells)).query("level == 'song'")
    (axes,) = album_effect.draw(table).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["A", "B"]
    shown = sorted(x for line in axes.lines[:2] for x in np.asarray(line.get_xdata()))
    assert shown == pytest.approx(sorted(table["effect"]))


@pytest.mark.slow
def test_the_planted_strengths_are_recovered_in_their_order(tmp_path: Path) -> None:
    """Toy music whose albums sound ever more unlike: the effect grows, from none to what no interval doubts."""
    yaml = tmp_path / "toy.yaml"
    yaml.write_text(
        "name: toy\ndataset: {class_path: Toy, init_args: {n_artists: 5, seconds: 6}}\nmodel: MfccSVM\n"
        "grid:\n  dataset.album_effect: [0, 0.5, 1, 2]\n  seed: [0]\n"
        "  split: [{class_path: SongKFold, init_args: {k: 4}}, {class_path: AlbumKFold, init_args: {k: 4}}]\n"
    )
    work = config.load(yaml)
    prepared = preparing.prepare(work, preparing.listings(work), Local())
    grid = plans.of_cells(work.cells, prepared)
    cells = [experiment.run(planned, tmp_path, lambda _: None)[0] for planned in grid]
    table = effect.table(groups(cells)).query("level == 'slice' and artist == ''").set_index("dataset.album_effect")
    assert table["effect"].is_monotonic_increasing
    assert table.index.tolist() == ["0.0", "0.5", "1.0", "2.0"]
    assert table["low"].iloc[0] < 0 < table["low"].iloc[-1]


# What seeds scatter by


def test_known_components_are_found() -> None:
    """300 splits × 6 initialisations: 0.05 by the split; 0.02 and 0.015 by the initialisation, alone and on a split."""
    rng = np.random.default_rng(0)
    of_split, of_model = 0.05 * rng.standard_normal((300, 1)), 0.02 * rng.standard_normal((300, 6, 1))
    found = []
    for n in range(300):
        scores = 0.7 + of_split[rng.permutation(300)[:8]] + of_model[n].T + 0.015 * rng.standard_normal((8, 6))
        found.append([v**2 for v in scatter.components(pd.DataFrame(scores)).values()])
    expected = [0.05**2, 0.02**2 + 0.015**2, 0.05**2 + 0.02**2 + 0.015**2]
    assert np.mean(found, axis=0) == pytest.approx(expected, rel=0.1)


def test_no_scatter_of_the_split_is_none_and_not_less() -> None:
    scores = pd.DataFrame([[0.5, 0.7], [0.7, 0.5]])
    found = scatter.components(scores)
    assert found["std_split"] == 0
    assert found["std_model"] == found["std_both"] == pytest.approx(np.std([0.5, 0.7], ddof=1))


def test_what_seeds_cannot_tell_is_left_out() -> None:
    def told(*seeds: tuple[int, int]) -> dict[str, Any]:
        cells = [cell(wrong(*range(s + 2 * m)), split_seed=s, model_seed=m) for s, m in seeds]
        table = scatter.table(groups(cells))
        return dict(table.query("level == 'song'").iloc[0]) if len(table) else {}

    assert told((0, 0)) == {}
    alone = told((0, 0), (1, 0), (2, 0))
    assert alone["std_split"] > 0
    assert np.isnan([alone["std_model"], alone["std_both"]]).all()
    assert np.isnan(told((0, 0), (0, 1))["std_split"])
    together = told((0, 0), (1, 1), (2, 2))
    assert np.isnan([together["std_split"], together["std_model"]]).all()
    assert "split_seed × model_seed" in together["remark"]
    assert "not all of the grid" in told((0, 0), (1, 0), (0, 1))["remark"]
    whole = told((0, 0), (1, 0), (0, 1), (1, 1))
    assert whole["remark"] == ""
    assert whole["cells"] == 4
    assert whole["std_both"] ** 2 == pytest.approx(whole["std_split"] ** 2 + whole["std_model"] ** 2)
    assert whole["songs_of_std"] == pytest.approx(24 * whole["std_both"])
    assert whole["songs_of_a_point"] == 0.24
