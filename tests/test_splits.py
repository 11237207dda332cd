"""Split strategies on catalogues of any shape; leaks that must be found; splits frozen in files."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crnn_bench import catalogue, splitting
from crnn_bench.datasets import Dataset, gtzan
from crnn_bench.errors import BenchError
from crnn_bench.records import PARTS, Catalogue, Split
from crnn_bench.splits import SplitStrategy, file_split, groups, stratified_sample
from crnn_bench.splits.album_kfold import AlbumKFold
from crnn_bench.splits.album_split import AlbumSplit
from crnn_bench.splits.artist_kfold import ArtistKFold
from crnn_bench.splits.artist_split import ArtistSplit
from crnn_bench.splits.file_split import FileSplit
from crnn_bench.splits.official_split import OfficialSplit
from crnn_bench.splits.song_kfold import SongKFold
from crnn_bench.splits.song_split import SongSplit

COMMITTED = Path(__file__).parents[1] / "splits" / "artist20"
GTZAN = Path(__file__).parents[1] / "splits" / "gtzan"
quick = settings(max_examples=15, deadline=None, derandomize=True)

Shape = Sequence[Sequence[int]]  # songs of each album of each artist


def rows(shape: Shape) -> pd.DataFrame:
    """A listing; albums of different artists bear the same names."""
    found = [
        {
            "track_id": f"artist {artist:02d}/album {album}/song {song:02d}.mp3",
            "path": "",
            "label": f"artist {artist:02d}",
            "artist": f"artist {artist:02d}",
            "album": f"album {album}",
            "title": f"song {song:02d}",
            "fingerprint": "",
        }
        for artist, albums in enumerate(shape)
        for album, songs in enumerate(albums)
        for song in range(songs)
    ]
    return pd.DataFrame(found)


class Listed(Dataset):
    """A dataset that lists what it was given, in that order."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def tracks(self) -> pd.DataFrame:
        return self.table


def catalogue_of(table: pd.DataFrame) -> Catalogue:
    tracks = catalogue.listing(Listed(table))
    findings = pd.DataFrame(
        {"track_id": tracks["track_id"], "seconds": 200.0, "content": "", "reason": "", "n_frames": 6251}
    )
    return catalogue.build(tracks, findings, min_seconds=3.0)


def shapes(artists: int = 2, albums: int = 3, songs: int = 1) -> st.SearchStrategy[list[list[int]]]:
    """At least so many artists, albums of each, and songs on each."""
    of_one = st.lists(st.integers(songs, songs + 5), min_size=albums, max_size=albums + 3)
    return st.lists(of_one, min_size=artists, max_size=artists + 4)


STRATEGIES = [SongSplit(), SongSplit(0.25, 0.3), AlbumSplit(), SongKFold(3, fold=1), AlbumKFold(3, fold=2)]
seeds = st.integers(0, 2**31)
strategies = st.sampled_from(STRATEGIES)


def tracks_of(split: Split) -> set[str]:
    return {*split.train, *split.validation, *split.test}


def parts_of(made: Catalogue, split: Split) -> pd.DataFrame:
    return made.table.merge(split.table, on="track_id", how="left", validate="one_to_one")


# Whatever the catalogue


@quick
@given(shapes(), strategies, seeds)
def test_parts_are_disjoint_and_cover_the_catalogue(shape: Shape, strategy: SplitStrategy, seed: int) -> None:
    made = catalogue_of(rows(shape))
    split = splitting.split(made, strategy, seed)
    assert len(split.train) + len(split.validation) + len(split.test) == len(made.table)
    assert tracks_of(split) == set(made.table["track_id"])
    assert all(list(getattr(split, part)) == sorted(getattr(split, part)) for part in PARTS)


@quick
@given(shapes(), strategies, seeds)
def test_every_label_is_in_every_part(shape: Shape, strategy: SplitStrategy, seed: int) -> None:
    made = catalogue_of(rows(shape))
    found = parts_of(made, splitting.split(made, strategy, seed)).groupby("part")["label"].unique()
    assert {part: set(labels) for part, labels in found.items()} == {part: set(made.classes) for part in PARTS}


@quick
@given(shapes(), st.sampled_from([AlbumSplit(), AlbumKFold(3, fold=0), AlbumKFold(3, fold=2)]), seeds)
def test_albums_do_not_straddle(shape: Shape, strategy: SplitStrategy, seed: int) -> None:
    made = catalogue_of(rows(shape))
    found = parts_of(made, splitting.split(made, strategy, seed))
    assert found.groupby(["artist", "album"])["part"].nunique().max() == 1


@quick
@given(shapes(), seeds)
def test_album_split_takes_one_album_an_artist(shape: Shape, seed: int) -> None:
    made = catalogue_of(rows(shape))
    found = parts_of(made, splitting.split(made, AlbumSplit(), seed))
    albums = {part: found[found["part"] == part].groupby("artist")["album"].nunique().tolist() for part in PARTS}
    assert albums["test"] == albums["validation"] == [1] * len(shape)
    assert albums["train"] == [len(one) - 2 for one in shape]


@quick
@given(shapes(), strategies, seeds)
def test_a_split_is_deterministic_in_its_seed(shape: Shape, strategy: SplitStrategy, seed: int) -> None:
    """A strategy that was used before, and the state of numpy's global generator, make no difference."""
    made = catalogue_of(rows(shape))
    first = splitting.split(made, strategy, seed)
    np.random.seed(seed % 1000)  # noqa: NPY002
    assert splitting.split(made, strategy, seed) == first
    assert splitting.split(catalogue_of(rows(shape)), strategy, seed) == first


