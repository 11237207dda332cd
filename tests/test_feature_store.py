"""The feature store: what is written is what was computed, once, whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from crnn_bench import audio, catalogue, feature_store
from crnn_bench.datasets.folder import Folder
from crnn_bench.engines import Engine
from crnn_bench.engines.local import Local
from crnn_bench.engines.processes import Processes
from crnn_bench.errors import BenchError
from crnn_bench.feature_store import FeatureStore
from crnn_bench.features import Feature
from crnn_bench.features.log_mel import LogMel
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.features.mfcc_gaussian import MfccGaussian
from crnn_bench.song import Song
from crnn_bench.whole import replacing
from tests.conftest import RATE, tones, write_music

FEATURE = LogMel(n_mels=16)


class Counted(Folder):
    """Remembers what is read, in which order; only within one process."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.reads: list[tuple[str, int]] = []

    def read(self, track: pd.Series, sample_rate: int) -> NDArray[np.float32]:
        self.reads.append((track["track_id"], sample_rate))
        return super().read(track, sample_rate)


@pytest.fixture
def few(tmp_path: Path) -> Counted:
    """4 songs of 1 s, for tests that change files."""
    return Counted(str(write_music(tmp_path / "few", artists=2, albums=1, songs=2, seconds=1.0)))


def extract(
    dataset: Folder, root: Path, features: Sequence[Feature] = (FEATURE,), engine: Engine | None = None
) -> pd.DataFrame:
    tracks = catalogue.listing(dataset)
    list(feature_store.extract(dataset, tracks, features, root, engine or Local()))
    return tracks


def files(root: Path) -> dict[str, tuple[int, int]]:
    """Every file under a folder with size and modification time."""
    found = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def assert_holds(root: Path, dataset: Folder, feature: Feature = FEATURE) -> None:
    """The store holds each track's features as they are computed now, to the last bit of its dtype."""
    tracks = catalogue.listing(dataset)
    store = FeatureStore(root, feature)
    assert store.lookup(tracks)["track_id"].tolist() == tracks["track_id"].tolist()
    for (_, track), stored in zip(tracks.iterrows(), store.arrays(tracks), strict=True):
        samples = Folder.read(dataset, track, feature.sample_rate)
        assert stored.dtype == feature.dtype
        computed = feature.compute(Song(samples, feature.sample_rate))
        assert np.array_equal(stored, computed.astype(feature.dtype)), track["track_id"]


# What is stored


def test_a_slice_lies_in_one_piece(few: Counted, tmp_path: Path) -> None:
    """Frame after frame, although the transform gives bin after bin: one read finds it."""
    tracks = extract(few, tmp_path, [LogMel(n_mels=16), Mfcc()])
    for feature in (LogMel(n_mels=16), Mfcc()):
        for stored in FeatureStore(tmp_path, feature).arrays(tracks):
            assert stored[3:7].flags.c_contiguous


def test_what_is_stored_is_what_was_computed(music: Path, tmp_path: Path) -> None:
    dataset = Folder(str(music))
    tracks = extract(dataset, tmp_path)
    assert_holds(tmp_path, dataset)
    found = FeatureStore(tmp_path, FEATURE).lookup(tracks)
    assert (found["seconds"] == 4.0).all()
    assert (found["n_frames"] == 126).all()
    assert (found["reason"] == "").all()
    assert found["content"].nunique() == 36


def test_arrays_come_in_the_order_asked_for(few: Counted, tmp_path: Path) -> None:
    tracks = extract(few, tmp_path)
    store = FeatureStore(tmp_path, FEATURE)
    forwards, backwards = store.arrays(tracks), store.arrays(tracks[::-1])
    assert all(np.array_equal(one, other) for one, other in zip(forwards, backwards[::-1], strict=True))
    assert len({array.tobytes() for array in forwards}) == 4


def test_arrays_are_memory_mapped_views(few: Counted, tmp_path: Path) -> None:
    tracks = extract(few, tmp_path)
    for array in FeatureStore(tmp_path, FEATURE).arrays(tracks):
        assert isinstance(array, np.memmap)
        assert isinstance(array.base, np.memmap)
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_asking_twice_gives_the_same_memory(few: Counted, tmp_path: Path) -> None:
    tracks = extract(few, tmp_path)
    store = FeatureStore(tmp_path, FEATURE)
    assert np.shares_memory(store.arrays(tracks)[0], store.arrays(tracks)[0])


