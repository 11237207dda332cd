"""Tastes, the choice of songs, lists as files, listeners who are made up, and the command."""

import json
import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crnn_bench import cli, shelf
from crnn_bench.app import listeners, neighbours, playlist, selection, taste
from crnn_bench.app.playlist import Playlist
from crnn_bench.app.selection import Limits
from crnn_bench.bundles import Bundle
from crnn_bench.datasets.toy import Toy
from crnn_bench.errors import BenchError
from crnn_bench.songs import Songs
from tests.conftest import RATE
from tests.test_library import model  # noqa: F401

FREE = Limits(1000, 1000)


def placed(n: int, seed: int, width: int = 6, classes: int = 3, artists: int = 1000, spread: float = 0.7) -> Songs:
    """Songs about the centres of some classes, by artists with an album or two each; no files."""
    rng = np.random.default_rng(seed)
    centres, label = rng.normal(size=(classes, width)), rng.integers(classes, size=n)
    vectors = (centres[label] + spread * rng.normal(size=(n, width))).astype(np.float32)
    scores = np.exp(-((vectors[:, None] - centres) ** 2).sum(axis=2))
    by = rng.integers(artists, size=n)
    table = pd.DataFrame(
        {
            "track_id": [f"song {number:06d}" for number in range(n)],
            "path": "",
            "label": [f"label {number}" for number in label],
            "artist": [f"artist {number}" for number in by],
            "album": [f"album {number}" for number in rng.integers(2, size=n)],
            "title": [f"title {number}" for number in range(n)],
            "seconds": 200.4,
        }
    )
    shares = scores / scores.sum(axis=1, keepdims=True)
    return Songs(table, vectors, shares.astype(np.float32), tuple(f"label {number}" for number in range(classes)))


def of(songs: Songs, *positions: int) -> taste.Taste:
    return taste.of(songs.where(np.array(positions)))


def chosen(made: Playlist) -> list[str]:
    return list(made.songs["track_id"])


def unlike(songs: Songs, made: Playlist) -> float:
    """Mean of 1 − cosine over a list's pairs."""
    vectors = songs.vectors[songs.table["track_id"].isin(made.songs["track_id"])]
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float(1 - (directions @ directions.T)[np.triu_indices(len(vectors), 1)].mean())


# The choice


