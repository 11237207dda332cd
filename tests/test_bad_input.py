"""Whatever is wrong is named in one line; what is right goes on."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from crnn_bench import catalogue, cli, feature_store, room
from crnn_bench.datasets.folder import Folder
from crnn_bench.engines.local import Local
from crnn_bench.features.mfcc import Mfcc
from tests.conftest import ARTISTS, RATE, tones, write_music

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in; extraction in this process alone, since starting others takes seconds."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def store(here: Path) -> Path:
    """`out/`, empty."""
    (here / "out").mkdir()
    return here / "out"


def write_yaml(here: Path, dataset: str, more: str = "") -> str:
    (here / "bad.yaml").write_text(
        f"name: bad\ndataset: {dataset}\nclip_seconds: 1\nmodel: MfccSVM\nsplit: AlbumSplit\n{more}"
    )
    return str(here / "bad.yaml")


def folder(root: Path) -> str:
    return f"{{class_path: Folder, init_args: {{root: {root}}}}}"


def refused(words: list[str], capsys: Capture) -> str:
    """What a command that cannot go on says: one line, and exit code 2."""
    capsys.readouterr()
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("crnn-bench: ")
    assert error.count("\n") == 1, error
    return error.removeprefix("crnn-bench: ").rstrip("\n")


def left_out(printed: str) -> dict[str, str]:
    """The tracks that the output lists as left out, and why."""
    lines = [line.removeprefix("left out: ") for line in printed.splitlines() if line.startswith("left out: ")]
    found = dict(line.split(": ", 1) for line in lines)
    assert len(found) == len(lines), "a track is named twice"
    return found


# Files: the good ones go on


def write_cut(path: Path, share: float = 0.5) -> None:
    soundfile.write(path, tones(0, 0, 0), RATE)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


BAD_FILES = {
    "garbage.mp3": "cannot be decoded",
    "letter.mp3": "cannot be decoded (no audio)",
    "nothing.wav": "empty file (0 bytes)",
    "nothing.mp3": "empty file (0 bytes)",
    "silent.wav": "silent",
    "cut.wav": "truncated",
    "cut.flac": "cannot be decoded",
    "cut.mp3": "truncated",
    "blink.wav": "too short: 0.20 s",
    "short.wav": "0.70 s is shorter than a slice of 1 s",
    "nan.wav": "holds 1 NaN or infinite samples",
    "infinite.wav": "holds 2 NaN or infinite samples",
    "headless.wav": "cannot be decoded",
}


def write_bad_files(album: Path) -> None:
    (album / "garbage.mp3").write_bytes(np.random.default_rng(0).bytes(20000))
    (album / "letter.mp3").write_text("This is a letter, not music.\n" * 50)
    (album / "nothing.wav").touch()
    (album / "nothing.mp3").touch()
    soundfile.write(album / "silent.wav", np.zeros(2 * RATE), RATE)
    for name in ("cut.wav", "cut.flac", "cut.mp3"):
        write_cut(album / name)
    soundfile.write(album / "blink.wav", tones(0, 0, 0, 0.2), RATE)
    soundfile.write(album / "short.wav", tones(0, 0, 0, 0.7), RATE)
    damaged = tones(0, 0, 0)
    damaged[1000] = np.nan
    soundfile.write(album / "nan.wav", damaged, RATE, subtype="FLOAT")
    damaged[1000:1002] = np.inf, -np.inf
    soundfile.write(album / "infinite.wav", damaged, RATE, subtype="FLOAT")
    (album / "headless.wav").write_bytes((album / "silent.wav").read_bytes()[100:])


@pytest.fixture
def mixed(here: Path) -> Path:
    """Two artists' good songs, and every bad file in an album of the first."""
    root = write_music(here / "music", artists=2, songs=1, seconds=2)
    write_bad_files(root / "Alder" / "Alder 0")
    return root


def test_every_bad_file_is_left_out_by_name_and_the_rest_goes_on(
    mixed: Path, here: Path, store: Path, capsys: Capture
) -> None:
    yaml = write_yaml(here, folder(mixed))
    assert cli.main(["run", yaml, "--out", str(store)]) == 0
    captured = capsys.readouterr()
    found = left_out(captured.out)
    assert sorted(found) == sorted(f"Alder/Alder 0/{name}" for name in BAD_FILES)
    for name, reason in BAD_FILES.items():
        assert found[f"Alder/Alder 0/{name}"].startswith(reason), (name, found[f"Alder/Alder 0/{name}"])
    assert "Traceback" not in captured.err
    (row,) = pd.read_csv(store / "results.csv").to_dict("records")
    assert row["n_rejected"] == len(BAD_FILES)
    assert row["n_test_songs"] == 2
    used = pd.read_csv(next((store / "splits").glob("*.csv")), comment="#")
    assert len(used) == 6
    assert not any(name in track for name in BAD_FILES for track in used["track_id"])
    assert cli.main(["run", yaml, "--out", str(store)]) == 0
    assert left_out(capsys.readouterr().out) == found


