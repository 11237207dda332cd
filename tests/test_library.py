"""The index of a music folder: what is heard, when it is heard again, and what is said of the songs."""

import contextlib
import io
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from crnn_bench import bundles, experiment, listening, songs
from crnn_bench.app import copies, library, tags
from crnn_bench.bundles import Bundle
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.toy import Toy
from crnn_bench.errors import BenchError
from tests.conftest import ARTISTS, RATE, tones, write_music
from tests.test_experiment import planned_cells, write_yaml


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Bundle:
    """An SVM on slices of a second."""
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        (planned,) = planned_cells(write_yaml(folder / "tiny.yaml", music, "[MfccSVM]"), "clip_seconds=1")
        result, made = experiment.run(planned, folder, lambda _: None)
    return bundles.load(experiment._save(planned, result, made, {"validation/song/f1": 0.5}, folder))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six songs, few enough to be heard in this process, and a cache of the test's own."""
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path / "cache"))
    return write_music(tmp_path / "songs", artists=3, albums=2, songs=1, seconds=2.5)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are heard from now on, in their order."""
    names: list[str] = []
    listen = listening.listen

    def noting(bundle: Bundle, path: Path) -> listening.Timeline:
        names.append(path.name)
        return listen(bundle, path)

    monkeypatch.setattr(listening, "listen", noting)
    return names


def silent(share: float, words: str) -> None:
    """Hears progress and does nothing."""


def test_a_song_is_the_mean_of_its_slices(model: Bundle, folder: Path) -> None:
    indexed = library.index(model, folder, silent)
    dataset = Folder(str(folder)).tracks().sort_values("track_id", ignore_index=True)
    for name in ("track_id", "path", "label", "artist", "album", "title"):
        assert indexed.table[name].tolist() == dataset[name].tolist(), name
    assert indexed.table["seconds"].tolist() == [2.5] * 6
    assert indexed.classes == ARTISTS
    for place, path in enumerate(indexed.table["path"]):
        timeline = listening.listen(model, Path(path))
        assert len(timeline.vectors) > 1
        np.testing.assert_allclose(indexed.vectors[place], timeline.vectors.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(indexed.probabilities[place], timeline.compiled(), rtol=0, atol=1e-6)


def test_only_what_is_new_or_changed_is_heard(model: Bundle, folder: Path, heard: list[str]) -> None:
    first = library.index(model, folder, silent)
    assert len(heard) == 6
    heard.clear()
    again = library.index(model, folder, silent)
    assert heard == []
    assert again.table.equals(first.table)
    assert np.array_equal(again.vectors, first.vectors)
    soundfile.write(folder / "new.wav", tones(3, 0, 0, 2.0), RATE)
    changed = folder / "Alder" / "Alder 0" / "song 0.wav"
    soundfile.write(changed, tones(3, 1, 1, 3.0), RATE)
    later = library.index(model, folder, silent)
    assert sorted(heard) == ["new.wav", "song 0.wav"]
    assert later.table["track_id"].tolist() == sorted([*first.table["track_id"], "new.wav"])
    assert later.table.set_index("track_id")["seconds"]["Alder/Alder 0/song 0.wav"] == 3.0
    same = ~later.table["track_id"].isin(["new.wav", "Alder/Alder 0/song 0.wav"]).to_numpy()
    assert np.array_equal(later.vectors[same], first.vectors[1:])
    assert not np.array_equal(later.vectors[0], first.vectors[0])


def test_what_is_gone_leaves_the_index_and_the_cache(model: Bundle, folder: Path, heard: list[str]) -> None:
    first = library.index(model, folder, silent)
    gone = first.table.iloc[2]
    kept = copies.place(gone["path"], gone["size"], gone["mtime_ns"])
    assert kept.is_file()
    Path(gone["path"]).unlink()
    heard.clear()
    second = library.index(model, folder, silent)
    assert heard == []
    assert second.table["track_id"].tolist() == first.table["track_id"].drop(2).tolist()
    assert np.array_equal(second.vectors, np.delete(first.vectors, 2, axis=0))
    assert not kept.exists()


def test_models_do_not_share_an_index(model: Bundle, folder: Path, heard: list[str], tmp_path: Path) -> None:
    library.index(model, folder, silent)
    other = tmp_path / f"other{model.path.suffix}"
    shutil.copy(model.path, other)
    with other.open("ab") as file:
        file.write(b"\n")  # another digest; the archive is found from its end, whatever follows is its comment
    library.index(bundles.load(other), folder, silent)
    assert len(heard) == 12


def test_an_interrupted_index_goes_on(model: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listen, names = listening.listen, list[str]()

    def until_stopped(bundle: Bundle, path: Path) -> listening.Timeline:
        if len(names) == 4:
            raise KeyboardInterrupt
        names.append(path.parent.name)
        return listen(bundle, path)

    monkeypatch.setattr(listening, "listen", until_stopped)
    with pytest.raises(KeyboardInterrupt):
        library.index(model, folder, silent)
    assert len(names) == 4
    later: list[str] = []

    def noting(bundle: Bundle, path: Path) -> listening.Timeline:
        later.append(path.parent.name)
        return listen(bundle, path)

    monkeypatch.setattr(listening, "listen", noting)
    assert len(library.index(model, folder, silent)) == 6
    assert len(later) == 2
    assert not set(later) & set(names)


def test_bad_files_are_named_and_heard_once(model: Bundle, folder: Path, heard: list[str]) -> None:
    (folder / "noise.mp3").write_bytes(bytes(range(256)) * 40)
    (folder / "Alder" / "empty.wav").touch()
    (folder / "broken.flac").symlink_to(folder / "nowhere.flac")
    told: list[str] = []
    indexed = library.index(model, folder, lambda _, words: told.append(words))
    assert len(indexed) == 6
    faults = library.faults(model, folder)
    assert sorted(faults) == ["Alder/empty.wav", "broken.flac", "noise.mp3"]
    assert "empty file" in faults["Alder/empty.wav"]
    assert "cannot be opened" in faults["broken.flac"]
    assert all(any(f"{name}: {fault}" in words for words in told) for name, fault in faults.items())
    heard.clear()
    library.index(model, folder, silent)
    assert heard == ["broken.flac"], "what may be there tomorrow is tried again, bad content is not"
    (folder / "noise.mp3").unlink()
    library.index(model, folder, silent)
    assert "noise.mp3" not in library.faults(model, folder)


def test_a_folder_without_songs_is_refused(model: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no folder"):
        library.index(model, tmp_path / "nowhere", silent)
    with pytest.raises(BenchError, match=r"holds no song that can be heard \(no file is there"):
        library.index(model, tmp_path, silent)
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(BenchError, match=r"holds no song that can be heard \(a\.wav: "):
        library.index(model, tmp_path, silent)


def test_a_disk_that_is_not_connected_costs_nothing_that_was_heard(
    model: Bundle, folder: Path, heard: list[str]
) -> None:
    library.index(model, folder, silent)
    folder.rename(folder.with_name("away"))
    folder.mkdir()
    with pytest.raises(BenchError, match=r"holds no song that can be heard \(no file is there\)"):
        library.index(model, folder, silent)
    folder.rmdir()
    folder.with_name("away").rename(folder)
    heard.clear()
    assert len(library.index(model, folder, silent)) == 6
    assert heard == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(model: Bundle, folder: Path) -> None:
    os.mkfifo(folder / "pipe.mp3")
    assert len(library.index(model, folder, silent)) == 6
    assert "pipe or device" in library.faults(model, folder)["pipe.mp3"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are text")
def test_a_folder_whose_name_is_no_text_is_refused_in_words(model: Bundle, folder: Path) -> None:
    strange = folder.rename(folder.with_name(os.fsdecode(b"caf\xe9")))
    (link := folder.with_name("link")).symlink_to(strange, target_is_directory=True)
    assert len(library.index(model, link, silent)) == 6
    with pytest.raises(BenchError, match=r"caf\\xe9: the name of this folder is no UTF-8"):
        library.index(model, strange, silent)


def test_links_in_a_circle_end(model: Bundle, folder: Path) -> None:
    (folder / "Alder" / "round").symlink_to(folder, target_is_directory=True)
    (folder / ".hidden").mkdir()
    shutil.copy(folder / "Birch" / "Birch 0" / "song 0.wav", folder / ".hidden" / "song.wav")
    indexed = library.index(model, folder, silent)
    real = [os.path.realpath(path) for path in indexed.table["path"]]
    assert len(real) == len(set(real)) == 6


def test_several_processes_hear_the_same(model: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = write_music(tmp_path / "many", artists=4, albums=2, songs=1, seconds=1.5)
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path / "several"))
    monkeypatch.setattr(library, "FEW", 2)
    several = library.index(model, many, silent)
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path / "one"))
    monkeypatch.setattr(library, "FEW", 100)
    one = library.index(model, many, silent)
    assert len(one) == 8
    assert several.table.equals(one.table)
    assert np.array_equal(several.vectors, one.vectors)


def test_a_damaged_index_is_made_again(model: Bundle, folder: Path, heard: list[str], tmp_path: Path) -> None:
    first = library.index(model, folder, silent)
    (kept,) = (tmp_path / "cache" / "libraries").glob("*/songs.parquet")
    kept.write_bytes(kept.read_bytes()[:100])
    assert library.index(model, folder, silent).table.equals(first.table)
    assert len(heard) == 12
    assert len(songs.load(kept)) == 6


# Tags


def tagged(path: Path, **tags: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for name, text in tags.items():
            setattr(file, name, text)
        file.write(tones(0, 0, 0, 1.0))
    return path


@pytest.mark.parametrize("ending", [".flac", ".ogg", ".mp3"])
def test_tags_come_before_folders(tmp_path: Path, ending: str) -> None:
    path = tagged(tmp_path / f"Folder/Disc/01{ending}", title="Lied\nohne Worte", artist="Anne  Muller", album="Erstes")
    said = tags.of(path, f"Folder/Disc/01{ending}")
    assert said[:4] == ("Folder", "Anne Muller", "Erstes", "Lied ohne Worte")
    assert said.seconds == pytest.approx(1.0, abs=0.1)
    bare = tagged(tmp_path / f"Folder/Disc/02{ending}", artist="Anne Muller")
    assert tags.of(bare, f"Folder/Disc/02{ending}")[:4] == ("Folder", "Anne Muller", "Disc", "02")


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("a.wav", ("", "", "", "a")),
        ("Artist/a.wav", ("Artist", "Artist", "", "a")),
        ("Artist/Album/disc 1/a.wav", ("Artist", "Artist", "Album", "a")),
    ],
)
def test_folders_tell_where_tags_are_silent(tmp_path: Path, track: str, said: tuple[str, ...]) -> None:
    assert tags.of(tagged(tmp_path / track), track)[:4] == said


# Copies


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four toy songs; of the first an MP3 and a louder copy, of the second all but its first two seconds."""
    folder = tmp_path_factory.mktemp("recordings")
    toy = Toy(2, 1, 2, seconds=12.0, seed=5)
    samples = {row["title"] + row["artist"]: toy.read(row, RATE) for _, row in toy.tracks().iterrows()}
    first, second, *_ = samples
    paths = {}
    for name, sound in samples.items():
        paths[name] = folder / f"{name}.wav"
        soundfile.write(paths[name], sound, RATE)
    for name, sound in {
        "encoded.mp3": samples[first],
        "quiet.flac": samples[first] * 0.4,
        "cut.wav": samples[second][2 * RATE :],
    }.items():
        soundfile.write(folder / name, sound, RATE)
        paths[name] = folder / name
    return paths


def test_copies_are_found_and_other_songs_are_none(recordings: dict[str, Path]) -> None:
    names = list(recordings)
    found = {frozenset((names[one], names[other])) for one, other in copies.pairs([str(recordings[n]) for n in names])}
    first, second = names[:2]
    same = [{first, "encoded.mp3"}, {first, "quiet.flac"}, {"encoded.mp3", "quiet.flac"}, {second, "cut.wav"}]
    assert found == {frozenset(pair) for pair in same}


def test_what_cannot_be_read_is_like_nothing(recordings: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_text("noise")
    paths = ["", str(tmp_path / "noise.wav"), str(tmp_path / "gone.wav"), *map(str, recordings.values())]
    assert copies.pairs(paths) == [(a + 3, b + 3) for a, b in copies.pairs(paths[3:])] != []
    assert copies.pairs(paths[:3]) == copies.pairs([]) == []
