"""Datasets of files: what they list, and what they refuse."""

import os
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from crnn_bench import catalogue
from crnn_bench.datasets.artist20 import ARTISTS, N_TRACKS, Artist20
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.manifest import Manifest
from crnn_bench.errors import BenchError
from crnn_bench.records import TRACK_COLUMNS
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


# Any dataset


def test_a_dataset_that_forgets_a_column_is_told(tmp_path: Path) -> None:
    class Forgetful(Folder):
        def tracks(self) -> pd.DataFrame:
            return super().tracks().drop(columns="title")

    with pytest.raises(BenchError, match=r"Forgetful\.tracks\(\) gives no column 'title'"):
        catalogue.listing(Forgetful(str(touch(tmp_path, "A/a.mp3", "B/b.mp3"))))