@pytest.mark.parametrize("name", list(BAD_FILES))
def test_a_bad_file_gets_no_frames(name: str, here: Path) -> None:
    root = write_music(here / "music", artists=2, albums=1, songs=1, seconds=1)
    write_bad_files(root / "Alder" / "Alder 0")
    keep = root / "Alder" / "Alder 0" / name
    for file in keep.parent.iterdir():
        if file.name not in (name, "song 0.wav"):
            file.unlink()
    tracks = catalogue.listing(Folder(str(root)))
    list(feature_store.extract(Folder(str(root)), tracks, [Mfcc()], here / "features", Local()))
    found = feature_store.FeatureStore(here / "features", Mfcc()).lookup(tracks)
    assert len(found) == 3
    table = catalogue.build(tracks, found, min_seconds=1.0)
    assert list(table.rejected["track_id"]) == [f"Alder/Alder 0/{name}"]
    assert len(table.table) == 2
    if name != "short.wav":  # which is sound, and too short for these slices alone
        assert found.set_index("track_id").loc[f"Alder/Alder 0/{name}", "n_frames"] == 0


def test_a_file_that_comes_to_life_is_taken_and_one_that_dies_is_left_out(
    mixed: Path, here: Path, capsys: Capture
) -> None:
    words = ["split", write_yaml(here, folder(mixed)), "--strategy", "AlbumSplit", "--csv", "x.csv"]
    assert cli.main(words) == 0
    before = left_out(capsys.readouterr().out)
    album = mixed / "Alder" / "Alder 0"
    soundfile.write(album / "nothing.wav", tones(0, 0, 9), RATE)
    write_cut(album / "song 0.wav")
    assert cli.main(words) == 0
    after = left_out(capsys.readouterr().out)
    assert set(before) - set(after) == {"Alder/Alder 0/nothing.wav"}
    assert set(after) - set(before) == {"Alder/Alder 0/song 0.wav"}


def test_where_no_good_file_is_left_the_bad_ones_are_named(here: Path, store: Path, capsys: Capture) -> None:
    for artist in ("A", "B"):
        (here / "music" / artist).mkdir(parents=True)
        (here / "music" / artist / "nothing.mp3").touch()
    message = refused(["run", "--out", str(store), write_yaml(here, folder(here / "music"))], capsys)
    assert "at least 2 labels" in message
    assert "A/nothing.mp3: empty file (0 bytes)" in message