@given(
    st.integers(2, 80),
    st.integers(1, 30),
    st.integers(1, 5),
    st.floats(0, 1),
    st.integers(1, 12),
    st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_a_list_is_as_long_as_can_be_and_repeats_nothing(
    n: int, length: int, seeds: int, variety: float, artists: int, seed: int
) -> None:
    songs = placed(n, seed, artists=artists)
    liked = list(range(min(seeds, n)))
    made = playlist.choose(songs, of(songs, *liked), length, variety)
    names = chosen(made)
    assert len(names) == min(length, n - len(liked)) == len(set(names))
    assert not set(names) & set(songs.table["track_id"][liked])
    assert bool(made.notes) >= (len(names) < length)
    assert chosen(playlist.choose(songs, of(songs, *liked), length, variety)) == names
    limits = selection.usual_limits(length)
    if not any("too few artists" in note for note in made.notes):
        assert made.songs["artist"].value_counts().max() <= limits.per_artist if names else True
        assert made.songs.groupby(["artist", "album"]).size().max() <= limits.per_album if names else True
    if not made.notes:
        wanted = selection.quotas(of(songs, *liked).genres, length)
        assert [Counter(made.songs["label"])[name] for name in songs.classes] == wanted.tolist()


def test_limits_are_raised_no_further_than_needed() -> None:
    songs = placed(60, 1, classes=1, artists=4)
    made = playlist.choose(songs, of(songs, 0), 20, 0.3, limits=Limits(2, 2))
    assert made.songs["artist"].value_counts().tolist() == [5, 5, 5, 5]
    assert any("up to 5 songs of one artist" in note for note in made.notes)


def test_unknown_artists_and_albums_have_no_limit() -> None:
    songs = placed(60, 1, classes=1)
    songs.table[["artist", "album"]] = ""
    assert playlist.choose(songs, of(songs, 0), 20).notes == ()


@given(st.integers(30, 100), st.integers(1, 20), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_without_variety_the_closest_songs_are_chosen(n: int, length: int, seed: int) -> None:
    songs = placed(n, seed, classes=1)
    made = playlist.choose(songs, of(songs, 4), length, 0.0, limits=FREE)
    directions = songs.vectors / np.linalg.norm(songs.vectors, axis=1, keepdims=True)
    cosines = directions @ directions[4]
    assume(np.diff(np.sort(cosines)).min() > 1e-6)
    cosines[4] = -2
    assert chosen(made) == songs.table["track_id"].iloc[np.argsort(-cosines)[:length]].tolist()
    np.testing.assert_allclose(made.songs["similarity"], np.sort(cosines)[::-1][:length], atol=1e-5)


def test_lists_differ_more_and_are_less_close_as_variety_grows() -> None:
    unlikeness, similarity = np.zeros((2, 20, 4))
    for seed in range(20):
        songs = placed(300, seed)
        for number, variety in enumerate((0.0, 0.3, 0.6, 1.0)):
            made = playlist.choose(songs, of(songs, 0, 1, 2), 10, variety, limits=FREE)
            unlikeness[seed, number] = unlike(songs, made)
            similarity[seed, number] = made.songs["similarity"].mean()
    assert (np.diff(unlikeness.mean(axis=0)) > 0).all()
    assert (np.diff(similarity.mean(axis=0)) < 0).all()
    assert (unlikeness[:, 3] > unlikeness[:, 0]).mean() > 0.8, "in nearly each library, too"


def test_each_seed_is_answered_and_not_their_mean() -> None:
    """Of two seeds at a right angle, songs near either are chosen, and none of the crowd between them."""
    rng = np.random.default_rng(0)
    corner = np.repeat(np.eye(2), 10, axis=0) + 0.05 * rng.normal(size=(20, 2))
    between = np.array([1.0, 1.0]) + 0.05 * rng.normal(size=(200, 2))
    vectors = np.concatenate([np.eye(2), corner, between]).astype(np.float32)
    one = placed(len(vectors), 0, classes=1)
    songs = Songs(one.table, vectors, one.probabilities, one.classes)
    made = playlist.choose(songs, of(songs, 0, 1), 12, 0.0, limits=FREE)
    assert made.songs["seed"].value_counts().tolist() == [6, 6]
    assert made.songs["similarity"].min() > 0.95, "a song between them has a cosine of 0.71"


def test_a_song_played_more_often_counts_for_more() -> None:
    songs = placed(300, 2, width=16, classes=1)
    two = songs.where(np.array([0, 1]))
    often, seldom = (
        playlist.choose(songs, taste.of(two, np.array(plays)), 12, 0.0, limits=FREE).songs["seed"]
        for plays in ([9.0, 1.0], [1.0, 9.0])
    )
    assert (often == "title 0").sum() > 6 > (seldom == "title 0").sum()


@pytest.mark.parametrize(
    ("shares", "length", "wanted"),
    [
        ([0.6, 0.3, 0.1], 20, [12, 6, 2]),
        ([0.5, 0.25, 0.25], 3, [1, 1, 1]),
        ([1 / 3, 1 / 3, 1 / 3], 10, [4, 3, 3]),
        ([0.5, 0.3, 0.2], 4, [2, 1, 1]),
        ([0.0, 1.0], 7, [0, 7]),
    ],
)
def test_quotas_go_by_largest_remainders(shares: list[float], length: int, wanted: list[int]) -> None:
    assert selection.quotas(np.array(shares), length).tolist() == wanted


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=12).filter(lambda shares: sum(shares) > 1e-3), st.integers(1, 99)
)
@settings(max_examples=100, deadline=None)
def test_quotas_sum_up_and_miss_no_share_by_a_song(shares: list[float], length: int) -> None:
    found = selection.quotas(np.array(shares), length)
    assert found.sum() == length
    assert (np.abs(found - np.array(shares) / sum(shares) * length) < 1).all()


def test_genres_of_a_history_are_those_of_the_list() -> None:
    songs = placed(600, 5, spread=0.2)
    predicted = songs.probabilities.argmax(axis=1)
    liked = np.concatenate([np.flatnonzero(predicted == number)[:5] for number in range(3)])
    plays = np.repeat([6.0, 3.0, 1.0], 5)
    made = playlist.choose(songs, taste.of(songs.where(liked), plays), 20, 0.3)
    assert [Counter(made.songs["label"])[name] for name in songs.classes] == [12, 6, 2]