def test_one_worker_and_two_give_equal_arrays(music: Path, tmp_path: Path) -> None:
    dataset = Folder(str(music), artists=["Alder", "Cedar"])
    features = (FEATURE, Mfcc(n_mfcc=5))
    with Processes(2) as processes:
        for engine in (Local(), processes):
            tracks = extract(dataset, tmp_path / str(engine.workers), features, engine)
    for feature in features:
        one, two = (FeatureStore(tmp_path / str(workers), feature) for workers in (1, 2))
        pairs = zip(one.arrays(tracks), two.arrays(tracks), strict=True)
        assert all(np.array_equal(first, second) for first, second in pairs)
        told = ["track_id", "fingerprint", "seconds", "content", "reason", "n_frames"]
        pd.testing.assert_frame_equal(one.lookup(tracks)[told], two.lookup(tracks)[told])


def test_progress_counts_every_track_and_second(music: Path, tmp_path: Path) -> None:
    dataset = Folder(str(music))
    tracks = catalogue.listing(dataset)
    steps = list(feature_store.extract(dataset, tracks, [FEATURE, Mfcc()], tmp_path, Local()))
    assert sum(done for done, _, _ in steps) == 36
    assert sum(seconds for _, seconds, _ in steps) == pytest.approx(36 * 4.0)
    assert len(steps) > 4, "progress needs steps"


def test_a_file_that_cannot_be_opened_is_told_and_tried_again(tmp_path: Path) -> None:
    """A lost disk or a missing permission says nothing of the music."""
    dataset = Folder(str(write_music(tmp_path / "music", artists=2, albums=1, songs=1, seconds=1)))
    tracks, gone = catalogue.listing(dataset), tmp_path / "music" / "Alder" / "Alder 0" / "song 0.wav"
    content = gone.read_bytes()
    gone.unlink()
    steps = list(feature_store.extract(dataset, tracks, [FEATURE, Mfcc()], tmp_path / "store", Local()))
    faults = {track: reason for *_, found in steps for track, reason in found.items()}
    assert faults == {"Alder/Alder 0/song 0.wav": "cannot be opened (No such file or directory)"}
    assert list(feature_store.missing(tmp_path / "store", tracks, [FEATURE])) == ["Alder/Alder 0/song 0.wav"]
    gone.write_bytes(content)
    list(feature_store.extract(dataset, tracks, [FEATURE, Mfcc()], tmp_path / "store", Local()))
    assert feature_store.missing(tmp_path / "store", tracks, [FEATURE, Mfcc()]) == {}