@pytest.mark.parametrize("fate", ["removed", "corrupted"])
def test_a_file_that_is_gone_or_spoilt_after_the_listing_is_left_out(
    fate: str, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_music(here / "music", artists=2, songs=2, seconds=1)
    victim = root / "Birch" / "Birch 1" / "song 1.wav"
    blow = f"Path({str(victim)!r}).{'unlink()' if fate == 'removed' else 'write_text(chr(65) * 900)'}"
    (here / f"fate_{fate}.py").write_text(
        "from pathlib import Path\nfrom crnn_bench.datasets.folder import Folder\n\n\n"
        "class Doomed(Folder):\n    def tracks(self):\n"
        f"        table = super().tracks()\n        {blow}\n        return table\n"
    )
    yaml = write_yaml(here, f"{{class_path: fate_{fate}.Doomed, init_args: {{root: {root}}}}}")
    assert cli.main(["split", yaml, "--strategy", "AlbumSplit", "--csv", "x.csv"]) == 0
    (reason,) = left_out(capsys.readouterr().out).items()
    assert reason[0] == "Birch/Birch 1/song 1.wav"
    assert reason[1].startswith("cannot be opened (No such file" if fate == "removed" else "cannot be decoded")


# Manifests


@pytest.fixture
def listed(here: Path) -> str:
    """A manifest of six good songs, as the text of a dataset; `here/list.csv` may be written to."""
    root = write_music(here / "music", artists=2, songs=1, seconds=1)
    rows = [f"{file.relative_to(here)},{file.parts[-3]},{file.parts[-2]}" for file in sorted(root.rglob("*.wav"))]
    (here / "list.csv").write_text("\n".join(["path,label,album", *rows]) + "\n")
    return f"{{class_path: Manifest, init_args: {{csv: {here / 'list.csv'}}}}}"


def add(here: Path, line: str) -> None:
    with (here / "list.csv").open("a") as file:
        file.write(line + "\n")


def test_duplicates_and_missing_files_of_a_manifest_are_left_out(
    listed: str, here: Path, store: Path, capsys: Capture
) -> None:
    add(here, "music/Alder/Alder 0/song 0.wav,Alder,Alder 0")
    add(here, "./music/Birch/Birch 2/song 0.wav,Birch,Birch 2")
    add(here, "music/gone.wav,Birch,Birch 2")
    assert cli.main(["run", write_yaml(here, listed), "--out", str(store)]) == 0
    assert left_out(capsys.readouterr().out) == {
        "music/Alder/Alder 0/song 0.wav": "listed more than once; kept once",
        "music/Birch/Birch 2/song 0.wav": "listed more than once; kept once",
        "music/gone.wav": "cannot be opened (No such file or directory)",
    }
    (row,) = pd.read_csv(store / "results.csv").to_dict("records")
    assert row["n_rejected"] == 3
    assert len(pd.read_csv(next((store / "splits").glob("*.csv")), comment="#")) == 6


def test_one_path_with_two_labels_is_refused_by_name(listed: str, here: Path, store: Path, capsys: Capture) -> None:
    add(here, "music/Alder/Alder 0/song 0.wav,Birch,Alder 0")
    message = refused(["run", "--out", str(store), write_yaml(here, listed)], capsys)
    assert "music/Alder/Alder 0/song 0.wav is listed with the labels Alder and Birch" in message


def test_an_empty_label_is_refused_with_its_line(listed: str, here: Path, store: Path, capsys: Capture) -> None:
    add(here, "music/Alder/Alder 0/song 0.wav,,Alder 0")
    assert f"{here / 'list.csv'}, line 8: empty label" in refused(
        ["run", "--out", str(store), write_yaml(here, listed)], capsys
    )


# What cannot go on


def test_a_missing_folder(here: Path, store: Path, capsys: Capture) -> None:
    message = refused(["run", "--out", str(store), write_yaml(here, folder(here / "nowhere"))], capsys)
    assert f"no folder {here / 'nowhere'}" in message


def test_a_folder_without_audio(here: Path, store: Path, capsys: Capture) -> None:
    (here / "music" / "A").mkdir(parents=True)
    (here / "music" / "A" / "cover.jpg").touch()
    assert f"no audio in {here / 'music'}" in refused(
        ["run", "--out", str(store), write_yaml(here, folder(here / "music"))], capsys
    )


def test_one_artist_only(here: Path, store: Path, capsys: Capture) -> None:
    root = write_music(here / "music", artists=1, songs=1, seconds=1)
    message = refused(["run", "--out", str(store), write_yaml(here, folder(root))], capsys)
    assert "at least 2 labels" in message
    assert ARTISTS[0] in message


def test_too_few_albums_names_the_artist(here: Path, store: Path, capsys: Capture) -> None:
    root = write_music(here / "music", artists=2, songs=1, seconds=1)
    shutil.rmtree(root / "Birch" / "Birch 2")
    message = refused(["run", "--out", str(store), write_yaml(here, folder(root))], capsys)
    assert "AlbumSplit needs at least 3 albums" in message
    assert "Birch has 2" in message
    assert "Alder" not in message


def test_songs_that_are_all_shorter_than_a_slice(here: Path, store: Path, capsys: Capture) -> None:
    root = write_music(here / "music", artists=2, songs=1, seconds=1)
    message = refused(["run", "--out", str(store), write_yaml(here, folder(root)), "--set", "clip_seconds=5"], capsys)
    assert "6 of 6 songs are shorter than the longest slice, 5 s" in message


def test_a_slice_that_is_too_short_for_the_network(here: Path, store: Path, capsys: Capture) -> None:
    root = write_music(here / "music", artists=2, songs=1, seconds=1)
    words = [
        "run",
        "--out",
        str(store),
        write_yaml(here, folder(root)),
        "--set",
        "model=CRNN",
        "--set",
        "clip_seconds=0.3",
    ]
    message = refused(words, capsys)
    assert "10 frames is too short" in message
    assert "at least 16, that is clip_seconds: 0.52" in message


@pytest.mark.parametrize(
    ("more", "line", "said"),
    [
        ("trainr: {}\n", 6, "did you mean 'trainer'"),
        ("features: LogMell\n", 6, "did you mean 'LogMel'"),
        ("trainer: {max_epochs: many}\n", 6, "expected int, got 'many'"),
        ("grid: {seed: 3}\n", 6, "expected a list of values such as [3], got 3"),
    ],
)
def test_a_faulty_yaml(more: str, line: int, said: str, here: Path, capsys: Capture) -> None:
    yaml = write_yaml(here, folder(here), more)
    for command in (["run", yaml], ["prepare", yaml], ["split", yaml, "--strategy", "SongSplit", "--csv", "x.csv"]):
        message = refused(command, capsys)
        assert message.startswith(f"{yaml}, line {line}: ")
        assert said in message
    assert sorted(path.name for path in here.iterdir()) == ["bad.yaml"]


def test_a_missing_experiment_and_a_faulty_override(here: Path, music: Path, capsys: Capture) -> None:
    assert "no experiment nowhere.yaml" in refused(["run", "nowhere.yaml"], capsys)
    message = refused(["run", write_yaml(here, folder(music)), "--set", "trainer.max_epoch=2"], capsys)
    assert message.startswith("--set trainer.max_epoch=2: ")
    assert "did you mean 'max_epochs'" in message


def test_a_tracking_server_that_is_not_there(here: Path, music: Path, capsys: Capture) -> None:
    words = ["run", write_yaml(here, folder(music)), "--tracking-uri", "http://127.0.0.1:9"]
    message = refused(words, capsys)
    assert "no tracking server answers at http://127.0.0.1:9" in message
    assert "--tracking-uri" in message


@pytest.mark.parametrize("uri", ["mysqll://here/there", "sqlite:///list.csv"])
def test_a_tracking_store_that_is_none(uri: str, here: Path, music: Path, capsys: Capture) -> None:
    (here / "list.csv").write_text("path,label\n" * 100)
    message = refused(["run", write_yaml(here, folder(music)), "--tracking-uri", uri], capsys)
    assert uri in message


# Disks


@contextlib.contextmanager
def mounted(disk: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes, where the test's user may mount one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = here / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_for_features(
    small_disk: Path, here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(small_disk / "cache"))
    root = write_music(here / "music", artists=2, songs=2, seconds=30)
    words = ["split", write_yaml(here, folder(root)), "--strategy", "AlbumSplit", "--csv", "x.csv"]
    message = refused(words, capsys)
    assert f"cannot write features to {small_disk / 'cache' / 'features'}" in message
    assert "free space or set CRNN_BENCH_CACHE" in message
    assert list(small_disk.rglob("*.part")) == []
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(here / "roomy"))
    shutil.copytree(small_disk / "cache", here / "roomy")
    assert cli.main(words) == 0
    assert "12 of 12" not in capsys.readouterr().out
    tracks = catalogue.listing(Folder(str(root)))
    assert len(feature_store.FeatureStore(here / "roomy" / "features", Mfcc()).arrays(tracks)) == 12