@pytest.mark.parametrize(("length", "variety"), [(0, 0.3), (-1, 0.3), (5, -0.1), (5, 1.1), (5, float("nan"))])
def test_senseless_numbers_are_refused(length: int, variety: float) -> None:
    songs = placed(10, 0)
    with pytest.raises(BenchError, match="must be"):
        playlist.choose(songs, of(songs, 0), length, variety)


def test_a_large_library_is_searched_wider_until_the_limits_are_met() -> None:
    """The nearest 400 songs are all by one artist; the list still has two by each."""
    songs = placed(3000, 0, classes=1)
    order = np.argsort(-(neighbours.units(songs.vectors) @ neighbours.units(songs.vectors)[0]))
    artists = np.array([f"artist {number}" for number in range(len(songs))], object)
    artists[order[:450]] = "flood"
    songs.table["artist"] = artists
    made = playlist.choose(songs, of(songs, 0), 20, 0.0)
    assert made.notes == ()
    assert (made.songs["artist"] == "flood").sum() == selection.usual_limits(20).per_artist


def test_reasons_claim_no_more_likeness_than_there_is() -> None:
    songs = placed(6, 0, classes=1)
    vectors = np.zeros_like(songs.vectors)
    cosines = np.array([1.0, 0.9, 0.5, 0.3, 0.1, -0.8])
    vectors[:, 0], vectors[:, 1] = cosines, np.sqrt(1 - cosines**2)
    placed_there = Songs(songs.table, vectors, songs.probabilities, songs.classes)
    made = playlist.choose(placed_there, of(placed_there, 0), 5, 0.0, limits=FREE)
    assert made.songs["reason"].tolist() == [
        "like title 0 (0.90); label 0",
        "like title 0 (0.50); label 0",
        "a little like title 0 (0.30); label 0",
        "not much like any; closest to title 0 (0.10); label 0",
        "not much like any; closest to title 0 (-0.80); label 0",
    ]


def test_any_title_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    songs = placed(3, 0)
    songs.table["title"] = "[/b] [red]Song[link"
    playlist._tell(playlist.choose(songs, of(songs, 0), 2), of(songs, 0))
    assert capsys.readouterr().out.count("[/b] [red]Song[link") == 4, "twice the title, twice the closest"


# Tastes


def test_a_long_history_has_few_centres_that_keep_its_shares() -> None:
    songs = placed(200, 0, classes=4)
    plays = np.random.default_rng(0).integers(1, 9, 200).astype(float)
    told = taste.of(songs, plays)
    assert len(told.centres) == len(told.shares) == taste.CENTRES
    np.testing.assert_allclose(np.linalg.norm(told.centres, axis=1), 1, atol=1e-5)
    assert told.shares.sum() == pytest.approx(1) == told.genres.sum()
    expected = [plays[songs.probabilities.argmax(axis=1) == number].sum() / plays.sum() for number in range(4)]
    np.testing.assert_allclose(told.genres, expected)
    few = taste.of(songs.where(np.arange(20)))
    assert len(few.centres) == 20


def test_a_history_adds_plays_and_counts_once_where_they_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "plays.csv").write_text("path,plays\na.mp3,2\nb.mp3,1\na.mp3,3\n")
    assert taste.history(tmp_path / "plays.csv").to_dict("list") == {"path": ["a.mp3", "b.mp3"], "plays": [5.0, 1.0]}
    (tmp_path / "bare.csv").write_text("path\na.mp3\na.mp3\nb.mp3\n")
    assert taste.history(tmp_path / "bare.csv")["plays"].tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("artist,track\nx,y\n", "no column path, but artist, track; exports of Last.fm and ListenBrainz"),
        ("path,plays\na.mp3,many\n", r"line 2: plays must be a number from 0 to 1e\+12, got 'many'"),
        ("path,plays\na.mp3,1e300\n", "line 2: plays must be a number from 0"),
        ("path,plays\na.mp3,nan\n", "line 2: plays must be a number from 0"),
        ("path,plays\none, two.mp3,3\n", "more fields than its first; put paths with commas in quotes"),
        ("path,plays\na.mp3,1\nb.mp3,-1\n", "line 3: plays must be a number"),
        ("", "is no CSV table"),
    ],
)
def test_a_history_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plays.csv").write_text(text)
    with pytest.raises(BenchError, match=said):
        taste.history(tmp_path / "plays.csv")


def test_songs_that_are_all_alike_are_one_centre() -> None:
    songs = placed(40, 0)
    same = Songs(songs.table, np.ones_like(songs.vectors), songs.probabilities, songs.classes)
    told = taste.of(same)
    assert len(told.centres) == 1
    assert told.shares.tolist() == pytest.approx([1.0])


