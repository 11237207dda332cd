"""The audit: what it finds in tables made here, and through the commands in music with a planted copy."""

import json
import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile

from crnn_bench import audit, catalogue, cli, feature_store, levels
from crnn_bench.audit import Finding, Songs
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.toy import Toy
from crnn_bench.engines.local import Local
from crnn_bench.features.log_mel import LogMel
from crnn_bench.fingerprints import Comparison, Match
from crnn_bench.records import Split

RATE = 16000


def songs_of(n_albums: int = 3, **columns: object) -> pd.DataFrame:
    """Two artists' albums of two songs of 200 s, and what is told of them."""
    names = [(a, b, s) for a in "AB" for b in range(n_albums) for s in range(2)]
    table = pd.DataFrame({"track_id": [f"{a}/{b}/{s}" for a, b, s in names], "label": [a for a, _, _ in names]})
    table = table.assign(artist=table["label"], album=[str(b) for _, b, _ in names], fingerprint="1", reason="")
    table = table.assign(seconds=200.0, content=table["track_id"], clipped=0.0, silent=0.0)
    return table.assign(**columns)


def by_album(table: pd.DataFrame, group: str = "album") -> Split:
    parts = [tuple(table.loc[table["album"] == album, "track_id"]) for album in ("0", "1", "2")]
    return Split(*parts, group=group)


def found(table: pd.DataFrame, kind: str, split: Split | None = None, **more: object) -> list[Finding]:
    splits = {"AlbumSplit, seed 0": split or by_album(table)}
    return [finding for finding in audit.findings(Songs(table, splits, **more)) if finding.kind == kind]  # type: ignore[arg-type]


def test_whole_music_has_nothing_to_tell_but_its_size() -> None:
    table = songs_of()
    assert {finding.kind for finding in audit.findings(Songs(table, {"one": by_album(table)}))} == {"few test songs"}


def test_an_album_on_both_sides_is_a_leak_only_where_the_split_keeps_albums_apart() -> None:
    table = songs_of()
    tracks = tuple(table["track_id"])
    torn = (tracks[0], *tracks[2:6], *tracks[8:10]), (tracks[6], tracks[7]), (tracks[1], *tracks[10:])
    for group, severity in (("album", "leak"), ("artist", "leak"), ("track_id", "note")):
        (finding,) = found(table, "album overlap", Split(*torn, group=group))
        assert finding.severity == severity
        assert "1 of 2 test albums" in finding.detail


def test_an_artist_split_promises_nothing_of_albums_whose_artist_is_unknown() -> None:
    table = songs_of(artist="", album="Hits")
    tracks = tuple(table["track_id"])
    (finding,) = found(table, "album overlap", Split(tracks[:6], tracks[6:8], tracks[8:], group="artist"))
    assert finding.severity == "note"


def test_artists_on_both_sides_are_told_unless_they_are_the_labels() -> None:
    table = songs_of()
    assert not found(table, "artist overlap")
    (finding,) = found(table.assign(label="rock", artist=table["artist"]), "artist overlap", by_album(table, "artist"))
    assert (finding.severity, finding.labels) == ("leak", ("A", "B"))


@pytest.mark.parametrize(
    ("pair", "severity", "parts"),
    [
        (("A/0/0", "A/2/1"), "leak", ("train", "test")),
        (("A/0/0", "A/1/0"), "leak", ("train", "validation")),
        (("A/1/1", "A/2/0"), "leak", ("validation", "test")),
        (("A/0/0", "A/0/1"), "note", ("train", "train")),
    ],
)
def test_near_duplicates_leak_where_they_are_in_two_parts(
    pair: tuple[str, str], severity: str, parts: tuple[str, str]
) -> None:
    comparison = Comparison((Match(0, 1, 0.62, 97),))
    (finding,) = found(songs_of(), "near-duplicate", compared=pair, comparison=comparison, frames_per_second=31.25)
    assert (finding.severity, finding.tracks, finding.parts) == (severity, pair, parts)
    assert "62% of the fingerprint, +3.1 s" in finding.detail


def test_near_duplicates_of_two_labels_are_a_conflict_besides() -> None:
    more = {"compared": ("A/0/0", "B/0/0"), "comparison": Comparison((Match(0, 1, 0.5, 0),))}
    (conflict,) = found(songs_of(), "label conflict", **more)
    assert (conflict.severity, conflict.labels) == ("warning", ("A", "B"))
    assert found(songs_of(), "near-duplicate", **more)[0].severity == "note"


def test_exact_copies_are_told_by_label() -> None:
    table = songs_of()
    content = table["content"].replace({"A/0/1": "A/0/0", "B/1/1": "A/2/0"})
    (copy,) = found(table.assign(content=content), "exact copy")
    (conflict,) = found(table.assign(content=content), "label conflict")
    assert (copy.severity, copy.tracks) == ("note", ("A/0/0", "A/0/1"))
    assert (conflict.severity, conflict.tracks) == ("warning", ("A/2/0", "B/1/1"))