@quick
@given(shapes(), strategies, seeds, st.randoms(use_true_random=False))
def test_the_order_in_which_a_disk_lists_files_changes_nothing(
    shape: Shape, strategy: SplitStrategy, seed: int, random: Random
) -> None:
    listed = rows(shape)
    order = list(range(len(listed)))
    random.shuffle(order)
    made, shuffled = catalogue_of(listed), catalogue_of(listed.iloc[order])
    pd.testing.assert_frame_equal(made.table, shuffled.table)
    assert splitting.split(shuffled, strategy, seed) == splitting.split(made, strategy, seed)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_another_seed_is_another_split(strategy: SplitStrategy) -> None:
    made = catalogue_of(rows([[4] * 6] * 5))
    assert len({splitting.split(made, strategy, seed) for seed in range(5)}) == 5


def test_a_split_does_not_depend_on_another_artists_songs() -> None:
    """Whole-number quotas: the first artist's test album is drawn first, whoever else is there."""
    few, more = catalogue_of(rows([[2] * 4] * 2)), catalogue_of(rows([[2] * 4] * 5))
    first = splitting.split(few, AlbumSplit(), 3).test
    assert [track for track in splitting.split(more, AlbumSplit(), 3).test if track < "artist 02"] == list(first)


# Folds


@quick
@given(shapes(albums=4), st.integers(2, 4), seeds)
def test_album_folds_test_every_song_once(shape: Shape, k: int, seed: int) -> None:
    made = catalogue_of(rows([[songs + 1 for songs in albums] for albums in shape]))
    splits = [splitting.split(made, AlbumKFold(k, fold), seed) for fold in range(k)]
    assert sorted(track for split in splits for track in split.test) == made.table["track_id"].tolist()
    for split in splits:
        found = parts_of(made, split).assign(tested=lambda table: table["part"] == "test")
        assert found.groupby(["artist", "album"])["tested"].nunique().max() == 1
        assert found.loc[found["tested"], "label"].nunique() == len(made.classes)


@quick
@given(shapes(songs=2), st.integers(2, 6), seeds)
def test_song_folds_test_every_song_once(shape: Shape, k: int, seed: int) -> None:
    made = catalogue_of(rows(shape))
    splits = [splitting.split(made, SongKFold(k, fold), seed) for fold in range(k)]
    assert sorted(track for split in splits for track in split.test) == made.table["track_id"].tolist()
    per_label = [parts_of(made, split).query("part == 'test'")["label"].value_counts() for split in splits]
    counts = pd.concat(per_label, axis=1)
    assert counts.notna().all(axis=None), "six songs a label, at most six folds: each fold tests each label"
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1


@quick
@given(shapes(), st.integers(3, 5), seeds)
def test_what_validates_in_a_fold_tests_in_the_next(shape: Shape, k: int, seed: int) -> None:
    made = catalogue_of(rows([[songs + 1 for songs in albums] for albums in shape]))
    splits = [splitting.split(made, SongKFold(k, fold), seed) for fold in range(k)]
    for fold, split in enumerate(splits):
        assert split.validation == splits[(fold + 1) % k].test


def test_an_open_fold_is_the_first() -> None:
    made = catalogue_of(rows([[3] * 6] * 3))
    for cls in (SongKFold, AlbumKFold):
        assert splitting.split(made, cls(3), 0) == splitting.split(made, cls(3, fold=0), 0)
        assert cls(3).n_folds == 3