def test_nothing_played_is_no_taste() -> None:
    songs = placed(3, 0)
    with pytest.raises(BenchError, match="no song tells a taste"):
        taste.of(songs, np.zeros(3))


def test_files_are_found_by_any_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "music" / "a").mkdir(parents=True)
    (tmp_path / "music" / "a" / "1.wav").touch()
    (tmp_path / "other").symlink_to(tmp_path / "music")
    songs = placed(1, 0)
    songs.table[["track_id", "path"]] = "a/1.wav", str(tmp_path / "music" / "a" / "1.wav")
    names = ["a/1.wav", str(tmp_path / "music/a/../a/1.wav"), "music/a/1.wav", "other/a/1.wav", "1.wav"]
    assert taste.located(songs, names, [tmp_path]).tolist() == [0, 0, 0, 0, -1]


# Lists as files


def parsed(text: str) -> list[tuple[int, str, str]]:
    """Seconds, name and place of each song, as players read them."""
    lines = [line for line in text.split("\n") if line]
    assert lines[0] == "#EXTM3U"
    return [
        (int(told.removeprefix("#EXTINF:").split(",", 1)[0]), told.split(",", 1)[1], place)
        for told, place in pairwise(lines)
        if told.startswith("#EXTINF:") and not place.startswith("#")
    ]


def listed(paths: list[Path]) -> Playlist:
    rows = [
        {
            "track_id": p.name,
            "path": str(p),
            "artist": "Änne, B",
            "album": "",
            "title": f"Lied\n#{n}\r–",
            "seconds": 61.6,
        }
        for n, p in enumerate(paths)
    ]
    return Playlist(pd.DataFrame(rows).assign(label="x", closeness=1.0, similarity=1.0, seed="s", reason="r"), 0.3)


def test_a_list_names_songs_below_it_from_there(tmp_path: Path) -> None:
    inside = [tmp_path / "music" / "a b" / "ä.mp3", tmp_path / "#1.mp3"]
    outside = [Path("/elsewhere/x.mp3"), tmp_path.parent / "y.mp3"]
    listed([*inside, *outside]).write(tmp_path / "list.m3u8")
    read = parsed((tmp_path / "list.m3u8").read_text(encoding="utf-8"))
    assert [place for *_, place in read] == ["music/a b/ä.mp3", "./#1.mp3", *map(str, outside)]
    assert [told for _, told, _ in read] == [f"Änne, B - Lied #{number} –" for number in range(4)]
    assert {seconds for seconds, *_ in read} == {62}


def test_a_list_as_json_holds_all_of_it(tmp_path: Path) -> None:
    songs = placed(30, 0)
    made = playlist.choose(songs, of(songs, 0), 5)
    made.write(tmp_path / "list.json")
    content = json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))
    assert [song["track_id"] for song in content["songs"]] == chosen(made)
    assert content["variety"] == 0.3
    assert all("title 0 (" in song["reason"] for song in content["songs"])


# Listeners


def test_divergence_is_jensen_and_shannons() -> None:
    from scipy.spatial.distance import jensenshannon

    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.dirichlet(np.full(5, 0.3), 2)
        assert listeners.divergence(first, second) == pytest.approx(jensenshannon(first, second, base=2) ** 2, abs=1e-9)
    assert listeners.divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0


def test_listeners_play_by_taste_and_popularity() -> None:
    labels: NDArray[np.int64] = np.arange(120) % 4
    crowd = listeners.draw(labels, 300)
    played = np.zeros(120)
    for one in crowd:
        assert not one.plays[one.held_out].any()
        told = np.flatnonzero(one.plays)
        assert len(told) - len(one.held_out) in (0, 1)
        assert one.taste.sum() == pytest.approx(1)
        played += one.plays
        played[one.held_out] += 1
    heard = np.array([np.bincount(labels, one.plays, 4) / one.plays.sum() for one in crowd])
    assert np.corrcoef(heard.ravel(), np.array([one.taste for one in crowd]).ravel())[0, 1] > 0.7
    assert np.sort(played)[-12:].sum() > 0.25 * played.sum(), "a tenth of the songs has a good part of the plays"
    assert not np.array_equal(listeners.draw(labels, 1, seed=1)[0].taste, crowd[0].taste)