def test_a_full_disk_for_results(small_disk: Path, here: Path, music: Path, capsys: Capture) -> None:
    message = refused(["run", write_yaml(here, folder(music)), "--out", str(small_disk / "out")], capsys)
    assert "full" in message or "No space left" in message
    assert str(small_disk) in message


def test_a_disk_that_is_too_small_is_refused_before_anything_is_run(
    here: Path, music: Path, database: Path, capsys: Capture
) -> None:
    disk = here / "small"
    disk.mkdir()
    with mounted(disk, database.stat().st_size + 200 * 1024):
        shutil.copyfile(database, disk / "mlflow.db")
        message = refused(["run", write_yaml(here, folder(music)), "--out", str(disk)], capsys)
        assert f"in {disk}, " in message
        assert "are free: free space or give another --out" in message
        assert not (disk / "predictions").exists()


def test_a_disk_that_fills_up_while_a_cell_is_stored(
    here: Path, music: Path, database: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_disk", lambda _: 10**12)  # as it was before others wrote
    disk = here / "disk"
    disk.mkdir()
    with mounted(disk, database.stat().st_size + 200 * 1024):
        shutil.copyfile(database, disk / "mlflow.db")
        message = refused(["run", write_yaml(here, folder(music)), "--out", str(disk)], capsys)
        assert "full" in message or "No space left" in message
        assert str(disk) in message
        assert list(disk.rglob("*.part")) == []


def test_a_store_that_cannot_be_written(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_music(here / "music", artists=2, songs=1, seconds=1)
    (here / "file").touch()
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(here / "file" / "cache"))
    message = refused(["prepare", write_yaml(here, folder(root))], capsys)
    assert f"cannot write features to {here / 'file' / 'cache' / 'features'}" in message
    assert "CRNN_BENCH_CACHE" in message


def test_a_results_folder_that_cannot_be_made(here: Path, music: Path, capsys: Capture) -> None:
    (here / "file").touch()
    for out in (here / "file", here / "file" / "out"):
        assert str(out) in refused(["run", write_yaml(here, folder(music)), "--out", str(out)], capsys)


# Interruptions


def test_what_an_interrupted_extraction_leaves_is_never_read(here: Path) -> None:
    root = write_music(here / "music", artists=2, albums=1, songs=2, seconds=1)
    dataset, feature = Folder(str(root)), Mfcc()
    tracks = catalogue.listing(dataset)
    list(feature_store.extract(dataset, tracks, [feature], here / "whole", Local()))
    whole = feature_store.FeatureStore(here / "whole", feature)
    left = feature_store.FeatureStore(here / "left", feature)
    left.folder.mkdir(parents=True)
    indexes, arrays = sorted(whole.folder.glob("*.parquet")), sorted(whole.folder.glob("*.npy"))
    assert len(indexes) == 4
    spoilt = np.load(arrays[0]) * 0 + 77
    np.save(left.folder / arrays[0].name, spoilt)  # no index: the kill came between the two renames
    np.save(left.folder / "x", spoilt)
    for path in (indexes[1], arrays[1]):  # the kill came before any rename
        shutil.copy(path, left.folder / f".{path.name}.part")
    shutil.copy(indexes[2], left.folder)  # an index whose array is gone
    shutil.copy(indexes[3], left.folder)  # an index whose array was cut off
    (left.folder / arrays[3].name).write_bytes(arrays[3].read_bytes()[:-64])
    assert len(left.index()) == 0
    assert len(feature_store.missing(here / "left", tracks, [feature])) == 4
    list(feature_store.extract(dataset, tracks, [feature], here / "left", Local()))
    for one, other in zip(whole.arrays(tracks), left.arrays(tracks), strict=True):
        assert one.tobytes() == other.tobytes()


SLOW = """
import time
from pathlib import Path
from crnn_bench.datasets.folder import Folder


class Slow(Folder):
    def read(self, track, sample_rate):
        if Path("wait").exists() and track["artist"] != "Alder":
            time.sleep(5)
        with Path("read.txt").open("a") as file:
            file.write(track["track_id"] + "\\n")
        return super().read(track, sample_rate)
"""


def test_ctrl_c_in_extraction_ends_in_one_line_and_the_next_run_goes_on(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_music(here / "music", artists=4, songs=2, seconds=1)
    (here / "slow_reader.py").write_text(SLOW)
    (here / "wait").touch()
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(here / "cache"))
    yaml = write_yaml(here, f"{{class_path: slow_reader.Slow, init_args: {{root: {root}}}}}")
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])}
    command = [sys.executable, "-m", "crnn_bench", "prepare", yaml]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while process.poll() is None and not list((here / "cache").rglob("*.parquet")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error == "crnn-bench: stopped; the same command goes on with what is not finished\n"
    store = feature_store.FeatureStore(here / "cache" / "features", Mfcc())
    stored = set(store.index()["track_id"])
    assert 0 < len(stored) < 24
    (here / "read.txt").unlink()
    (here / "wait").unlink()
    assert cli.main(["prepare", yaml]) == 0
    assert f"Mfcc of {24 - len(stored)} tracks extracted" in capsys.readouterr().out
    again = (here / "read.txt").read_text().split("\n")[:-1]
    assert set(again).isdisjoint(stored)
    assert len(again) + len(stored) == 24
    assert len(store.index()) == 24
    assert list((here / "cache").rglob("*.part")) == []  # nor of workers that were ended in the midst of writing


def test_a_name_in_another_encoding_is_named_in_one_line(here: Path, capsys: Capture) -> None:
    music = write_music(here / "music", artists=2, albums=3, songs=1, seconds=2)
    old = music / ARTISTS[0] / f"{ARTISTS[0]} 0" / "song 0.wav"
    os.rename(os.fsencode(old), os.fsencode(old.parent) + b"/caf\xe9.wav")
    assert cli.main(["prepare", write_yaml(here, folder(music))]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert r"caf\udce9.wav' is no name in UTF-8; rename the file or its folder" in said