def test_songs_that_sound_wrong_are_named() -> None:
    table = songs_of()
    clipped = np.where(table["track_id"] == "A/0/0", 0.02, 0.0)
    silent = np.where(table["track_id"] == "B/2/1", 0.5, 0.1)
    seconds = np.where(table["track_id"] == "A/1/0", 120.0, 200.0)
    reason = np.where(table["track_id"] == "B/0/0", "truncated: 3 of 5 samples could be read", "")
    table = table.assign(clipped=clipped, silent=silent, seconds=seconds, reason=reason)
    for kind, track, told in (
        ("clipping", "A/0/0", "2.0%"),
        ("silence", "B/2/1", "50%"),
        ("length", "A/1/0", "only 120.0 s; most last 200.0 s"),
        ("unusable", "B/0/0", "truncated"),
    ):
        (finding,) = found(table, kind)
        assert (finding.severity, finding.tracks) == ("warning", (track,))
        assert told in finding.detail


def test_lengths_that_vary_are_no_fault() -> None:
    table = songs_of(seconds=np.linspace(60, 400, 12))
    assert not found(table, "length")


def test_what_was_not_measured_is_unknown_and_no_fault() -> None:
    (finding,) = found(songs_of(clipped=np.nan, silent=np.nan), "not measured")
    assert finding.severity == "note"
    assert "12 songs" in finding.detail


def test_unequal_labels_are_told_and_counted() -> None:
    table = songs_of(3)
    table = pd.concat([table, table.assign(track_id=[f"A/9/{n}" for n in range(12)], label="A", album="0")])
    table = table.assign(content=range(len(table)))
    (finding,) = found(table, "class balance")
    assert finding.labels == ("A", "B")
    assert "18 songs, B has 6: 3.0 times" in finding.detail
    counted = audit.labels(Songs(table, {"one": by_album(table)})).set_index("label")
    assert counted.loc["A", ["songs", "minutes", "train", "test"]].tolist() == [18, 60.0, "14", "2"]


def test_clipping_and_silence_are_shares_of_the_samples() -> None:
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 20 * time).astype(np.float32)
    assert levels.clipped(0.9 * tone) == 0
    assert levels.clipped(np.clip(2 * tone, -1, 1)) == pytest.approx(2 / 3, abs=0.02)  # from 30° to 150° of each half
    assert levels.clipped(-np.clip(2 * tone, -1, 1)) == levels.clipped(np.clip(2 * tone, -1, 1))
    assert levels.silent(tone, RATE) == 0
    assert levels.silent(np.concatenate([tone, 0 * tone, 0 * tone, 0.0005 * tone]), RATE) == 0.75
    assert levels.silent(tone[:10], RATE) == levels.clipped(tone[:0]) == 0


def test_the_store_measures_them_and_reads_stores_that_did_not(tmp_path: Path) -> None:
    root = tmp_path / "music"
    for place, label in enumerate("AB"):
        (root / label / "one").mkdir(parents=True)
        tone = np.sin(np.arange(2 * RATE) * (0.05 + 0.03 * place))
        tone[:RATE] *= place  # the first song begins with a second of silence
        soundfile.write(root / label / "one" / "song.wav", np.clip(3 * tone, -1, 1), RATE)
    tracks = catalogue.listing(Folder(str(root)))
    list(feature_store.extract(Folder(str(root)), tracks, [LogMel()], tmp_path / "store", Local()))
    store = feature_store.FeatureStore(tmp_path / "store", LogMel())
    measured = store.lookup(tracks)
    assert measured["silent"].tolist() == [0.5, 0.0]
    assert measured["clipped"].between(0.3, 0.9).all()
    for path in store.folder.glob("*.parquet"):
        pd.read_parquet(path).drop(columns=["silent", "clipped"]).to_parquet(path.with_name(f"old{path.name}"))
        path.with_suffix(".npy").rename(path.with_name(f"old{path.stem}.npy"))
        path.unlink()
    old = store.lookup(tracks)
    assert old["silent"].isna().all()
    assert old["seconds"].tolist() == measured["seconds"].tolist()


# Through the commands