def test_lists_of_a_model_that_hears_are_nearer_to_tastes_than_chance() -> None:
    songs = placed(200, 3, width=12, classes=4, spread=0.3)
    found = listeners.evaluate(songs, 10, (0.0, 1.0), number=40).set_index("lists")
    ours, by_chance, popular = found.loc["variety 0"], found.loc["random"], found.loc["most popular"]
    assert ours["hit rate low"] > by_chance["hit rate high"]
    assert ours["divergence high"] < min(by_chance["divergence low"], popular["divergence low"])
    assert found.loc["variety 1", "diversity"] > ours["diversity"]
    assert (found["hit rate low"] <= found["hit rate"]).all()
    deaf = Songs(songs.table, songs.vectors[::-1], songs.probabilities[::-1], songs.classes)
    worse = listeners.evaluate(deaf, 10, (0.0,), number=40).set_index("lists").loc["variety 0"]
    assert worse["divergence low"] > ours["divergence high"], "labels help no model that does not hear them"


def test_lists_that_would_hold_nearly_all_songs_are_not_evaluated() -> None:
    songs = placed(29, 0)
    with pytest.raises(BenchError, match="give a smaller --length or more songs"):
        listeners.evaluate(songs, 10)


def test_songs_without_a_label_play_no_part() -> None:
    songs = placed(60, 0)
    songs.table.loc[40:, "label"] = ""
    usual, less = (listeners.evaluate(some, 5, (0.3,), number=5) for some in (songs, songs.where(np.arange(40))))
    assert usual.equals(less)


def test_one_label_makes_no_listeners() -> None:
    with pytest.raises(BenchError, match="two artists"):
        listeners.evaluate(placed(20, 0, classes=1), 5)


