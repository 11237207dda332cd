"""Datasets of files: what they list, and what they refuse."""

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from crnn_bench import catalogue, feature_store, splitting
from crnn_bench.audio import UnusableAudioError
from crnn_bench.datasets import Dataset, fma, gtzan
from crnn_bench.datasets.artist20 import ARTISTS, N_TRACKS, Artist20
from crnn_bench.datasets.fma import Fma
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.gtzan import GENRES, Gtzan
from crnn_bench.datasets.libri_speech import LibriSpeech
from crnn_bench.datasets.manifest import Manifest
from crnn_bench.datasets.million_song import MillionSong
from crnn_bench.datasets.vox_celeb import VoxCeleb
from crnn_bench.engines.local import Local
from crnn_bench.errors import BenchError
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.records import TRACK_COLUMNS, Catalogue
from crnn_bench.splits.official_split import OfficialSplit
from tests.conftest import RATE, tones


def touch(root: Path, *names: str) -> Path:
    """Makes files that a listing can see; it does not read them."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return root


def row(table: pd.DataFrame, track: str) -> dict[str, str]:
    (found,) = table[table["track_id"] == track].to_dict("records")
    return {str(name): value for name, value in found.items()}


# Folder


def test_a_folder_with_albums(music: Path) -> None:
    table = Folder(str(music)).tracks()
    assert len(table) == 36
    assert set(TRACK_COLUMNS) <= set(table)
    song = row(table, "Birch/Birch 1/song 2.wav")
    assert song["label"] == song["artist"] == "Birch"
    assert song["album"] == "Birch 1"
    assert song["title"] == "song 2"
    assert Path(song["path"]) == music / "Birch" / "Birch 1" / "song 2.wav"


def test_a_folder_without_albums(tmp_path: Path) -> None:
    table = Folder(str(touch(tmp_path, "A/one.mp3", "B/two.flac", "B/disc/three.ogg"))).tracks()
    assert row(table, "A/one.mp3")["album"] == ""
    assert row(table, "B/disc/three.ogg")["album"] == "disc"
    assert set(table["label"]) == {"A", "B"}


def test_the_discs_of_an_album_are_one_production(tmp_path: Path) -> None:
    table = Folder(str(touch(tmp_path, "A/album/disc 1/one.mp3", "A/album/disc 2/one.mp3"))).tracks()
    assert sorted(table["album"]) == ["album", "album"]
    assert table["track_id"].is_unique


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "album/one.mp3")
    root = touch(tmp_path / "music", "B/two.mp3")
    (root / "A").symlink_to(tmp_path / "elsewhere")
    (root / "A" / "album" / "again").symlink_to(root)
    (root / "B" / "gone.mp3").symlink_to(tmp_path / "nowhere.mp3")
    table = Folder(str(root)).tracks()
    assert sorted(table["track_id"]) == ["A/album/one.mp3", "B/gone.mp3", "B/two.mp3"]
    assert row(table, "B/gone.mp3")["fingerprint"] == "missing"


def test_a_folder_takes_audio_alone(tmp_path: Path) -> None:
    names = ["A/a.WAV", "A/b.Mp3", "A/c.ogg", "A/d.flac", "A/cover.jpg", "A/notes.txt", "A/._a.wav", ".trash/x.wav"]
    table = Folder(str(touch(tmp_path, *names, "loose.wav"))).tracks()
    assert sorted(table["track_id"]) == ["A/a.WAV", "A/b.Mp3", "A/c.ogg", "A/d.flac"]


def test_a_folder_named_like_a_song_is_no_song(tmp_path: Path) -> None:
    table = Folder(str(touch(tmp_path, "A/live.mp3/one.mp3", "B/two.mp3"))).tracks()
    assert sorted(table["track_id"]) == ["A/live.mp3/one.mp3", "B/two.mp3"]


def test_some_artists_of_a_folder(music: Path) -> None:
    table = Folder(str(music), artists=["Alder", "Cedar"]).tracks()
    assert set(table["artist"]) == {"Alder", "Cedar"}
    assert len(table) == 18
    with pytest.raises(BenchError, match=r"no artist folder 'Ceder' .* there are Alder, Birch, Cedar, Dogwood"):
        Folder(str(music), artists=["Ceder"]).tracks()


def test_a_folder_is_named_by_its_last_part_and_knows_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "my music", "A/one.mp3", "B/two.mp3")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Folder("~/my music").name == "my music"
    assert len(Folder("~/my music").tracks()) == 2
    monkeypatch.chdir(tmp_path / "my music")
    assert Folder(".").name == "my music"


def test_a_folder_that_is_missing_empty_or_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=f"no folder {tmp_path / 'nowhere'}"):
        Folder(str(tmp_path / "nowhere")).tracks()
    with pytest.raises(BenchError, match=f"no audio in {tmp_path}: expected artist/album/song"):
        Folder(str(tmp_path)).tracks()
    touch(tmp_path, "A/one.mp3")
    with pytest.raises(BenchError, match="no folder"):
        Folder(str(tmp_path / "A" / "one.mp3")).tracks()


def test_the_fingerprint_follows_the_file(tmp_path: Path) -> None:
    root = touch(tmp_path, "A/one.wav", "B/two.wav")
    before = Folder(str(root)).tracks().set_index("track_id")["fingerprint"]
    os.utime(root / "A/one.wav", ns=(10, 10))
    (root / "B/two.wav").write_bytes(b"longer")
    after = Folder(str(root)).tracks().set_index("track_id")["fingerprint"]
    assert (before != after).all()
    assert (after == Folder(str(root)).tracks().set_index("track_id")["fingerprint"]).all()


def test_the_listing_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    names = [f"{artist}/{album}/{song}.mp3" for artist in "BAC" for album in "yx" for song in "321"]
    listings = []
    for folder, order in (("one", names), ("two", sorted(names))):
        table = catalogue.listing(Folder(str(touch(tmp_path / folder, *order))))
        listings.append(table[["track_id", "label", "artist", "album", "title"]])
    pd.testing.assert_frame_equal(*listings)
    assert list(listings[0]["track_id"]) == sorted(names)


def test_reading_mixes_to_mono_and_resamples(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    left, right = tones(0, 0, 0, rate=44100), tones(1, 0, 0, rate=44100)
    soundfile.write(tmp_path / "A" / "one.flac", pd.DataFrame({"l": left, "r": right}).to_numpy(), 44100)
    folder = Folder(str(tmp_path))
    samples = folder.read(folder.tracks().iloc[0], RATE)
    assert samples.shape == (4 * RATE,)
    soundfile.write(tmp_path / "A" / "two.wav", (left + right) / 2, 44100, subtype="FLOAT")
    mono = folder.read(pd.Series({"path": str(tmp_path / "A" / "two.wav")}), RATE)
    assert abs(samples - mono).max() < 1e-4


# artist20


@pytest.fixture
def artist20(tmp_path: Path) -> Path:
    """20 artists × 6 albums, 1,413 files, none with any music in it."""
    albums = [f"{artist}/album {album}" for artist in ARTISTS for album in range(6)]
    return touch(tmp_path, *(f"{albums[song % 120]}/{song:04d}.mp3" for song in range(N_TRACKS)))


def test_the_whole_artist20(artist20: Path) -> None:
    table = Artist20(str(artist20)).tracks()
    assert len(table) == 1413
    assert table["artist"].nunique() == 20
    assert (table.groupby("artist")["album"].nunique() == 6).all()


def remove(folder: Path) -> None:
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    folder.rmdir()


def test_artist20_says_which_album_is_missing(artist20: Path) -> None:
    remove(artist20 / "cure" / "album 2")
    remove(artist20 / "metallica" / "album 0")
    remove(artist20 / "metallica" / "album 5")
    with pytest.raises(BenchError) as caught:
        Artist20(str(artist20)).tracks()
    message = str(caught.value)
    assert str(artist20) in message
    assert "cure has 5 of 6 albums" in message
    assert "metallica has 4 of 6 albums" in message
    assert "queen" not in message
    assert "use Folder" in message


def test_artist20_says_which_artist_is_missing(artist20: Path) -> None:
    remove(artist20 / "queen")
    touch(artist20, "abba/album/song.mp3")
    with pytest.raises(BenchError) as caught:
        Artist20(str(artist20)).tracks()
    assert "queen is missing; abba is none of it; abba has 1 of 6 albums" in str(caught.value)
    assert "prince" not in str(caught.value)


def test_artist20_counts_its_tracks(artist20: Path) -> None:
    (artist20 / "aerosmith" / "album 0" / "0000.mp3").unlink()
    with pytest.raises(BenchError, match="1412 of 1413 tracks"):
        Artist20(str(artist20)).tracks()
    touch(artist20, "aerosmith/album 0/0000.mp3", "aerosmith/album 0/more.mp3")
    with pytest.raises(BenchError, match="1414 of 1413 tracks"):
        Artist20(str(artist20)).tracks()


# Manifest


def manifest(folder: Path, text: str) -> Manifest:
    (folder / "list.csv").write_text(text)
    return Manifest(str(folder / "list.csv"))


def test_a_manifest_of_paths_and_labels(tmp_path: Path) -> None:
    touch(tmp_path, "x/one.mp3", "two.wav")
    dataset = manifest(tmp_path, "path,label\nx/one.mp3,jazz\ntwo.wav,rock\n")
    table = catalogue.listing(dataset)
    assert dataset.name == "list"
    assert list(table["track_id"]) == ["two.wav", "x/one.mp3"]
    song = row(table, "x/one.mp3")
    assert song["label"] == song["artist"] == "jazz"
    assert song["album"] == ""
    assert song["title"] == "one"
    assert Path(song["path"]) == tmp_path / "x" / "one.mp3"


def test_a_manifest_with_all_columns_in_any_order(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp3", "2.mp3")
    text = "title,album,artist,label,path,year\nSong,Disc,Band,rock,1.mp3,1990\n,,,jazz,2.mp3,\n"
    table = manifest(tmp_path, text).tracks()
    first, second = row(table, "1.mp3"), row(table, "2.mp3")
    assert [first[name] for name in ("label", "artist", "album", "title")] == ["rock", "Band", "Disc", "Song"]
    assert [second[name] for name in ("label", "artist", "album", "title")] == ["jazz", "jazz", "", "2"]


def test_labels_that_look_like_numbers_or_nothing_stay_words(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp3", "2.mp3", "3.mp3")
    table = manifest(tmp_path, "path,label\n1.mp3,007\n2.mp3,NA\n3.mp3,null\n").tracks()
    assert list(table["label"]) == ["007", "NA", "null"]


def test_a_manifests_root_may_be_elsewhere(tmp_path: Path) -> None:
    touch(tmp_path / "music", "a.mp3", "b.mp3")
    (tmp_path / "list.csv").write_text("path,label\na.mp3,x\nb.mp3,y\n")
    table = Manifest(str(tmp_path / "list.csv"), root=str(tmp_path / "music")).tracks()
    assert Path(row(table, "a.mp3")["path"]) == tmp_path / "music" / "a.mp3"
    absolute = manifest(tmp_path, f"path,label\n{tmp_path}/music/a.mp3,x\n{tmp_path}/music/b.mp3,y\n").tracks()
    assert Path(absolute["path"].iloc[0]) == tmp_path / "music" / "a.mp3"


def test_a_missing_file_is_listed_so_that_it_can_be_named_later(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3")
    table = manifest(tmp_path, "path,label\na.mp3,x\ngone.mp3,y\n").tracks()
    assert row(table, "gone.mp3")["fingerprint"] == "missing"
    touch(tmp_path, "gone.mp3")
    assert row(Manifest(str(tmp_path / "list.csv")).tracks(), "gone.mp3")["fingerprint"] != "missing"


def test_one_file_written_in_two_ways_is_one_track(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp3", "b.mp3")
    table = manifest(tmp_path, f"path,label\nx/a.mp3,p\n./x/a.mp3,p\nx/../x/a.mp3,p\n{tmp_path}/x/a.mp3,p\nb.mp3,q\n")
    assert set(catalogue.listing(table)["track_id"]) == {"x/a.mp3", "b.mp3"}


def test_one_file_with_two_labels_is_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3", "b.mp3")
    with pytest.raises(BenchError, match=r"a\.mp3 is listed with the labels x and y"):
        catalogue.listing(manifest(tmp_path, "path,label\na.mp3,y\nb.mp3,z\na.mp3,x\n"))
    with pytest.raises(BenchError, match=r"a\.mp3 is listed with the labels x and y"):
        catalogue.listing(manifest(tmp_path, "path,label\na.mp3,y\nb.mp3,z\n./a.mp3,x\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.mp3,x\n", "no column 'path'"),
        ("path,artist\na.mp3,x\n", "no column 'label'"),
        ("path,label\na.mp3,x\na.mp3,\n", "line 3: empty label"),
        ("path,label\n ,x\n", "line 2: empty path"),
        ("path,label\n", "no rows"),
        ("", "not a readable CSV"),
        ('path,label\n"a.mp3,x\n', "not a readable CSV"),
        ("path,label\nThem, again.mp3,x\n", "quote a name that holds a comma"),
        ("path,label\na.mp3,x\nThem, again.mp3,x\n", "not a readable CSV"),
        ("path,label\nno/such.mp3,x\n", "none of its 1 files"),
    ],
)
def test_a_faulty_manifest_is_named(tmp_path: Path, text: str, said: str) -> None:
    touch(tmp_path, "a.mp3")
    with pytest.raises(BenchError) as caught:
        manifest(tmp_path, text).tracks()
    assert str(tmp_path / "list.csv") in str(caught.value)
    assert said in str(caught.value)


def test_a_manifest_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=f"no manifest {tmp_path / 'list.csv'}"):
        Manifest(str(tmp_path / "list.csv")).tracks()
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe\x80,x\n")
    with pytest.raises(BenchError, match="not a readable CSV"):
        Manifest(str(tmp_path / "list.csv")).tracks()


# GTZAN


def gtzan_clips(root: Path, clips: int = 100, ending: str = ".au") -> Path:
    return touch(root, *(f"{genre}/{genre}.{clip:05d}{ending}" for genre in GENRES for clip in range(clips)))


@pytest.mark.parametrize("place", ["genres", "genres_original", "Data/genres_original", "."])
def test_gtzan_wherever_a_mirror_puts_it(tmp_path: Path, place: str) -> None:
    gtzan_clips(tmp_path / place, ending=".wav")
    table = catalogue.listing(Gtzan(str(tmp_path)))
    assert len(table) == 1000
    assert table["label"].value_counts().to_dict() == dict.fromkeys(GENRES, 100)
    song = row(table, "blues/blues.00012.wav")
    assert [song[name] for name in ("label", "artist", "album", "title")] == [
        "blues", "Robert Johnson", "", "Cross Road Blues",
    ]  # fmt: skip
    assert Path(song["path"]) == tmp_path / place / "blues" / "blues.00012.wav"
    assert song["official"] == ""


def test_gtzan_as_it_was_published(tmp_path: Path) -> None:
    table = Gtzan(str(gtzan_clips(tmp_path / "genres"))).tracks()
    assert row(table, "metal/metal.00011.au")["artist"] == ""
    assert (table["artist"] == "").sum() == 81
    assert set(table.loc[table["artist"] == "Queen", "label"]) == {"metal", "rock"}


def test_a_part_of_gtzan_goes_on_with_a_word(tmp_path: Path) -> None:
    gtzan_clips(tmp_path / "genres")
    (tmp_path / "genres" / "jazz" / "jazz.00054.au").unlink()
    touch(tmp_path / "genres", "rock/rock.00100.au", "rock/._rock.00000.au", "rock/rock.00000.txt", ".cache/x.au")
    table = Gtzan(str(tmp_path)).tracks()
    assert catalogue.listing(Gtzan(str(tmp_path))).attrs["remark"] == "not 100 clips a genre: jazz has 99, rock has 101"
    new = row(table, "rock/rock.00100.au")
    assert (new["artist"], new["title"]) == ("", "")


def test_other_genres_than_gtzans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=rf"no GTZAN in {tmp_path}: expected genres/ or genres_original/ with blues"):
        Gtzan(str(tmp_path)).tracks()
    with pytest.raises(BenchError, match="no folder"):
        Gtzan(str(tmp_path / "nowhere")).tracks()
    gtzan_clips(tmp_path / "genres", clips=1)
    (tmp_path / "genres" / "hiphop").rename(tmp_path / "genres" / "hip-hop")
    with pytest.raises(BenchError, match=r"genres does not hold .*: hiphop is missing; hip-hop is none of it$"):
        Gtzan(str(tmp_path)).tracks()
    (tmp_path / "genres" / "hip-hop").rename(tmp_path / "genres" / "hiphop")
    (tmp_path / "genres" / "hiphop" / "hiphop.00000.au").unlink()
    with pytest.raises(BenchError, match=r"genres: no clips of hiphop$"):
        Gtzan(str(tmp_path)).tracks()


def test_the_index_of_gtzan_names_every_clip() -> None:
    index = gtzan.index()
    assert list(index.columns) == ["artist", "title"]
    assert sorted(index.index) == [f"{genre}.{clip:05d}" for genre in GENRES for clip in range(100)]
    assert index.map(lambda text: text == " ".join(text.split())).all(axis=None)
    spellings = index.loc[index["artist"] != "", "artist"].drop_duplicates()
    plain = spellings.str.casefold().str.replace(" and ", " & ").str.replace(r"[^\w&]", "", regex=True)
    assert plain.is_unique, "one artist, one spelling"
    comments = gtzan.INDEX.read_text().splitlines()[:3]
    assert all(line.startswith("# ") for line in comments)
    assert "Sturm" in comments[1]


def extracted(dataset: Dataset, root: Path) -> Catalogue:
    """The catalogue after extraction in this process."""
    tracks, feature = catalogue.listing(dataset), Mfcc()
    list(feature_store.extract(dataset, tracks, [feature], root, Local()))
    return catalogue.build(tracks, feature_store.FeatureStore(root, feature).lookup(tracks), min_seconds=1.0)


def test_the_clip_that_cannot_be_decoded_is_left_out_by_name(tmp_path: Path) -> None:
    root = tmp_path / "Data" / "genres_original"
    for genre in GENRES:
        (root / genre).mkdir(parents=True)
        soundfile.write(root / genre / f"{genre}.00053.wav", tones(GENRES.index(genre), 0, 0, 1.5), RATE)
    (root / "jazz" / "jazz.00054.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    made = extracted(Gtzan(str(tmp_path)), tmp_path / "store")
    assert made.rejected["track_id"].tolist() == ["jazz/jazz.00054.wav"]
    assert "cannot be decoded" in made.rejected["reason"].iloc[0]
    assert made.classes == GENRES


# FMA

FMA_HEADING = {
    "album": "comments,date_created,date_released,engineer,favorites,id,information,listens,producer,tags,title,tracks,"
    "type",
    "artist": "active_year_begin,active_year_end,associated_labels,bio,comments,date_created,favorites,id,latitude,"
    "location,longitude,members,name,related_projects,tags,website,wikipedia_page",
    "set": "split,subset",
    "track": "bit_rate,comments,composer,date_created,date_recorded,duration,favorites,genre_top,genres,genres_all,"
    "information,interest,language_code,license,listens,lyricist,number,publisher,tags,title",
}


def fma_metadata(root: Path, songs: Sequence[dict[str, Any]]) -> Path:
    """Writes `tracks.csv` with the three header lines and the 52 columns that were published."""
    pairs = [(top, name) for top, names in FMA_HEADING.items() for name in names.split(",")]
    path = root / "fma_metadata" / "tracks.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *(top for top, _ in pairs)])
        writer.writerow(["", *(name for _, name in pairs)])
        writer.writerow(["track_id", *[""] * len(pairs)])
        for song in songs:
            cells = {("artist", "bio"): "<p>Two lines,\nand a comma</p>", ("track", "title"): "NA"} | song["cells"]
            writer.writerow([song["number"], *(cells.get(pair, "") for pair in pairs)])
    return path


def fma_song(number: int, genre: str, split: str = "training", subset: str = "small", **more: Any) -> dict[str, Any]:
    known = {"artist": "AWOL", "artist_id": "1", "album": "A Way of Life", "album_id": "1", "duration": "168"} | more
    cells = {fma.COLUMNS[name]: value for name, value in known.items()}
    cells |= {("track", "genre_top"): genre, ("set", "split"): split, ("set", "subset"): subset}
    return {"number": number, "cells": cells}


def small_fma(root: Path) -> Path:
    songs = [
        fma_song(2, "Hip-Hop"),
        fma_song(5, "Hip-Hop", "validation", artist="Abc", artist_id="2"),
        fma_song(140, "Folk", "test", artist="Abc", artist_id="54", album="", album_id="-1", title="Café, tonight"),
        fma_song(123456, "Folk", artist_id="7"),
        fma_song(200, "Folk", subset="medium"),
        fma_song(300, "", subset="large"),
        fma_song(301, "Jazz", subset="large"),
    ]
    fma_metadata(root, songs)
    return touch(root, "fma_small/000/000002.mp3", "fma_small/000/000005.mp3", "fma_small/123/123456.mp3")


def test_the_small_fma(tmp_path: Path) -> None:
    dataset = Fma(str(small_fma(tmp_path)))
    table = catalogue.listing(dataset)
    assert dataset.name == "fma_small"
    assert list(table["track_id"]) == ["000/000002.mp3", "000/000005.mp3", "000/000140.mp3", "123/123456.mp3"]
    first, last = row(table, "000/000002.mp3"), row(table, "000/000140.mp3")
    assert [first[name] for name in ("label", "artist", "album", "title", "official")] == [
        "Hip-Hop", "AWOL (1)", "A Way of Life (1)", "NA", "train",
    ]  # fmt: skip
    assert [last[name] for name in ("label", "artist", "album", "title", "official")] == [
        "Folk", "Abc (54)", "", "Café, tonight", "test",
    ]  # fmt: skip
    assert Path(first["path"]) == tmp_path / "fma_small" / "000" / "000002.mp3"
    assert row(table, "000/000005.mp3")["official"] == "validation"
    assert row(table, "000/000005.mp3")["artist"] != last["artist"], "two artists share the name"
    assert last["fingerprint"] == "missing", "so that extraction names it"


def test_each_subset_of_fma_holds_the_smaller_ones(tmp_path: Path) -> None:
    small_fma(tmp_path)
    path = tmp_path / "fma_metadata" / "tracks.csv"
    numbers = {subset: fma.read_metadata(path, subset).index.tolist() for subset in fma.SUBSETS}
    assert numbers["small"] == [2, 5, 140, 123456]
    assert sorted(numbers["medium"]) == [2, 5, 140, 200, 123456]
    assert sorted(numbers["large"]) == [2, 5, 140, 200, 301, 123456], "track 300 has no genre"
    table = fma.read_metadata(path, "small")
    assert list(table.columns) == ["label", "artist", "album", "title", "official", "duration"]
    assert table.loc[2, "duration"] == 168.0
    touch(tmp_path, "fma_large/000/000301.mp3")
    large = Fma(str(tmp_path), subset="large")
    assert large.name == "fma_large"
    assert row(large.tracks(), "000/000301.mp3")["label"] == "Jazz"


def test_truncated_clips_of_fma_are_left_out_by_name(tmp_path: Path) -> None:
    songs = [fma_song(1, "Folk"), fma_song(2, "Rock", "test"), fma_song(3, "Rock", duration="4")]
    fma_metadata(tmp_path, [*songs, fma_song(4, "Rock", "validation"), fma_song(5, "Folk")])
    (tmp_path / "fma_small" / "000").mkdir(parents=True)
    for number, seconds in [(1, 30.0), (2, 1.6), (3, 3.5), (4, 29.5)]:
        file = tmp_path / "fma_small" / "000" / f"{number:06d}.mp3"
        soundfile.write(file, tones(number, 0, 0, seconds), RATE)
    dataset = Fma(str(tmp_path))
    made = extracted(dataset, tmp_path / "store")
    assert dict(made.rejected[["track_id", "reason"]].to_numpy().tolist()) == {
        "000/000002.mp3": "truncated: 1.6 s of 30 s",
        "000/000005.mp3": "cannot be opened",
    }
    assert made.table["track_id"].tolist() == ["000/000001.mp3", "000/000003.mp3", "000/000004.mp3"]
    with pytest.raises(UnusableAudioError, match=r"^truncated: 1\.6 s of 30 s$"):
        dataset.read(dataset.tracks().set_index("track_id", drop=False).loc["000/000002.mp3"], 8000)


def test_the_official_split_of_fma(tmp_path: Path) -> None:
    splits = ["training", "training", "validation", "test"]
    fma_metadata(tmp_path, [fma_song(n, "Folk" if n < 5 else "Rock", splits[n % 4]) for n in range(1, 9)])
    touch(tmp_path, "fma_small/000/000001.mp3")
    tracks = catalogue.listing(Fma(str(tmp_path)))
    findings = tracks[["track_id"]].assign(seconds=30.0, content="", reason="", n_frames=900)
    split = splitting.split(catalogue.build(tracks, findings, 1.0), OfficialSplit(), 0)
    assert split.test == ("000/000003.mp3", "000/000007.mp3")
    assert split.validation == ("000/000002.mp3", "000/000006.mp3")


def test_an_fma_that_is_not_whole_is_named(tmp_path: Path) -> None:
    metadata = tmp_path / "fma_metadata" / "tracks.csv"
    with pytest.raises(BenchError, match=rf"no {metadata}; unzip fma_metadata\.zip there"):
        Fma(str(tmp_path)).tracks()
    fma_metadata(tmp_path, [fma_song(2, "Folk"), fma_song(3, "Rock", subset="medium")])
    with pytest.raises(BenchError, match=rf"no audio in {tmp_path}/fma_small: expected .*unzip fma_small\.zip"):
        Fma(str(tmp_path)).tracks()
    with pytest.raises(BenchError, match=r"no audio in .*fma_medium.* unzip fma_medium\.zip"):
        Fma(str(tmp_path), subset="medium").tracks()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not FMA's tracks.csv"),
        ("track_id,genre\n2,Folk\n", "no column ('track', 'genre_top')"),
        ("track_id\n", "no column ('track', 'genre_top')"),
        ("HEADING\nx,y\n", "not FMA's tracks.csv"),
        ("HEADING\n", "not FMA's tracks.csv"),
    ],
)
def test_another_csv_than_fmas_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = fma_metadata(tmp_path, [])
    path.write_text(text.replace("HEADING\n", path.read_text()))
    with pytest.raises(BenchError) as caught:
        Fma(str(tmp_path)).tracks()
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


# Speakers


def test_librispeech(tmp_path: Path) -> None:
    root = tmp_path / "LibriSpeech"
    touch(root, "SPEAKERS.TXT", "train-clean-100/103/1240/103-1240.trans.txt", "test-clean/61/70968/61-70968-0000.flac")
    for chapter, utterance in [("1240", "0000"), ("1240", "0001"), ("1241", "0000")]:
        file = root / "train-clean-100" / "103" / chapter / f"103-{chapter}-{utterance}.flac"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, tones(0, int(chapter), int(utterance), 1.0), RATE)
    dataset = LibriSpeech(str(tmp_path))
    table = catalogue.listing(dataset)
    assert dataset.name == "LibriSpeech-train-clean-100"
    assert len(table) == 3
    spoken = row(table, "train-clean-100/103/1240/103-1240-0001.flac")
    assert [spoken[name] for name in ("label", "artist", "album", "title")] == ["103", "103", "1240", "103-1240-0001"]
    assert dataset.read(table.iloc[0], RATE).shape == (RATE,)
    pd.testing.assert_frame_equal(table, catalogue.listing(LibriSpeech(str(root))))
    assert LibriSpeech(str(root), "test-clean").tracks()["label"].tolist() == ["61"]


def test_a_librispeech_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no folder .*train-clean-100; there are none in"):
        LibriSpeech(str(tmp_path / "nowhere")).tracks()
    touch(tmp_path, "LibriSpeech/dev-clean/84/notes.txt")
    with pytest.raises(BenchError, match=r"no folder .*LibriSpeech/train-clean-100; there are dev-clean in"):
        LibriSpeech(str(tmp_path)).tracks()
    with pytest.raises(BenchError, match=r"no audio in .*dev-clean: expected speaker/chapter/"):
        LibriSpeech(str(tmp_path), "dev-clean").tracks()


@pytest.mark.parametrize("place", ["wav", "dev/wav", "vox1/dev/wav", "."])
def test_voxceleb_wherever_it_was_unpacked(tmp_path: Path, place: str) -> None:
    file = tmp_path / place / "id10001" / "1zcIwhmdeo4" / "00001.wav"
    file.parent.mkdir(parents=True)
    soundfile.write(file, tones(0, 0, 0, 1.0), RATE)
    touch(tmp_path / place, "id10002/xyz/00001.wav", "id10002/xyz/._00001.wav", "id10002/loose.wav", "music/a/b.wav")
    dataset = VoxCeleb(str(tmp_path))
    table = catalogue.listing(dataset)
    assert list(table["track_id"]) == ["id10001/1zcIwhmdeo4/00001.wav", "id10002/xyz/00001.wav"]
    spoken = row(table, "id10001/1zcIwhmdeo4/00001.wav")
    assert [spoken[name] for name in ("label", "artist", "album")] == ["id10001", "id10001", "1zcIwhmdeo4"]
    assert Path(spoken["path"]).resolve() == file.resolve()
    assert dataset.read(table.iloc[0], RATE).shape == (RATE,)


def test_a_voxceleb_without_readable_audio_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no folder"):
        VoxCeleb(str(tmp_path / "nowhere")).tracks()
    with pytest.raises(BenchError, match=rf"no VoxCeleb in {tmp_path}: expected idNNNNN/video/00001\.wav"):
        VoxCeleb(str(tmp_path)).tracks()
    touch(tmp_path, "dev/aac/id00012/21Uxsk56VDQ/00001.m4a")
    with pytest.raises(BenchError, match=r"holds \.m4a files alone.* convert them to \.wav"):
        VoxCeleb(str(tmp_path)).tracks()


# The Million Song Dataset


def summary(path: Path) -> Path:
    """Writes the tables of a summary file, fixed-width bytes as there."""
    import h5py

    text = "S1024"
    songs = np.array(
        [
            (b"", 0.3, b"ARA", "Sigur Rós".encode(), b"Takk...", b"SOA", "Hoppípolla".encode()),
            (b"", 0.2, b"ARA", "Sigur Rós".encode(), b"Valtari", b"SOB", b"Ekki"),
            (b"", 0.1, b"ARB", b"The Box Tops", b"Dimensions", b"SOC", b"Soul Deep"),
        ],
        dtype=[("analyzer_version", "S32"), ("artist_familiarity", "f8"), ("artist_id", "S32"), ("artist_name", text),
               ("release", text), ("song_id", "S32"), ("title", text)],
    )  # fmt: skip
    ids = np.array(
        [(22050, b"TRA"), (22050, b"TRB"), (22050, b"TRC")], [("analysis_sample_rate", "i4"), ("track_id", "S32")]
    )
    with h5py.File(path, "w") as file:
        file["metadata/songs"] = songs
        file["analysis/songs"] = ids
    return path


def million(folder: Path, text: str) -> MillionSong:
    (folder / "list.csv").write_text(text)
    return MillionSong(str(summary(folder / "summary.h5")), str(folder / "list.csv"))


def test_the_million_song_dataset_with_ones_own_audio(tmp_path: Path) -> None:
    touch(tmp_path, "x/deep.mp3", "hoppipolla.mp3")
    dataset = million(tmp_path, "track_id,path\nTRC, x/deep.mp3\nTRA,hoppipolla.mp3\nTRB,gone.mp3\n")
    table = catalogue.listing(dataset)
    assert list(table["track_id"]) == ["TRA", "TRB", "TRC"]
    first = row(table, "TRA")
    assert [first[name] for name in ("label", "artist", "album", "title")] == [
        "Sigur Rós", "Sigur Rós", "Takk...", "Hoppípolla",
    ]  # fmt: skip
    assert Path(row(table, "TRC")["path"]) == tmp_path / "x" / "deep.mp3"
    assert row(table, "TRC")["album"] == "Dimensions"
    assert row(table, "TRB")["fingerprint"] == "missing"
    elsewhere = MillionSong(dataset.summary, dataset.manifest, root=str(touch(tmp_path / "music", "gone.mp3")))
    assert row(elsewhere.tracks(), "TRB")["fingerprint"] != "missing"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("track_id,path\nTRA,a.mp3\nTRX,b.mp3\nTRY,c.mp3\n", "TRX, TRY: not in "),
        ("track_id,path\n" + "".join(f"TRX{n},a.mp3\n" for n in range(7)), "TRX4 and 2 more: not in "),
        ("path,label\na.mp3,x\n", "no column 'track_id'; expected track_id,path"),
        ("track_id,path\nTRA,\n", "line 2: empty path"),
        ("track_id,path\n", "no rows"),
        ("", "not a readable CSV"),
        ("track_id,path\nTRA,b.mp3\n", "none of its 1 files"),
    ],
)
def test_a_faulty_list_of_million_songs_is_named(tmp_path: Path, text: str, said: str) -> None:
    touch(tmp_path, "a.mp3")
    with pytest.raises(BenchError) as caught:
        million(tmp_path, text).tracks()
    assert str(tmp_path / "list.csv") in str(caught.value)
    assert said in str(caught.value)


def test_a_summary_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    dataset = million(touch(tmp_path, "a.mp3"), "track_id,path\nTRA,a.mp3\n")
    path = tmp_path / "summary.h5"
    with h5py.File(path, "w") as file:
        file["metadata/songs"] = np.zeros(3)
    with pytest.raises(BenchError, match=rf"{path}: no summary file of the Million Song Dataset"):
        dataset.tracks()
    path.write_text("no HDF5")
    with pytest.raises(BenchError, match=rf"{path}: no summary file of the Million Song Dataset"):
        dataset.tracks()
    path.unlink()
    with pytest.raises(BenchError, match=f"no summary file {path}"):
        dataset.tracks()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BenchError, match=r"pip install crnn-bench\[millionsong\]"):
        dataset.tracks()


# Any dataset


def test_a_dataset_that_forgets_a_column_is_told(tmp_path: Path) -> None:
    class Forgetful(Folder):
        def tracks(self) -> pd.DataFrame:
            return super().tracks().drop(columns="title")

    with pytest.raises(BenchError, match=r"Forgetful\.tracks\(\) gives no column 'title'"):
        catalogue.listing(Forgetful(str(touch(tmp_path, "A/a.mp3", "B/b.mp3"))))