@pytest.mark.parametrize(
    ("cls", "arguments", "said"),
    [
        (SongKFold, {"k": 1}, "SongKFold: k must be at least 2, got 1"),
        (AlbumKFold, {"k": 1}, "AlbumKFold: k must be at least 2, got 1"),
        (AlbumKFold, {"k": 3, "fold": 3}, "AlbumKFold: fold must lie between 0 and 2, got 3"),
        (SongKFold, {"k": 3, "fold": -1}, "SongKFold: fold must lie between 0 and 2, got -1"),
        (FileSplit, {"path": "x.csv", "k": 0}, "FileSplit: k must be at least 1, got 0"),
        (ArtistSplit, {"k": 2}, "ArtistSplit: k must be at least 3, got 2"),
        (ArtistKFold, {"k": 2}, "ArtistKFold: k must be at least 3, got 2"),
        (ArtistKFold, {"k": 3, "fold": 3}, "ArtistKFold: fold must lie between 0 and 2, got 3"),
    ],
)
def test_a_fold_that_cannot_be_is_refused(cls: type, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        cls(**arguments)


# The paper's numbers


def like_artist20() -> list[list[int]]:
    """20 artists of 6 albums, 52 to 88 tracks an artist, 1,413 in all: artist20's published figures."""
    counts = [52, 88, *np.random.default_rng(20).integers(56, 85, 18).tolist()]
    step = 0
    while sum(counts) != 1413:
        counts[2 + step % 18] += int(np.sign(1413 - sum(counts)))
        step += 1
    assert (min(counts), max(counts)) == (52, 88)
    return [[count // 6 + (album < count % 6) for album in range(6)] for count in counts]


@pytest.mark.parametrize("seed", [0, 21, 42])
def test_the_papers_song_split_has_its_numbers_of_songs(seed: int) -> None:
    shape = like_artist20()
    made = catalogue_of(rows(shape))
    split = splitting.split(made, SongSplit(), seed)
    assert [len(getattr(split, part)) for part in PARTS] == [1143, 128, 142]
    tested = parts_of(made, split).query("part == 'test'")["label"].value_counts().sort_index()
    assert (tested - np.array([sum(albums) for albums in shape]) * 142 / 1413).abs().max() < 1


def test_the_papers_album_split_leaves_four_albums_to_train() -> None:
    made = catalogue_of(rows(like_artist20()))
    found = parts_of(made, splitting.split(made, AlbumSplit(), 0))
    assert (found.query("part == 'train'").groupby("artist")["album"].nunique() == 4).all()


@quick
@given(st.lists(st.integers(3, 90), min_size=2, max_size=20), st.floats(0.05, 0.5), seeds)
def test_a_stratified_sample_is_in_proportion(counts: list[int], fraction: float, seed: int) -> None:
    """As many as scikit-learn takes, one a label at least, and no label more than one off its share."""
    labels = pd.Series(np.repeat(np.arange(len(counts)), counts))
    marked = stratified_sample(labels, fraction, np.random.default_rng(seed))
    total = max(int(np.ceil(fraction * len(labels))), len(counts))
    taken = np.bincount(labels[marked], minlength=len(counts))
    assert marked.sum() == total
    assert taken.min() >= 1
    share = np.array(counts) * total / len(labels)
    if share.min() >= 1:
        assert np.abs(taken - share).max() < 1


# Refusals


@pytest.mark.parametrize(
    ("strategy", "shape", "said"),
    [
        (SongSplit(), [[3], [2], [9]], r"SongSplit needs at least 3 tracks a label, but artist 01 has 2$"),
        (
            SongKFold(5),
            [[3], [1], [2]],
            r"SongKFold needs at least 3 tracks a label.* artist 01 has 1; artist 02 has 2$",
        ),
        (AlbumSplit(), [[3] * 3, [9], [4] * 2], r"3 albums a label, but artist 01 has 1; artist 02 has 2$"),
        (
            AlbumKFold(6),
            [[3] * 6, [2] * 5],
            r"AlbumKFold with k=6 needs at least 6 albums a label, but artist 01 has 5$",
        ),
        (AlbumKFold(2), [[3] * 2, [9]], r"AlbumKFold with k=2 needs at least 2 albums a label, but artist 01 has 1$"),
    ],
)
def test_what_cannot_be_stratified_is_refused_by_name(strategy: SplitStrategy, shape: Shape, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        splitting.split(catalogue_of(rows(shape)), strategy, 0)


def test_a_label_that_would_not_be_trained_is_named() -> None:
    """Two albums of one song: one tests, the other has to validate."""
    with pytest.raises(BenchError, match="no training track of artist 01"):
        splitting.split(catalogue_of(rows([[9, 9], [1, 1]])), AlbumKFold(2), 0)


def test_songs_without_albums_have_no_album_split() -> None:
    listed = rows([[4] * 3] * 2).assign(album="")
    with pytest.raises(BenchError, match="to know the album of every song, but artist 00/"):
        splitting.split(catalogue_of(listed), AlbumSplit(), 0)


# Leaks


def proved(strategy: SplitStrategy) -> pd.DataFrame:
    made = catalogue_of(rows([[3] * 4] * 3))
    table = parts_of(made, splitting.split(made, strategy, 1))
    splitting.prove(table, strategy.group, strategy.validation_group)
    return table


@pytest.mark.parametrize(("of", "to"), [("test", "train"), ("train", "test"), ("validation", "test")])
def test_one_song_on_the_other_side_of_the_test_is_found(of: str, to: str) -> None:
    table = proved(AlbumSplit())
    planted = table.index[table["part"] == of][0]
    album = f"{table.loc[planted, 'artist']}/{table.loc[planted, 'album']}"
    table.loc[planted, "part"] = to
    with pytest.raises(BenchError, match=f"the split leaks: the album {album} is on both sides"):
        splitting.prove(table, "album", "album")


def test_a_validation_album_that_is_trained_is_found() -> None:
    table = proved(AlbumSplit())
    table.loc[table.index[table["part"] == "validation"][0], "part"] = "train"
    with pytest.raises(BenchError, match="leaks: the album"):
        splitting.prove(table, "album", "album")
    splitting.prove(table, "album", "track_id")  # where songs validate, as in AlbumKFold with k = 2


def test_a_song_split_of_albums_is_no_album_split() -> None:
    with pytest.raises(BenchError, match="leaks: the album"):
        splitting.prove(proved(SongSplit()), "album", "album")


def test_albums_of_the_same_name_by_two_artists_are_two() -> None:
    table = proved(AlbumSplit())
    names = table.groupby("album")["part"].nunique()
    assert names.max() > 1, "the same name stands on both sides"


def test_a_strategy_that_leaks_is_caught() -> None:
    class Leaky(AlbumSplit):
        """Says albums, deals songs."""

        def assign(self, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
            return SongSplit().assign(tracks, rng)

    with pytest.raises(BenchError, match="leaks"):
        splitting.split(catalogue_of(rows([[3] * 4] * 3)), Leaky(), 0)


def test_a_track_in_two_parts_is_no_split() -> None:
    with pytest.raises(BenchError, match=r"leaks: b is in more than one part \(1 such"):
        Split(("a", "b"), ("c",), ("b", "d"))
    with pytest.raises(BenchError, match="no track for validation"):
        Split(("a",), (), ("b",))


# Frozen splits


def freeze(path: Path, strategy: SplitStrategy, shape: Shape, seed: int = 0) -> tuple[Catalogue, Split]:
    made = catalogue_of(rows(shape))
    split = splitting.split(made, strategy, seed)
    table = parts_of(made, split)[["track_id", "label", "artist", "album", "part"]]
    file_split.write(path, table, ["a comment", f"seed {seed}"], (strategy.group, strategy.validation_group))
    return made, split


def test_a_split_comes_back_from_its_file(tmp_path: Path) -> None:
    for strategy in STRATEGIES:
        made, split = freeze(tmp_path / "new" / "split.csv", strategy, [[3] * 4] * 3)
        text = (tmp_path / "new" / "split.csv").read_text()
        assert text.startswith("# a comment\n# seed 0\n# kept together: ")
        assert "\n# checksum: " in text
        assert splitting.split(made, FileSplit(str(tmp_path / "new" / "split.csv")), seed=99) == split
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["split.csv"], "no temporary file stays"


AWKWARD = (
    "#1 Record/Thirteen.mp3",
    "Band/Song #1.mp3",
    "Band/Song 1.mp3",
    "Band/Song, with a comma.mp3",
    'Band/Song "quoted".mp3',
    "Band/Song!.mp3",
    "Band/Song?.mp3",
    "Band/Song.mp3",
    "Band/Song.flac",
    "Band/NA.mp3",
    "Band/ leading space.mp3",
    "Bänd/Größe – Ω.mp3",
    "Band/[untitled] \u2028.mp3",
)


@pytest.mark.parametrize("turn", range(3))
def test_names_of_any_kind_come_back_from_a_file(tmp_path: Path, turn: int) -> None:
    """Each in another part than its likes."""
    part = [PARTS[(turn + position) % 3] for position in range(len(AWKWARD))]
    written = pd.DataFrame({"track_id": AWKWARD, "part": part})
    file_split.write(tmp_path / "split.csv", written, [])
    tracks = pd.DataFrame({"track_id": AWKWARD, "artist": "", "album": ""})
    read = FileSplit(str(tmp_path / "split.csv")).assign(tracks, np.random.default_rng(0))
    assert read.tolist() == part


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    made, _ = freeze(path, SongSplit(), [[3] * 4] * 3)
    text = path.read_text()
    assert ",test\n" in text
    path.write_text(text.replace(",test\n", ",train\n", 1))
    with pytest.raises(BenchError, match=r"split\.csv: its rows were changed .*checksum"):
        splitting.split(made, FileSplit(str(path)), 0)
    path.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(BenchError, match="its rows were changed"):
        file_split.read(path)
    path.write_text("# another comment\n" + text)
    file_split.read(path)


def test_a_hand_made_file_needs_no_checksum(tmp_path: Path) -> None:
    made = catalogue_of(rows([[2] * 3] * 2))
    lines = [f"artist 0{a},album {b},{PARTS[b]}" for a in range(2) for b in range(3)]
    (tmp_path / "split.csv").write_text("# mine\nartist,album,part\n" + "\n".join(lines))
    split = splitting.split(made, FileSplit(str(tmp_path / "split.csv")), 0)
    assert [len(getattr(split, part)) for part in PARTS] == [4, 4, 4]
    assert all("album 2" in track for track in split.test)


def test_names_match_loosely(tmp_path: Path) -> None:
    """Mirrors of a dataset write names with other punctuation, case and ending."""
    tracks = pd.DataFrame(
        {
            "track_id": ["The Band/It's Live!/01. Hello.flac", "the_band/its_live/02_World.mp3", "b/Ünder/C.wav"],
            "artist": ["The Band", "the_band", "b"],
            "album": ["It's Live!", "its_live", "Ünder"],
        }
    )
    by_track = ["the_band/Its_Live/01_hello.mp3,train", "THE BAND/its live/02 world.wav,test", "B/ünder/c,validation"]
    (tmp_path / "tracks.csv").write_text("\n".join(["track_id,part", *by_track]))
    (tmp_path / "albums.csv").write_text("artist,album,part\ntheband,ITS-LIVE,train\nB,ünder,test\n")
    rng = np.random.default_rng(0)
    assert FileSplit(str(tmp_path / "tracks.csv")).assign(tracks, rng).tolist() == ["train", "test", "validation"]
    assert FileSplit(str(tmp_path / "albums.csv")).assign(tracks, rng).tolist() == ["train", "train", "test"]


def test_a_name_that_is_like_two_is_neither(tmp_path: Path) -> None:
    tracks = pd.DataFrame({"track_id": ["a/one.mp3", "a/two!.mp3"], "artist": "a", "album": ""})
    text = "track_id,part\na/one.mp3,train\nA/One.mp3,test\na/two?.mp3,test\na/two.mp3,train\n"
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(BenchError, match=r"3 of its 4 rows name no usable track of this dataset, e\.g\. 'A/One\.mp3'"):
        FileSplit(str(tmp_path / "split.csv")).assign(tracks, np.random.default_rng(0))
    part = FileSplit(str(tmp_path / "split.csv"), partial=True).assign(tracks, np.random.default_rng(0))
    assert part.fillna("").tolist() == ["train", ""]


def test_rows_that_name_no_track_are_refused_unless_one_says_so(tmp_path: Path) -> None:
    freeze(tmp_path / "split.csv", SongSplit(), [[3] * 4] * 3)
    smaller = catalogue_of(rows([[3] * 4] * 3).iloc[1:])
    with pytest.raises(BenchError, match=r"1 of its 36 rows name no usable track.*song 00.mp3'; set partial: true"):
        splitting.split(smaller, FileSplit(str(tmp_path / "split.csv")), 0)
    split = splitting.split(smaller, FileSplit(str(tmp_path / "split.csv"), partial=True), 0)
    assert len(tracks_of(split)) == 35


def test_a_frozen_album_split_is_proved_again(tmp_path: Path) -> None:
    """One of its rows put on the other side by hand, its checksum made to fit."""
    made, _ = freeze(tmp_path / "split.csv", AlbumSplit(), [[3] * 4] * 3)
    table = file_split.read(tmp_path / "split.csv")
    assert table.attrs["groups"] == ("album", "album")
    table.loc[table.index[table["part"] == "test"][0], "part"] = "train"
    file_split.write(tmp_path / "torn.csv", table, [], ("album", "album"))
    with pytest.raises(BenchError, match=r"the split leaks: the album artist 00/album . is on both sides"):
        splitting.split(made, FileSplit(str(tmp_path / "torn.csv")), 0)
    (tmp_path / "odd.csv").write_text("# kept together: album,label\ntrack_id,part\na,train\n")
    with pytest.raises(BenchError, match="album,label is not track_id, album or artist, twice"):
        file_split.read(tmp_path / "odd.csv")


@pytest.mark.parametrize(("path", "k"), [("split.csv", 2), ("fold_{fold}.csv", 1)])
def test_folds_and_their_path_have_to_fit(path: str, k: int) -> None:
    with pytest.raises(BenchError, match=rf"k={k} and the path '{path}' do not fit"):
        FileSplit(path, k=k)


def test_what_the_file_does_not_name_is_used_by_no_part(tmp_path: Path) -> None:
    made = catalogue_of(rows([[2] * 3] * 2))
    named = made.table[made.table["title"] == "song 00"]
    parts = named["album"].map(dict(zip(["album 0", "album 1", "album 2"], PARTS, strict=True)))
    file_split.write(tmp_path / "split.csv", named[["track_id"]].assign(part=parts), [])
    split = splitting.split(made, FileSplit(str(tmp_path / "split.csv")), 0)
    assert tracks_of(split) == set(named["track_id"])


def test_folds_in_files(tmp_path: Path) -> None:
    for fold in range(3):
        made, _ = freeze(tmp_path / f"fold_{fold}.csv", AlbumKFold(3, fold), [[2] * 3] * 2)
    for fold in range(3):
        strategy = FileSplit(str(tmp_path / "fold_{fold}.csv"), k=3, fold=fold)
        assert splitting.split(made, strategy, 7) == splitting.split(made, AlbumKFold(3, fold), 0)
    assert FileSplit("fold_{fold}.csv", k=3).n_folds == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track_id,part\na,train\nb,dev\n", "part 'dev' is none of train, validation, test"),
        ("track_id,part\na,train\na,test\n", "a stands there twice"),
        ("artist,album,part\na,b,train\na,b,train\n", "a/b stands there twice"),
        ("track_id\na\n", "no column 'part'"),
        ("song,part\na,train\n", "no column 'artist'"),
        ("artist,part\na,train\n", "no column 'album'"),
        ("track_id,part\nx/y.mp3,train\n", "1 of its 1 rows name no usable track of this dataset, e.g. 'x/y.mp3'$"),
        ("", "not a readable CSV"),
        ("# a comment alone\n", "not a readable CSV"),
        ("# checksum: 00\ntrack_id,part\na,train\n", "its rows were changed"),
        ('track_id,part\n"a,train\n', "not a readable CSV"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    made = catalogue_of(rows([[2] * 3] * 2))
    with pytest.raises(BenchError, match=said) as caught:
        splitting.split(made, FileSplit(str(path)), 0)
    assert str(path) in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=rf"no split file {tmp_path}/no\.csv; `crnn-bench split"):
        file_split.read(tmp_path / "no.csv")


def test_a_file_that_leaks_a_label_is_refused(tmp_path: Path) -> None:
    made = catalogue_of(rows([[2] * 3] * 2))
    lines = [f"artist 0{a},album {b},{PARTS[b] if a else 'test'}" for a in range(2) for b in range(3)]
    (tmp_path / "split.csv").write_text("artist,album,part\n" + "\n".join(lines))
    with pytest.raises(BenchError, match="no training track of artist 00"):
        splitting.split(made, FileSplit(str(tmp_path / "split.csv")), 0)


# Artists kept apart


def genre_rows(counts: Sequence[Sequence[int]], unknown: int = 0, shared: int = 0) -> pd.DataFrame:
    """So many songs of each artist of each genre; in each genre also some by nobody knows whom, and by one band."""
    found = [
        {"label": f"genre {genre}", "artist": artist, "title": f"{artist} {song}"}
        for genre, artists in enumerate(counts)
        for artist, songs in [
            *((f"artist {genre}.{number}", songs) for number, songs in enumerate(artists)),
            ("", unknown),
            ("The Shared", shared),
        ]
        for song in range(songs)
    ]
    table = pd.DataFrame(found).assign(path="", album="", fingerprint="")
    return table.assign(track_id=table["label"] + "/" + table["title"] + ".wav")


genre_counts = st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=12), min_size=2, max_size=4)
artist_strategies = st.sampled_from([ArtistSplit(), ArtistSplit(3), ArtistKFold(3, fold=0), ArtistKFold(3, fold=2)])


@quick
@given(genre_counts, st.integers(0, 3), artist_strategies, seeds)
def test_artists_do_not_straddle(counts: Shape, unknown: int, strategy: SplitStrategy, seed: int) -> None:
    made = catalogue_of(genre_rows(counts, unknown))
    found = parts_of(made, splitting.split(made, strategy, seed))
    assert found["part"].notna().all()
    assert found[found["artist"] != ""].groupby("artist")["part"].nunique().max() == 1
    labels = found.groupby("part")["label"].unique()
    assert {part: set(some) for part, some in labels.items()} == {part: set(made.classes) for part in PARTS}


@quick
@given(genre_counts, artist_strategies, seeds, st.randoms(use_true_random=False))
def test_an_artist_split_depends_on_its_seed_alone(
    counts: Shape, strategy: SplitStrategy, seed: int, random: Random
) -> None:
    listed = genre_rows(counts, unknown=2)
    order = list(range(len(listed)))
    random.shuffle(order)
    first = splitting.split(catalogue_of(listed), strategy, seed)
    np.random.seed(seed % 1000)  # noqa: NPY002
    assert splitting.split(catalogue_of(listed.iloc[order]), strategy, seed) == first


@quick
@given(genre_counts, st.integers(0, 3), seeds)
def test_artist_folds_test_every_song_once(counts: Shape, unknown: int, seed: int) -> None:
    made = catalogue_of(genre_rows(counts, unknown))
    splits = [splitting.split(made, ArtistKFold(3, fold), seed) for fold in range(3)]
    assert sorted(track for split in splits for track in split.test) == made.table["track_id"].tolist()
    for fold, split in enumerate(splits):
        assert split.validation == splits[(fold + 1) % 3].test
    assert splitting.split(made, ArtistKFold(3), seed) == splits[0]


@quick
@given(genre_counts, st.integers(1, 4), artist_strategies, seeds)
def test_an_artist_of_two_genres_is_one(counts: Shape, shared: int, strategy: SplitStrategy, seed: int) -> None:
    table = catalogue_of(genre_rows(counts, shared=shared)).table
    part = strategy.assign(table, np.random.default_rng(seed))
    assert len(set(part[table["artist"] == "The Shared"])) == 1


@pytest.mark.parametrize("strategy", [ArtistSplit(), ArtistKFold()], ids=lambda strategy: type(strategy).__name__)
def test_another_seed_draws_other_artists(strategy: SplitStrategy) -> None:
    made = catalogue_of(genre_rows([[3] * 12] * 3))
    assert len({splitting.split(made, strategy, seed) for seed in range(5)}) == 5


def test_ten_folds_of_artists_give_tenths_of_every_genre() -> None:
    made = catalogue_of(genre_rows([[5] * 20] * 3))
    found = parts_of(made, splitting.split(made, ArtistSplit(), 0))
    assert (found.query("part == 'test'")["label"].value_counts() == 10).all()
    assert (found.query("part == 'validation'")["label"].value_counts() == 10).all()
    assert (found.query("part == 'train'")["label"].value_counts() == 80).all()


def test_a_genre_of_three_artists_is_in_every_part() -> None:
    made = catalogue_of(genre_rows([[5] * 20, [4, 4, 4]]))
    found = parts_of(made, splitting.split(made, ArtistSplit(), 0))
    assert (found.query("label == 'genre 1'")["part"].value_counts() == 4).all()


def test_songs_of_unknown_artists_are_groups_of_their_own() -> None:
    made = catalogue_of(genre_rows([[1], [1]], unknown=29))
    unknown = made.table["artist"] == ""
    assert groups(made.table, "artist")[unknown].tolist() == made.table.loc[unknown, "track_id"].tolist()
    split = splitting.split(made, ArtistSplit(), 0)
    assert [len(getattr(split, part)) for part in PARTS] == [48, 6, 6]


def test_an_artist_on_both_sides_is_named() -> None:
    made = catalogue_of(genre_rows([[4] * 4] * 2, unknown=3))
    table = parts_of(made, splitting.split(made, ArtistKFold(3), 0))
    splitting.prove(table, "artist", "artist")
    planted = table.index[(table["part"] == "test") & (table["artist"] != "")][0]
    artist = table.loc[planted, "artist"]
    table.loc[planted, "part"] = "train"
    with pytest.raises(BenchError, match=rf"the split leaks: the artist {artist} is on both sides \(1 such\)"):
        splitting.prove(table, "artist", "artist")


@pytest.mark.parametrize(
    ("strategy", "least"), [(ArtistSplit(), "ArtistSplit needs at least 3"), (ArtistKFold(), "k=5 needs at least 5")]
)
def test_a_genre_of_too_few_artists_is_named(strategy: SplitStrategy, least: str) -> None:
    made = catalogue_of(genre_rows([[3] * 6, [9, 9], [2] * 5]))
    with pytest.raises(BenchError, match=rf"{least} artists a label, but genre 1 has 2; where the labels are"):
        splitting.split(made, strategy, 0)


def test_artists_that_are_the_labels_cannot_be_kept_apart() -> None:
    with pytest.raises(BenchError) as caught:
        splitting.split(catalogue_of(rows([[3] * 3] * 12)), ArtistSplit(), 0)
    assert "but artist 00 has 1; artist 01 has 1;" in str(caught.value)
    assert "artist 09 has 1; 2 more have too few; where the labels are the artists" in str(caught.value)
    assert "split by albums or by songs" in str(caught.value)


def test_a_frozen_artist_split_is_proved_again(tmp_path: Path) -> None:
    made = catalogue_of(genre_rows([[3] * 5] * 2, unknown=2))
    split = splitting.split(made, ArtistSplit(), 0)
    table = parts_of(made, split)[["track_id", "label", "artist", "part"]]
    file_split.write(tmp_path / "split.csv", table, [], ("artist", "artist"))
    assert "# kept together: artist,artist\n" in (tmp_path / "split.csv").read_text()
    strategy = FileSplit(str(tmp_path / "split.csv"))
    assert splitting.split(made, strategy, 9) == split
    assert (strategy.group, strategy.validation_group) == ("artist", "artist")
    table.loc[table.index[(table["part"] == "test") & (table["artist"] != "")][0], "part"] = "train"
    file_split.write(tmp_path / "torn.csv", table, [], ("artist", "artist"))
    with pytest.raises(BenchError, match="the split leaks: the artist artist"):
        splitting.split(made, FileSplit(str(tmp_path / "torn.csv")), 0)


# Splits that the dataset's authors published


def test_an_official_split_is_taken_as_it_is() -> None:
    listed = rows([[6], [6]])
    official = ["train", "train", "train", "validation", "test", ""] * 2
    made = catalogue_of(listed.assign(official=official))
    assert made.table["official"].tolist() == official
    split = splitting.split(made, OfficialSplit(), 0)
    assert [len(getattr(split, part)) for part in PARTS] == [6, 2, 2]
    assert split == splitting.split(made, OfficialSplit(), 7)
    assert "artist 00/album 0/song 05.mp3" not in tracks_of(split)
    assert made.digest == catalogue_of(listed).digest, "what was measured before stays comparable"


def test_a_dataset_without_an_official_split_is_told() -> None:
    made = catalogue_of(rows([[3] * 3] * 2))
    assert (made.table["official"] == "").all()
    with pytest.raises(BenchError, match=r"publishes no split of its own .* use FileSplit .* ArtistSplit or SongSplit"):
        splitting.split(made, OfficialSplit(), 0)


def test_an_official_part_that_is_none_is_refused() -> None:
    with pytest.raises(BenchError, match=r"Listed: artist 00/.* has the official part 'training'; expected train, "):
        catalogue_of(rows([[3], [3]]).assign(official="training"))


# The splits that are committed


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*.csv")), ids=lambda path: path.stem)
def test_a_committed_split_names_every_album_of_artist20(path: Path) -> None:
    table = file_split.read(path)
    assert path.read_text().count("# checksum: ") == 1
    assert len(table) == 120
    assert (table.groupby("artist")["album"].nunique() == 6).all()
    assert table["artist"].nunique() == 20
    assert (table.groupby("artist")["part"].nunique() == 3).all()


def test_the_committed_album_folds_test_every_album_once() -> None:
    folds = [file_split.read(COMMITTED / f"album_fold_{fold}.csv").assign(fold=fold) for fold in range(6)]
    tested = pd.concat(folds).query("part == 'test'")
    assert len(tested) == 120
    assert not tested.duplicated(["artist", "album"]).any()
    for fold, table in enumerate(folds):
        assert (table.query("part == 'test'")["artist"].value_counts() == 1).all()
        following = folds[(fold + 1) % 6].query("part == 'test'")[["artist", "album"]].to_numpy().tolist()
        assert table.query("part == 'validation'")[["artist", "album"]].to_numpy().tolist() == following


def test_the_committed_splits_fit_artist20s_track_list(real_music: Path) -> None:
    """Every one of the 1,413 tracks is in a part, as many as the file's own comment says."""
    lists = real_music / "lists" / "artist20_tracks.json"
    if not lists.is_file():
        pytest.skip(f"no track list {lists}")
    listed = [(artist, album) for artist, album, _ in artist20_tracks(json.loads(lists.read_text()))]
    tracks = pd.DataFrame(listed, columns=["artist", "album"]).assign(track_id="")
    assert len(tracks) == 1413
    for path in sorted(COMMITTED.glob("*.csv")):
        part = FileSplit(str(path)).assign(tracks, np.random.default_rng(0))
        assert part.notna().all(), path
        counts = part.value_counts()
        told = f"{counts['train']} train, {counts['validation']} validation, {counts['test']} test"
        assert told in path.read_text(), path


def artist20_tracks(tree: dict[str, dict[str, list[str]]]) -> list[tuple[str, str, str]]:
    return [
        (artist, album, song) for artist, albums in tree.items() for album, songs in albums.items() for song in songs
    ]


@pytest.fixture(scope="module")
def gtzan_tracks() -> pd.DataFrame:
    """All of GTZAN, as a copy with .au files lists it."""
    index = gtzan.index()
    genres = [name.split(".")[0] for name in index.index]
    listed = [f"{genre}/{name}.au" for genre, name in zip(genres, index.index, strict=True)]
    return index.assign(track_id=listed, label=genres, album="", path="", fingerprint="").reset_index(drop=True)


def proved_parts(made: Catalogue, strategy: SplitStrategy) -> pd.DataFrame:
    """A split's parts; it keeps artists apart, the ones known."""
    found = parts_of(made, splitting.split(made, strategy, 0))
    used = found[found["part"].notna() & (found["artist"] != "")]
    assert used.groupby("artist")["part"].nunique().max() == 1
    assert (strategy.group, strategy.validation_group) == ("artist", "artist")
    return found


def test_the_fault_filtered_split_of_gtzan(gtzan_tracks: pd.DataFrame) -> None:
    table = file_split.read(GTZAN / "fault_filtered.csv")
    assert [int((table["part"] == part).sum()) for part in PARTS] == [443, 197, 290]
    text = (GTZAN / "fault_filtered.csv").read_text()
    assert all(word in text for word in ("# checksum: ", "Kereliuk", "Sturm", "Larsen", "2015"))
    found = proved_parts(catalogue_of(gtzan_tracks), FileSplit(str(GTZAN / "fault_filtered.csv")))
    assert found["part"].notna().sum() == 930
    assert found.groupby("part")["label"].nunique().eq(10).all()


def test_the_fault_filtered_split_is_the_published_one(real_music: Path) -> None:
    table = file_split.read(GTZAN / "fault_filtered.csv")
    for part, name in zip(PARTS, ("train", "valid", "test"), strict=True):
        published = real_music / "lists" / f"gtzan_fault_filtered_{name}.txt"
        if not published.is_file():
            pytest.skip(f"no list {published}")
        assert set(table.loc[table["part"] == part, "track_id"]) == set(published.read_text().split())


def test_the_artist_filtered_folds_of_gtzan(gtzan_tracks: pd.DataFrame) -> None:
    made = catalogue_of(gtzan_tracks)
    path = str(GTZAN / "artist_filtered_{fold}.csv")
    folds = [proved_parts(made, FileSplit(path, k=5, fold=fold)) for fold in range(5)]
    tested = [track for found in folds for track in found.loc[found["part"] == "test", "track_id"]]
    assert sorted(tested) == made.table["track_id"].tolist()
    for fold, found in enumerate(folds):
        counts = found["part"].value_counts()
        told = f"{counts['train']} train, {counts['validation']} validation, {counts['test']} test"
        text = (GTZAN / f"artist_filtered_{fold}.csv").read_text()
        assert told in text
        assert "# checksum: " in text
        assert found.groupby("part")["label"].nunique().eq(10).all()
        assert 190 <= counts["test"] <= 215


@pytest.mark.parametrize("ending", [".au", ".wav"])
@pytest.mark.parametrize("name", ["fault_filtered.csv", "artist_filtered_3.csv"])
def test_gtzans_splits_fit_a_part_of_it(gtzan_tracks: pd.DataFrame, name: str, ending: str) -> None:
    few = gtzan_tracks[gtzan_tracks["track_id"].str.contains("blues|rock")]
    made = catalogue_of(few.assign(track_id=few["track_id"].str.replace(".au", ending)))
    with pytest.raises(BenchError, match="set partial: true"):
        splitting.split(made, FileSplit(str(GTZAN / name)), 0)
    found = proved_parts(made, FileSplit(str(GTZAN / name), partial=True))
    assert found.groupby("part")["label"].nunique().eq(2).all()


def test_a_big_artist_is_not_always_tested() -> None:
    """Folds are dealt by size, so which one tests is drawn."""
    made = catalogue_of(genre_rows([[30] + [3] * 12, [4] * 12]))
    giant = made.table["artist"].value_counts().idxmax()
    parts = [parts_of(made, splitting.split(made, ArtistSplit(), seed)) for seed in range(20)]
    tested = [giant in set(found.query("part == 'test'")["artist"]) for found in parts]
    assert 0 < sum(tested) < 10


def test_a_split_says_what_it_keeps_together(tmp_path: Path) -> None:
    """As it was proved, of a frozen split and an official one, too."""
    made = catalogue_of(genre_rows([[3] * 12] * 3))
    drawn = splitting.split(made, ArtistSplit(), 0)
    assert (drawn.group, drawn.validation_group) == ("artist", "artist")
    rows = made.table[["track_id", "label", "artist", "album"]].merge(drawn.table, on="track_id")
    file_split.write(tmp_path / "frozen.csv", rows, ["frozen"], ("artist", "artist"))
    frozen = splitting.split(made, FileSplit(str(tmp_path / "frozen.csv")), 0)
    assert (frozen.group, frozen.validation_group) == ("artist", "artist")
    official = catalogue_of(made.table.assign(official=rows["part"]).drop(columns=["seconds", "content"]))
    assert splitting.split(official, OfficialSplit(), 0).group == "artist"
    assert splitting.split(made, SongSplit(), 0).group == "track_id"


@pytest.mark.parametrize("strategy", [ArtistSplit(), ArtistKFold()], ids=["split", "folds"])
def test_artists_that_nobody_names_cannot_be_kept_apart(strategy: SplitStrategy) -> None:
    made = catalogue_of(genre_rows([[3] * 12] * 3).assign(artist=""))
    with pytest.raises(BenchError, match="needs artists, but this dataset names none"):
        splitting.split(made, strategy, 0)


# The disk's order, as the paper's code sees it


def listed(root: Path, order: Mapping[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the disk list folders in a certain order."""
    real = os.listdir
    monkeypatch.setattr(splitting.os, "listdir", lambda folder: order.get(Path(folder)) or real(folder))


@pytest.mark.parametrize("strategy", [SongSplit(), AlbumSplit()])
def test_the_disks_order_decides_a_split_only_with_the_quirk(
    strategy: SplitStrategy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = [
        {
            "track_id": f"{a}/{b}/{c}.wav",
            "path": str(tmp_path / a / b / f"{c}.wav"),
            "label": a,
            "artist": a,
            "album": b,
        }
        for a in "AB"
        for b in "klmnop"
        for c in "xyz"
    ]
    for row in tracks:
        path = Path(row["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    table = pd.DataFrame(tracks).assign(seconds=9.0)
    music = Catalogue(table, pd.DataFrame(columns=["track_id", "reason", "seconds"]))
    upwards = {tmp_path / a: list("klmnop") for a in "AB"} | {tmp_path: ["A", "B"]}
    downwards = {tmp_path / a: list("ponmlk") for a in "AB"} | {tmp_path: ["B", "A"]}
    found = []
    for order in (upwards, downwards):
        listed(tmp_path, order, monkeypatch)
        found.append(splitting.split(music, strategy, 0, listing_order=True))
        assert splitting.split(music, strategy, 0) == splitting.split(music, strategy, 0, listing_order=False)
    assert found[0] != found[1]
    parts = found[1].table.merge(table, on="track_id")
    assert set(parts["part"]) == {"train", "validation", "test"}
    if strategy.group == "album":
        assert parts.groupby(["artist", "album"])["part"].nunique().eq(1).all()
        clean = splitting.split(music, strategy, 0)
        assert found[0] == clean, "the disk's order is the alphabet's here"


def test_folders_above_the_music_need_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(folder: Path) -> list[str]:
        if not Path(folder).is_relative_to(tmp_path / "music"):
            raise PermissionError(folder)
        return real(folder)

    real = os.listdir
    monkeypatch.setattr(splitting.os, "listdir", mine)
    tracks = []
    for name in ("A/k/x", "A/l/y", "A/l2/z", "B/m/x", "B/n/y", "B/n2/z"):
        path = tmp_path / "music" / f"{name}.wav"
        path.parent.mkdir(parents=True)
        path.touch()
        label, album, _ = name.split("/")
        tracks.append({"track_id": name, "path": str(path), "label": label, "artist": label, "album": album})
    table = pd.DataFrame(tracks).assign(seconds=9.0)
    music = Catalogue(table, pd.DataFrame(columns=["track_id", "reason", "seconds"]))
    assert splitting.split(music, SongKFold(3, 0), 0, listing_order=True).test