# From sound to list


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve toy songs by three artists, an MP3 of the first, and all but two seconds of the last."""
    folder = tmp_path_factory.mktemp("toys")
    toy = Toy(3, 2, 2, seconds=12.0, seed=5)
    for _, row in toy.tracks().iterrows():
        path = folder / "music" / f"{row['track_id']}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = toy.read(row, RATE)
        soundfile.write(path, samples, RATE)
        if row["track_id"] == "artist-1/album-1/song-1":
            soundfile.write(folder / "music" / "copy.mp3", samples, RATE)
    soundfile.write(folder / "music" / "artist-3" / "cut.wav", samples[2 * RATE :], RATE)
    return folder


def run(model: Bundle, toys: Path, *words: object) -> int:  # noqa: F811
    arguments = ["playlist", model.path, "--library", toys / "music", *words]
    return cli.main([str(word) for word in arguments])


def test_seeds_give_a_list_without_copies(
    model: Bundle,  # noqa: F811
    toys: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "list.m3u8"
    seed = toys / "music" / "artist-1" / "album-1" / "song-1.wav"
    assert run(model, toys, "--seeds", seed, "--length", 14, "--out", out) == 0
    places = [place for *_, place in parsed(out.read_text(encoding="utf-8"))]
    assert len(places) == len(set(places)) == 11, "12 songs but the seed; neither its copy nor one song twice"
    assert not any(place.endswith(("album-1/song-1.wav", "copy.mp3")) and "artist-1" in place for place in places)
    assert not any("copy.mp3" in place for place in places)
    last = str(toys / "music" / "artist-3" / "album-2" / "song-2.wav")
    assert (last in places) != (str(toys / "music" / "artist-3" / "cut.wav") in places)
    printed = capsys.readouterr().out
    assert "14 songs are wanted, but the library has only 11" in printed
    assert re.search(r"listened to: \S+ 100% \(\d+ in the list\)", printed)
    assert str(out) in printed


def test_a_copy_that_lies_far_from_its_source_is_known_all_the_same(model: Bundle, toys: Path) -> None:  # noqa: F811
    heard = playlist.indexed(model, toys / "music")
    names = heard.table["track_id"].tolist()
    source, copy = names.index("artist-1/album-1/song-1.wav"), names.index("copy.mp3")
    vectors = np.random.default_rng(0).normal(size=heard.vectors.shape).astype(np.float32)
    vectors[copy] = -vectors[source]
    moved = Songs(heard.table, vectors, heard.probabilities, heard.classes)
    others = [place for place in range(len(names)) if place not in (source, copy)][:7]
    library = moved.where(np.array([source, copy, *others]))
    assert chosen(playlist.choose(library, of(moved, source, *others), 1)) == [], "the copy is all that is left"
    assert chosen(playlist.choose(library, of(moved, *others), 1)) != []


def test_a_seed_may_lie_elsewhere(model: Bundle, toys: Path, tmp_path: Path) -> None:  # noqa: F811
    seed = tmp_path / "mine.wav"
    shutil.copy(toys / "music" / "artist-2" / "album-1" / "song-2.wav", seed)
    assert run(model, toys, "--seeds", seed, "--length", 4, "--out", tmp_path / "list.json") == 0
    songs = json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))["songs"]
    assert len(songs) == 4
    assert {song["seed"] for song in songs} == {"mine"}
    assert "artist-2/album-1/song-2.wav" not in {song["track_id"] for song in songs}, (
        "it is the seed under another name"
    )


def test_a_history_names_what_it_does_not_find(
    model: Bundle,  # noqa: F811
    toys: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plays = tmp_path / "plays.csv"
    plays.write_text("path,plays\nartist-1/album-2/song-1.wav,3\nartist-9/lost.wav,1\n")
    assert run(model, toys, "--history", plays, "--length", 3) == 0
    printed = capsys.readouterr().out
    assert "artist-9/lost.wav is not in" in printed
    assert "1 of 2 paths are unknown" in printed
    plays.write_text("path\nnowhere.wav\n")
    assert run(model, toys, "--history", plays) == 2
    assert "none of its 1 paths is in" in capsys.readouterr().err


def test_lists_are_evaluated(
    model: Bundle,  # noqa: F811
    toys: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listeners, "LISTENERS", 20)
    assert run(model, toys, "--evaluate", "--length", 3) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("which songs the model was trained on is not known", "20 listeners", "most popular", "variety 0.6"):
        assert words in printed


def test_songs_that_the_model_knows_are_left_out_wherever_they_lie_now(
    model: Bundle,  # noqa: F811
    toys: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two are found by their paths, one by its name below another folder; a test song stays."""
    (tmp_path / "models").mkdir()
    path = Path(shutil.copy(model.path, tmp_path / "models"))
    names = [f"artist-{artist}/album-1/song-2.wav" for artist in (1, 2, 3)]
    table = pd.DataFrame({"track_id": [*names, "x"], "part": ["train", "validation", "train", "test"]})
    paths = [toys / "music" / names[0], toys / "music" / names[1], Path("/moved") / names[2]]
    table["path"] = [*map(str, paths), str(toys / "music" / "artist-1" / "album-2" / "song-1.wav")]
    Songs(table, np.zeros((4, 2), np.float32), np.zeros((4, 4), np.float32), ("a", "b", "c", "d")).save(
        tmp_path / "songs" / f"{path.stem}.parquet"
    )
    heard = playlist.indexed(model, toys / "music")
    (shelved,) = shelf.models(path)
    left = playlist._unheard(shelved, heard)
    assert set(heard.table["track_id"]) - set(left.table["track_id"]) == set(names)
    assert f"3 of {len(heard)} songs are left out" in capsys.readouterr().out


def test_a_file_here_comes_before_one_of_that_name_in_the_library(
    model: Bundle,  # noqa: F811
    toys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = Path("artist-1/album-1/song-1.wav")
    (tmp_path / name.parent).mkdir(parents=True)
    shutil.copy(toys / "music" / "artist-2" / "album-1" / "song-1.wav", tmp_path / name)
    heard = playlist.indexed(model, toys / "music")
    monkeypatch.chdir(tmp_path)
    (here,) = playlist._by_seeds(model, heard, toys / "music", [name, name]).songs.table["path"]
    assert here == str(tmp_path / name)
    monkeypatch.chdir("/")
    (there,) = playlist._by_seeds(model, heard, toys / "music", [name]).songs.table["path"]
    assert there == str(toys / "music" / name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "nowhere.wav"], "nowhere.wav: cannot be opened"),
        (["--history", "nowhere.csv"], "nowhere.csv"),
        (["--evaluate", "--variety", "2"], "variety must be from 0"),
        (["--evaluate", "--length", "0"], "length must be at least 1"),
        (["--seeds", "x.wav", "--out", "list.txt"], "--out list.txt: its name must end in .m3u8"),
        (["--seeds", "x.wav", "--out", "/dev/null/list.json"], "--out /dev/null/list.json: cannot be written there"),
    ],
)
def test_mistakes_are_told_in_a_line(
    model: Bundle,  # noqa: F811
    toys: Path,
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(model, toys, *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