def test_too_few_open_files_are_not_taken_for_missing_features(
    few: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = extract(few, tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    feature_store._read_index.cache_clear()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        feature_store.missing(tmp_path, tracks, [FEATURE])


def test_the_key_changes_with_every_version_that_a_feature_rests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [(FEATURE.key, Mfcc().key)]
    for cls, name in ((LogMel, "version"), (Mfcc, "version")):
        with monkeypatch.context() as patch:
            patch.setattr(cls, name, 99)
            keys.append((FEATURE.key, Mfcc().key))
    monkeypatch.setattr(audio, "VERSION", 99)
    keys.append((FEATURE.key, Mfcc().key))
    log_mel, mfcc = zip(*keys, strict=True)
    assert len(set(mfcc)) == 4
    assert log_mel[0] == log_mel[2]
    assert len(set(log_mel)) == 3


# Several features


def test_features_of_one_rate_share_a_decoding(few: Counted, tmp_path: Path) -> None:
    features = (FEATURE, LogMel(n_mels=8), Mfcc())
    extract(few, tmp_path, features)
    assert len(few.reads) == 4
    for feature in features:
        assert_holds(tmp_path, few, feature)


def test_features_of_one_rate_share_a_song(few: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Song] = []

    class Remembered(Song):
        def __init__(self, samples: NDArray[np.float32], sample_rate: float) -> None:
            super().__init__(samples, sample_rate)
            made.append(self)

    monkeypatch.setattr(feature_store, "Song", Remembered)
    extract(few, tmp_path, (FEATURE, Mfcc(), LogMel(sample_rate=8000)))
    assert sorted(song.sample_rate for song in made) == [8000] * 4 + [16000] * 4


def test_a_table_keeps_a_row_a_song_in_float32(few: Counted, tmp_path: Path) -> None:
    table = MfccGaussian()
    tracks = extract(few, tmp_path, (FEATURE, table))
    assert_holds(tmp_path, few, FEATURE)
    assert_holds(tmp_path, few, table)
    assert [array.shape for array in FeatureStore(tmp_path, table).arrays(tracks)] == [(1, 230)] * 4


def test_features_of_another_rate_are_decoded_for_it(few: Counted, tmp_path: Path) -> None:
    features = (FEATURE, LogMel(sample_rate=8000, n_mels=16))
    extract(few, tmp_path, features)
    assert sorted(rate for _, rate in few.reads) == [8000] * 4 + [16000] * 4
    for feature in features:
        assert_holds(tmp_path, few, feature)


def test_a_new_feature_does_not_compute_the_old_one_again(few: Counted, tmp_path: Path) -> None:
    tracks = extract(few, tmp_path)
    before = files(tmp_path / FEATURE.key)
    new = Mfcc()
    assert feature_store.missing(tmp_path, tracks, [FEATURE, new]) == {track: [new] for track in tracks["track_id"]}
    extract(few, tmp_path, (FEATURE, new))
    assert files(tmp_path / FEATURE.key) == before
    assert_holds(tmp_path, few, Mfcc())


def test_stores_of_other_parameters_lie_apart(few: Counted, tmp_path: Path) -> None:
    tracks = extract(few, tmp_path)
    for other in (LogMel(n_mels=17), LogMel(n_mels=16, top_db=70.0), LogMel(n_mels=16, hop_samples=256)):
        assert len(feature_store.missing(tmp_path, tracks, [other])) == 4
        with pytest.raises(BenchError, match=r"Alder/Alder 0/song 0\.wav is not in the feature store .* prepare"):
            FeatureStore(tmp_path, other).arrays(tracks)


# Once


def test_nothing_is_computed_a_second_time(music: Path, tmp_path: Path) -> None:
    dataset = Counted(str(music))
    tracks = extract(dataset, tmp_path, (FEATURE, Mfcc()))
    before, reads = files(tmp_path), len(dataset.reads)
    assert reads == 36
    assert feature_store.missing(tmp_path, tracks, [FEATURE, Mfcc()]) == {}
    extract(dataset, tmp_path, (FEATURE, Mfcc()))
    assert files(tmp_path) == before
    assert len(dataset.reads) == reads


def test_new_songs_alone_are_computed(few: Counted, tmp_path: Path) -> None:
    extract(few, tmp_path / "store")
    before = files(tmp_path / "store")
    soundfile.write(Path(few.root) / "Alder" / "Alder 0" / "new.wav", tones(0, 0, 7, seconds=1.0), RATE)
    few.reads.clear()
    extract(few, tmp_path / "store")
    assert few.reads == [("Alder/Alder 0/new.wav", RATE)]
    assert before.items() <= files(tmp_path / "store").items()
    assert_holds(tmp_path / "store", few)


def test_an_unusable_file_is_remembered_with_its_reason(few: Counted, tmp_path: Path) -> None:
    (Path(few.root) / "Alder" / "Alder 0" / "song 1.wav").write_bytes(b"")
    tracks = extract(few, tmp_path)
    found = FeatureStore(tmp_path, FEATURE).lookup(tracks).set_index("track_id")
    assert found.loc["Alder/Alder 0/song 1.wav", "reason"] == "empty file (0 bytes)"
    assert found.loc["Alder/Alder 0/song 1.wav", "n_frames"] == 0
    assert (found["reason"] == "").sum() == 3
    few.reads.clear()
    extract(few, tmp_path)
    assert few.reads == []


def test_the_same_id_listed_twice_is_read_once(few: Counted, tmp_path: Path) -> None:
    tracks = catalogue.listing(few)
    twice = pd.concat([tracks, tracks[:1]], ignore_index=True)
    list(feature_store.extract(few, twice, [FEATURE], tmp_path, Local()))
    assert len(few.reads) == 4
    assert len(FeatureStore(tmp_path, FEATURE).index()) == 4


@pytest.mark.parametrize("how", ["other audio", "other time"])
def test_a_changed_file_is_computed_again(few: Counted, tmp_path: Path, how: str) -> None:
    extract(few, tmp_path / "store")
    path = Path(few.root) / "Birch" / "Birch 0" / "song 0.wav"
    old = FeatureStore(tmp_path / "store", FEATURE).arrays(catalogue.listing(few))[2].copy()
    if how == "other audio":
        soundfile.write(path, tones(3, 3, 3, seconds=1.2), RATE)
    else:
        os.utime(path, ns=(1, 1))
    tracks = catalogue.listing(few)
    assert list(feature_store.missing(tmp_path / "store", tracks, [FEATURE])) == ["Birch/Birch 0/song 0.wav"]
    few.reads.clear()
    extract(few, tmp_path / "store")
    assert few.reads == [("Birch/Birch 0/song 0.wav", RATE)]
    assert_holds(tmp_path / "store", few)
    new = FeatureStore(tmp_path / "store", FEATURE).arrays(tracks)[2]
    assert (how == "other time") == np.array_equal(old, new)


# Whole or not at all

HANGING = """
import sys, time
from pathlib import Path
import tests.test_feature_store as here

class Hanging(here.Counted):
    def read(self, track, sample_rate):
        if len(self.reads) == 9:
            print("reading the tenth", flush=True)
            time.sleep(600)
        return super().read(track, sample_rate)

here.extract(Hanging(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_extraction_goes_on_where_it_was(music: Path, tmp_path: Path) -> None:
    script = [sys.executable, "-c", HANGING, str(music), str(tmp_path)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading the tenth\n"
        process.send_signal(signal.SIGKILL)
    dataset = Counted(str(music))
    tracks = catalogue.listing(dataset)
    stored = sorted(FeatureStore(tmp_path, FEATURE).index()["track_id"])
    assert stored == tracks["track_id"].tolist()[:8], "shards of 4 songs: two are whole"
    extract(dataset, tmp_path)
    assert [track for track, _ in dataset.reads] == tracks["track_id"].tolist()[8:]
    assert_holds(tmp_path, dataset)


def shards(root: Path, ending: str) -> list[Path]:
    return sorted((root / FEATURE.key).glob(f"*{ending}"))


def lose_the_index(root: Path) -> None:
    shards(root, ".parquet")[0].unlink()


def lose_the_array(root: Path) -> None:
    shards(root, ".npy")[0].unlink()


def cut_the_array(root: Path) -> None:
    path = shards(root, ".npy")[0]
    os.truncate(path, path.stat().st_size - 32)


def cut_the_arrays_header(root: Path) -> None:
    os.truncate(shards(root, ".npy")[0], 20)


def empty_the_array(root: Path) -> None:
    os.truncate(shards(root, ".npy")[0], 0)


def cut_the_index(root: Path) -> None:
    path = shards(root, ".parquet")[0]
    os.truncate(path, path.stat().st_size // 2)


def empty_the_index(root: Path) -> None:
    os.truncate(shards(root, ".parquet")[0], 0)


@pytest.mark.parametrize(
    "damage",
    [
        lose_the_index,
        lose_the_array,
        cut_the_array,
        cut_the_arrays_header,
        empty_the_array,
        cut_the_index,
        empty_the_index,
    ],
)
def test_a_shard_that_is_not_whole_is_passed_over_and_made_anew(
    few: Counted, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    tracks = extract(few, tmp_path / "store")
    damage(tmp_path / "store")
    assert len(FeatureStore(tmp_path / "store", FEATURE).index()) == 3, "one song a shard"
    assert len(feature_store.missing(tmp_path / "store", tracks, [FEATURE])) == 1
    few.reads.clear()
    extract(few, tmp_path / "store")
    assert len(few.reads) == 1
    assert_holds(tmp_path / "store", few)


def test_what_a_kill_leaves_lying_is_never_read(few: Counted, tmp_path: Path) -> None:
    extract(few, tmp_path / "store")
    folder = tmp_path / "store" / FEATURE.key
    for name in (".0123.npy.part", ".0123.parquet.part", "0123.npy"):
        (folder / name).write_bytes(b"half")
    assert len(FeatureStore(tmp_path / "store", FEATURE).index()) == 4
    assert_holds(tmp_path / "store", few)


KILLED = """
import os, signal, sys
from pathlib import Path
from crnn_bench.whole import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_killed_writers_left_goes_with_the_next_extraction(few: Counted, tmp_path: Path) -> None:
    folder = tmp_path / "store" / FEATURE.key
    subprocess.run([sys.executable, "-c", KILLED, str(folder / "0123.npy")], cwd=Path(__file__).parents[1])
    (left,) = folder.glob(".*.part")
    with replacing(folder / "mine.npy") as mine:
        mine.touch()
        name, _, pid, mark, _ = left.name.rsplit(".", 4)
        elsewhere = left.with_name(f"{name}.another_machine.{pid}.{mark}.part")
        elsewhere.touch()  # its process may live there
        extract(few, tmp_path / "store")
        assert sorted(folder.glob(".*.part")) == sorted([mine, elsewhere])
    assert_holds(tmp_path / "store", few)


def test_no_temporary_file_stays(music: Path, tmp_path: Path) -> None:
    extract(Folder(str(music)), tmp_path)
    names = list(files(tmp_path))
    assert names
    assert all(name.endswith((".npy", ".parquet")) for name in names)
    assert len(shards(tmp_path, ".npy")) == len(shards(tmp_path, ".parquet"))


def test_a_write_that_fails_leaves_nothing(few: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_store.os, "fsync", full)
    with pytest.raises(BenchError, match=rf"cannot write features to {tmp_path}/store \(No space left on device\)"):
        extract(few, tmp_path / "store")
    assert files(tmp_path / "store") == {}
    monkeypatch.undo()
    extract(few, tmp_path / "store")
    assert_holds(tmp_path / "store", few)


WRITING = """
import sys
from pathlib import Path
import tests.test_feature_store as here

here.extract(here.Folder(sys.argv[1]), Path(sys.argv[2]))
"""


def test_two_writers_at_once(music: Path, tmp_path: Path) -> None:
    script = [sys.executable, "-c", WRITING, str(music), str(tmp_path)]
    both = [subprocess.Popen(script, cwd=Path(__file__).parents[1]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    index = FeatureStore(tmp_path, FEATURE).index()
    assert index["track_id"].is_unique
    assert len(index) == 36
    assert_holds(tmp_path, Folder(str(music)))


def test_a_song_that_two_writers_stored_counts_once(few: Counted, tmp_path: Path) -> None:
    """Whoever listed before the other wrote computes all again."""
    tracks = catalogue.listing(few)
    for root in (tmp_path / "store", tmp_path / "other"):
        extract(few, root)
    for file in (tmp_path / "other" / FEATURE.key).iterdir():
        file.rename(tmp_path / "store" / FEATURE.key / file.name)
    assert len(shards(tmp_path / "store", ".parquet")) == 8
    index = FeatureStore(tmp_path / "store", FEATURE).index()
    assert sorted(index["track_id"]) == tracks["track_id"].tolist()
    assert_holds(tmp_path / "store", few)


def test_the_store_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path))
    assert feature_store.default_root() == tmp_path / "features"
    monkeypatch.delenv("CRNN_BENCH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert feature_store.default_root() == tmp_path / ".cache" / "crnn_bench" / "features"


COMPILE = """
import sys
from pathlib import Path
from crnn_bench.feature_store import _compile_librosa
_compile_librosa(Path(sys.argv[1]) / "cache")
print("librosa.beat" in sys.modules)
"""


def test_librosa_is_compiled_before_processes_start_once_a_machine(tmp_path: Path) -> None:
    """Two that compile at once would spoil what they keep; later runs need not wait for it."""
    command = [sys.executable, "-c", COMPILE, str(tmp_path)]
    told = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)]
    assert told == ["True", "False"]