@pytest.fixture(scope="module")
def toy_songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 artists × 3 albums × 2 songs of 8 s; not to be changed."""
    root = tmp_path_factory.mktemp("toy")
    music = Toy(n_artists=3, n_albums=3, n_songs=2, seconds=8)
    for _, track in music.tracks().iterrows():
        path = root / f"{track['track_id']}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, music.read(track, RATE), RATE)
    return root


@pytest.fixture
def place(toy_songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with music and an experiment by album: of three albums each is in another part."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(toy_songs, tmp_path / "music")
    (tmp_path / "svm.yaml").write_text(
        "name: svm\ndataset: {class_path: Folder, init_args: {root: music}}\nclip_seconds: 2\n"
        "split: AlbumSplit\nmodel: MfccSVM\ngrid: {seed: [0]}\n"
    )
    return tmp_path


def plant(place: Path) -> Path:
    """A softer, trimmed copy of a song on another album of its artist, as MP3."""
    samples, _ = soundfile.read(place / "music/artist-1/album-1/song-1.wav", dtype="float32")
    copy = place / "music/artist-1/album-2/bonus.mp3"
    soundfile.write(copy, samples[RATE + 257 : -RATE] / 2, RATE, format="MP3")
    return copy


def leaks_in(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "audit.csv", keep_default_na=False)
    return table[table["severity"] == "leak"]


def test_a_planted_copy_gives_exit_code_1_and_its_removal_0(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = plant(place)
    assert cli.main(["audit", "svm.yaml"]) == 1
    printed = capsys.readouterr().out
    assert "leaks: 1" in printed
    assert "false alarms: 0 of" in printed
    (leak,) = leaks_in(place / "runs/svm").to_dict("records")
    assert leak["kind"] == "near-duplicate"
    assert leak["tracks"] == "artist-1/album-1/song-1.wav; artist-1/album-2/bonus.mp3"
    first, second = leak["parts"].split("; ")
    assert first != second
    copy.unlink()
    assert cli.main(["audit", "svm.yaml", "--out", "clean"]) == 0
    assert leaks_in(place / "clean").empty
    content = json.loads((place / "clean/audit.json").read_text())
    assert content["verdict"] == "clean"
    assert [row["songs"] for row in content["labels"]["music"]] == [6, 6, 6]
    assert content["near_duplicates"]["music"]["songs"] == 18


def test_run_warns_and_records_what_the_audit_finds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(place)
    assert cli.main(["run", "svm.yaml"]) == 0
    assert "audit: music: near-duplicates not looked for" in capsys.readouterr().out
    assert leaks_in(place / "runs/svm").empty
    assert cli.main(["audit", "svm.yaml", "--out", "apart"]) == 1  # stores log-mel frames
    capsys.readouterr()
    assert cli.main(["run", "svm.yaml", "--rerun"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("audit: leak")]
    assert "artist-1/album-1/song-1.wav (" in line
    assert "artist-1/album-2/bonus.mp3 (" in line
    assert len(leaks_in(place / "runs/svm")) == 1
    assert cli.main(["run", "svm.yaml"]) == 0
    assert "audit: leak" in capsys.readouterr().out, "a folder that is done warns anew"
    client = mlflow.MlflowClient(f"sqlite:///{place}/runs/svm/mlflow.db")
    experiment = client.get_experiment_by_name("svm")
    assert experiment is not None
    parents = [
        run for run in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in run.data.tags
    ]
    unsure = "clean, but near-duplicates were not looked for"
    assert [run.data.tags["audit"] for run in parents] == ["leaks: 1", "leaks: 1", unsure]
    assert {"audit.csv", "audit.json"} <= {file.path for file in client.list_artifacts(parents[0].info.run_id)}


def test_a_comparison_is_kept_until_the_sound_changes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.main(["audit", "svm.yaml"]) == 0
    (kept,) = (place / "cache/comparisons").iterdir()
    written = kept.stat().st_mtime_ns
    assert cli.main(["audit", "svm.yaml", "--set", "grid.seed=[1]"]) == 0
    assert kept.stat().st_mtime_ns == written
    kept.write_text("{")
    assert cli.main(["audit", "svm.yaml"]) == 0
    assert json.loads(kept.read_text())["false_alarms"] == 0
    plant(place)
    assert cli.main(["audit", "svm.yaml"]) == 1
    assert len(list((place / "cache/comparisons").iterdir())) == 2


def test_features_without_audio_are_audited_but_for_their_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.standard_normal((30, 3)), columns=["x", "y", "z"])
    table.assign(label=["a", "b"] * 15, name=[f"song {n}" for n in range(30)]).to_csv("table.csv", index=False)
    (tmp_path / "table.yaml").write_text(
        "name: table\ndataset: {class_path: FeatureTable, init_args: {path: table.csv, filename: name}}\n"
        "split: SongSplit\nmodel: LogisticRegression\ngrid: {seed: [0]}\n"
    )
    assert cli.main(["audit", "table.yaml"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "near-duplicates: not looked for: no audio" in printed
    assert "15" in printed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["audit", "absent.yaml"], "absent.yaml"),
        (["audit", "svm.yaml", "--set", "split=Nonsense"], "Nonsense"),
        (["audit", "svm.yaml", "--set", "dataset.root=nowhere"], "nowhere"),
    ],
)
def test_mistakes_end_with_2_and_one_line(
    place: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
