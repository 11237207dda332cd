"""Songs of any length: streamed audio, streamed features, a network's answers, and the command."""

import contextlib
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crnn_bench import audio, bundles, cli, evaluation, experiment, features, listening, predicting, terminal
from crnn_bench.aggregations import Aggregation
from crnn_bench.audio import UnusableAudioError
from crnn_bench.bundles import Bundle
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.features.cqt import Cqt
from crnn_bench.features.log_mel import LogMel
from crnn_bench.features.mfcc import Mfcc
from crnn_bench.figures import timeline as figure
from crnn_bench.listening import Timeline
from crnn_bench.plugins import options
from crnn_bench.records import Predictions
from crnn_bench.song import Song
from crnn_bench.songs import Songs
from tests.conftest import ARTISTS, RATE, tones
from tests.test_experiment import planned_cells, write_yaml
from tests.test_features import write_audio

RATES = ((8000, 1), (16000, 1), (16000, 2), (22050, 2), (44100, 2), (48000, 1))
FRAMEWISE = sorted(
    {cls for cls in options(Feature).values() if not cls.is_table and cls.__name__ != "MfccGaussian"},
    key=lambda cls: cls.__name__,
)
GIB_IN_KIB = 2**20


def joined(blocks: Iterator[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(blocks))


# Audio


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Songs of 3 s in four formats, of several rates, mono and stereo."""
    folder = tmp_path_factory.mktemp("songs")
    return {
        ending: [write_audio(folder / f"{rate}-{sides}.{ending}", rate, sides, seconds=3.0) for rate, sides in RATES]
        for ending in ("wav", "flac", "ogg", "mp3")
    }


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@settings(max_examples=20, deadline=None)
@given(which=st.integers(0, len(RATES) - 1), rate=st.sampled_from([16000, 22050]), seconds=st.floats(0.001, 4.0))
def test_streamed_samples_are_the_loaded_ones(
    songs: dict[str, list[Path]], ending: str, which: int, rate: int, seconds: float
) -> None:
    path = songs[ending][which]
    whole, streamed = audio.load(path, rate), joined(audio.stream(path, rate, seconds))
    assert streamed.dtype == np.float32
    assert streamed.shape == whole.shape
    assert np.abs(whole).max() > 0.1
    if ending == "mp3":  # some of which libsndfile rounds otherwise after a seek
        np.testing.assert_allclose(streamed, whole, rtol=0, atol=1e-6)
    else:
        assert np.array_equal(streamed, whole)


def test_a_stream_comes_in_blocks_of_the_length_asked_for(songs: dict[str, list[Path]]) -> None:
    lengths = [len(block) for block in audio.stream(songs["wav"][1], RATE, block_seconds=0.25)]
    assert set(lengths[:-1]) == {RATE // 4}
    assert len(lengths) == 12
    assert [len(block) for block in audio.stream(songs["wav"][1], RATE, math.inf)] == [3 * RATE - 1]


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    good = tones(0, 0, 0, seconds=3.0)
    broken = good.copy()
    broken[[RATE, 2 * RATE]] = np.nan, np.inf
    for name, samples in {"nan": broken, "silent": 0 * good, "short": good[:4000], "good": good}.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
    for ending in ("wav", "flac", "mp3"):
        whole = write_audio(folder / f"cut.{ending}", RATE, 1, seconds=3.0)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "empty.wav").touch()
    (folder / "text.mp3").write_text("no music\n")
    return folder


@pytest.mark.parametrize(
    ("name", "reason"),
    {
        "nan.wav": "holds 2 NaN or infinite samples",
        "silent.wav": "silent",
        "short.wav": "too short: 0.25 s",
        "cut.wav": "truncated",
        "cut.flac": "cannot be decoded",
        "cut.mp3": "truncated",
        "empty.wav": r"empty file \(0 bytes\)",
        "text.mp3": "cannot be decoded",
    }.items(),
)
def test_a_stream_refuses_what_load_refuses(bad_files: Path, name: str, reason: str) -> None:
    with pytest.raises(UnusableAudioError, match=reason) as loading:
        audio.load(bad_files / name, RATE)
    with pytest.raises(UnusableAudioError, match=reason) as streaming:
        joined(audio.stream(bad_files / name, RATE))
    assert str(loading.value) == str(streaming.value)


def test_a_stream_never_gives_what_is_no_number(bad_files: Path) -> None:
    stream = audio.stream(bad_files / "nan.wav", RATE, block_seconds=0.1)
    heard = np.concatenate([next(stream) for _ in range(10)])  # up to the first NaN
    assert len(heard) == RATE
    assert np.isfinite(heard).all()
    with pytest.raises(UnusableAudioError, match="holds 2 NaN"):
        next(stream)


def test_the_absence_of_a_file_is_told_as_by_load(tmp_path: Path) -> None:
    for read in (lambda: audio.load(tmp_path / "no.wav", RATE), lambda: list(audio.stream(tmp_path / "no.wav", RATE))):
        with pytest.raises(FileNotFoundError):
            read()


# Features


def cut(samples: NDArray[np.float32], places: list[float]) -> list[NDArray[np.float32]]:
    """The samples in blocks that end at some shares of the whole."""
    return np.split(samples, sorted(int(place * len(samples)) for place in places))


@settings(max_examples=60, deadline=None)
@given(
    n_samples=st.integers(400, 5 * RATE),
    places=st.lists(st.floats(0, 1), max_size=12),
    slice_frames=st.integers(1, 70),
    sizes=st.sampled_from([(2048, 512), (400, 160), (512, 700), (1023, 333)]),
    piece_seconds=st.sampled_from([0.5, 2.0, 600.0]),
    loud=st.floats(0, 1),
)
def test_log_mel_frames_of_a_stream_are_those_of_the_song(
    n_samples: int, places: list[float], slice_frames: int, sizes: tuple[int, int], piece_seconds: float, loud: float
) -> None:
    """Bit for bit, wherever the blocks, the pieces and the loudest frame are."""
    samples = 1e-5 * np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    samples[int(loud * (n_samples - 1))] = 1.0
    feature = LogMel(n_fft=sizes[0], hop_samples=sizes[1], n_mels=16)
    whole = feature.compute(Song(samples, RATE)).astype(np.float16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "LONGEST_PIECE_SECONDS", piece_seconds)
        pieces = list(feature.stream(cut(samples, places), slice_frames))
    assert [len(piece) % slice_frames for piece in pieces] == [0] * len(pieces)
    streamed = np.concatenate([np.empty((0, 16), np.float16), *pieces])
    assert streamed.dtype == np.float16
    assert np.array_equal(streamed, whole[: len(whole) // slice_frames * slice_frames])


@pytest.mark.parametrize("cls", FRAMEWISE)
def test_up_to_five_minutes_a_stream_gives_the_songs_frames(cls: type[Feature]) -> None:
    feature, samples = cls(), tones(1, 0, 0, seconds=3.0, rate=int(cls().sample_rate))
    whole = feature.compute(Song(samples, feature.sample_rate)).astype(feature.dtype)
    (streamed,) = feature.stream(cut(samples, [0.1, 0.1, 0.7]), 10)
    assert streamed.dtype == feature.dtype
    assert np.array_equal(streamed, whole[: len(whole) // 10 * 10])


@pytest.mark.parametrize("cls", [LogMel, Mfcc])
def test_a_slices_worth_of_samples_gives_a_slice_and_less_gives_none(cls: type[Feature]) -> None:
    samples = tones(1, 0, 0, seconds=1.0)[: 9 * 512]
    assert [len(piece) for piece in cls().stream([samples], 10)] == [10]
    assert list(cls().stream([samples[:-1]], 10)) == []


@pytest.mark.parametrize("cls", [Mfcc, Cqt])
def test_each_piece_of_a_longer_song_is_a_song_of_its_own(cls: type[Feature], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "LONGEST_PIECE_SECONDS", 2.0)
    feature = cls()
    slice_frames = 10
    n_frames = int(2 * feature.frames_per_second) // slice_frames * slice_frames
    size = n_frames * feature.hop_samples
    samples = tones(1, 0, 0, seconds=5.0)
    pieces = list(feature.stream(cut(samples, [0.3, 0.5, 0.9]), slice_frames))
    assert [len(piece) for piece in pieces[:2]] == [n_frames, n_frames]
    assert sum(map(len, pieces)) == (1 + len(samples) // feature.hop_samples) // slice_frames * slice_frames
    for number, piece in enumerate(pieces):
        alone = feature.compute(Song(samples[number * size : (number + 1) * size], RATE))[: len(piece)]
        assert np.array_equal(piece, alone.astype(feature.dtype))


# A network's answers


@dataclass(frozen=True)
class Trained:
    """A network, as an experiment leaves it, and what it said of the test songs then."""

    bundle: Bundle
    predictions: Predictions
    paths: dict[str, Path]

    @property
    def folder(self) -> str:
        return str(self.bundle.path.parents[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        (planned,) = planned_cells(write_yaml(folder / "tiny.yaml", music), "trainer.max_epochs=4")
        result, model = experiment.run(planned, folder, lambda _: None)
    path = bundles.path_of(folder, result.name)
    bundles.save(path, model.network, bundles.describe(planned.cell, result.record, (), {}))  # type: ignore[union-attr]
    tested = planned.catalogue.table.set_index("track_id")["path"]
    paths = {track: Path(tested[track]) for track in planned.split.test}
    return Trained(bundles.load(path), result.predictions.of("test"), paths)


def test_a_file_is_answered_as_the_experiment_answered_it(trained: Trained) -> None:
    table = trained.predictions.table
    assert table["track_id"].nunique() == len(trained.paths) == 12
    for track, path in trained.paths.items():
        stored = table["track_id"] == track
        heard = listening.listen(trained.bundle, path)
        assert heard.classes == trained.predictions.classes
        np.testing.assert_allclose(heard.probabilities, trained.predictions.probabilities[stored], rtol=0, atol=1e-6)
        np.testing.assert_allclose(heard.start_seconds, table.loc[stored, "start_seconds"], rtol=0, atol=1e-9)
        assert table.loc[stored, "seconds"].tolist() == [heard.seconds] * stored.sum()
    assert np.ptp(trained.predictions.probabilities) > 0.05, "a network that says the same of all proves nothing"


@pytest.mark.parametrize("rule", evaluation.aggregations(), ids=lambda rule: rule.name)
def test_a_timeline_is_compiled_as_the_evaluation_compiles(trained: Trained, rule: Aggregation) -> None:
    compiled = evaluation.songs(trained.predictions, rule).set_index("track_id")
    for track, path in trained.paths.items():
        heard = listening.listen(trained.bundle, path)
        expected = compiled.loc[track, [f"p_{name}" for name in heard.classes]].to_numpy(float)
        np.testing.assert_allclose(heard.compiled(rule), expected, rtol=0, atol=1e-6)
        if rule.name == evaluation.SONG_RULE:
            assert heard.label == compiled.loc[track, "predicted"]
        if rule.name == "mean-prob":
            assert np.array_equal(heard.compiled(), heard.compiled(rule))


def test_pieces_of_a_long_song_follow_each_other(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    path = next(iter(trained.paths.values()))
    at_once = listening.listen(trained.bundle, path)
    monkeypatch.setattr(features, "LONGEST_PIECE_SECONDS", 1.1)
    in_pieces = listening.listen(trained.bundle, path)
    assert len(at_once.start_seconds) == 3
    np.testing.assert_allclose(in_pieces.probabilities, at_once.probabilities, rtol=0, atol=1e-6)
    assert np.array_equal(in_pieces.start_seconds, at_once.start_seconds)


def test_a_song_may_be_as_short_as_a_slice_but_no_shorter(trained: Trained, tmp_path: Path) -> None:
    least = (trained.bundle.about["n_frames"] - 1) * 512  # centred frames: the last begins at the song's end
    for n_samples in (least, least - 1):
        soundfile.write(tmp_path / f"{n_samples}.wav", tones(0, 0, 0)[:n_samples], RATE)
    assert len(listening.listen(trained.bundle, tmp_path / f"{least}.wav").start_seconds) == 1
    with pytest.raises(UnusableAudioError, match=rf"shorter than a slice: .* at least {least / RATE:.2f} s"):
        listening.listen(trained.bundle, tmp_path / f"{least - 1}.wav")


def test_a_cut_song_gets_no_answer(trained: Trained, bad_files: Path) -> None:
    with pytest.raises(UnusableAudioError, match="truncated"):
        listening.listen(trained.bundle, bad_files / "cut.mp3")


def test_a_model_of_ready_made_tables_hears_no_files(trained: Trained) -> None:
    rows = {"class_path": "crnn_bench.features.rows.Rows", "init_args": {"row_seconds": None}}
    bundle = replace(trained.bundle, about={**trained.bundle.about, "features": rows})
    with pytest.raises(BenchError, match="hears the rows of a ready-made table, Rows"):
        listening.listen(bundle, Path("song.wav"))


# Baselines

HEARING = {"slices": ("MfccSVM", "1"), "whole songs": ("GaussianMixture", "song"), "rows": ("KLSVM", "song")}


@pytest.fixture(scope="module", params=HEARING)
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, music: Path) -> Trained:
    """A baseline that hears slices, the frames of whole songs, or one row a song."""
    model, clip = HEARING[request.param]
    folder = tmp_path_factory.mktemp(model)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        (planned,) = planned_cells(write_yaml(folder / "tiny.yaml", music, f"[{model}]"), f"clip_seconds={clip}")
        result, made = experiment.run(planned, folder, lambda _: None)
    path = experiment._save(planned, result, made, {"validation/song/f1": 0.5}, folder)
    paths = planned.catalogue.table.set_index("track_id")["path"]
    tested = {track: Path(paths[track]) for track in planned.split.test}
    return Trained(bundles.load(path), result.predictions.of("test"), tested)


def test_a_baseline_answers_a_file_as_in_the_experiment(fitted: Trained) -> None:
    table = fitted.predictions.table
    whole = fitted.bundle.about["clip_seconds"] is None
    for track, path in fitted.paths.items():
        stored = table["track_id"] == track
        heard = listening.listen(fitted.bundle, path)
        np.testing.assert_allclose(heard.probabilities, fitted.predictions.probabilities[stored], rtol=0, atol=1e-6)
        np.testing.assert_allclose(heard.start_seconds, table.loc[stored, "start_seconds"], rtol=0, atol=1e-9)
        assert heard.seconds == pytest.approx(4.0 if whole else fitted.bundle.about["n_frames"] * 512 / RATE)
        assert len(heard.start_seconds) == (1 if whole else 3)
    assert np.ptp(fitted.predictions.probabilities) > 0.05


def test_a_folders_baseline_answers_in_lines(fitted: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(iter(fitted.paths.values()))
    assert cli.main(["predict", fitted.folder, str(path)]) == 0
    printed = capsys.readouterr().out
    whole = fitted.bundle.about["clip_seconds"] is None
    assert f"4 classes, {'whole songs' if whole else 'slices of 1 s'}\n" in printed
    told = "; probabilities " if whole else " by the vote of 3 slices; mean probabilities "
    assert f"{path}: {listening.listen(fitted.bundle, path).label}{told}" in printed


def test_a_baseline_tells_of_its_cell(fitted: Trained) -> None:
    about = fitted.bundle.about
    assert about["validation"] == {"song/f1": 0.5}
    assert about["validation_loss"] is None
    assert about["name"] == fitted.bundle.path.stem
    assert len(about["heard"]) == 24
    assert about["classes"] == list(ARTISTS)


def test_many_files_are_answered_in_a_table(fitted: Trained, bad_files: Path) -> None:
    good, bad = [str(path) for path in list(fitted.paths.values())[:2]], str(bad_files / "silent.wav")
    table = listening.table(fitted.bundle, [good[0], bad, "nowhere.wav", good[1]])
    columns = [f"p_{name}" for name in ARTISTS]
    assert list(table.columns) == ["path", "label", "probability", "fault", *columns]
    assert table["path"].tolist() == [good[0], bad, "nowhere.wav", good[1]]
    assert table["fault"].tolist()[::3] == ["", ""]
    assert table["fault"][1].startswith("silent")
    assert table["fault"][2] == "cannot be opened (No such file or directory)"
    assert table.loc[[1, 2], columns].isna().all(axis=None)
    for row, path in ((0, good[0]), (3, good[1])):
        heard = listening.listen(fitted.bundle, Path(path))
        np.testing.assert_allclose(table.loc[row, columns].to_numpy(float), heard.compiled(), rtol=0, atol=1e-12)
        assert table["label"][row] == heard.label
        assert table["probability"][row] == table.loc[row, f"p_{heard.label}"]


# The figure


def random_timeline(n_slices: int, n_classes: int) -> Timeline:
    probabilities = np.random.default_rng(n_slices).dirichlet(np.full(n_classes, 0.3), n_slices)
    classes = tuple(f"Artist {n}" for n in range(n_classes))
    return Timeline(np.arange(n_slices) * 3.0, 3.0, probabilities, np.zeros((n_slices, 2)), classes)


@pytest.mark.parametrize(("n_classes", "expected"), [(2, 2), (7, 7), (8, 7), (20, 7), (200, 7)])
def test_a_timeline_names_as_many_classes_as_there_are_colours(n_classes: int, expected: int) -> None:
    some = [random_timeline(n, n_classes) for n in (1, 40, 1000)]
    drawn = figure.draw(
        {f"{n}": (t.start_seconds, t.seconds, t.probabilities) for n, t in enumerate(some)}, some[0].classes
    )
    (legend,) = drawn.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == expected
    most = np.argmax(np.mean([t.probabilities.mean(axis=0) for t in some], axis=0))
    assert names[-1] == f"Artist {most}"  # at the bottom of the stack, and of the legend
    if n_classes > expected:
        assert names[0] == f"{n_classes - 6} others"
    assert len(drawn.axes) == len(some)
    for axes, song in zip(drawn.axes, some, strict=True):
        assert axes.get_xlim() == pytest.approx((0, len(song.start_seconds) * 3.0 / 60))
        tops = [area.get_paths()[0].vertices[:, 1].max() for area in axes.collections]
        assert tops[-1] == pytest.approx(1, abs=1e-6)


def test_areas_are_as_high_as_the_probabilities() -> None:
    song = random_timeline(5, 3)
    drawn = figure.draw({"song": (song.start_seconds, song.seconds, song.probabilities)}, song.classes)
    ranked = np.argsort(-song.probabilities.mean(axis=0))
    outlines = [np.asarray(area.get_paths()[0].vertices) for area in drawn.axes[0].collections]
    for number, (index, outline) in enumerate(zip(ranked, outlines, strict=True)):
        below = song.probabilities[:, ranked[:number]].sum(axis=1)
        levels = {*np.round(below, 6), *np.round(below + song.probabilities[:, index], 6)}
        assert set(np.round(outline[:, 1], 6)) <= {0.0, *levels}
        assert levels <= set(np.round(outline[:, 1], 6))


def test_of_many_slices_neighbours_are_averaged() -> None:
    song = random_timeline(3 * figure.MOST_STEPS, 2)
    edges, means = figure._steps(song.start_seconds, song.seconds, song.probabilities)
    assert np.allclose(edges, 9.0 * np.arange(figure.MOST_STEPS + 1))
    assert np.allclose(means, song.probabilities.reshape(-1, 3, 2).mean(axis=1))


# The command


def test_files_are_answered_in_lines_and_a_bad_one_is_named(
    trained: Trained, bad_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other = list(trained.paths.values())[:2]
    csv = tmp_path / "timeline.csv"
    bad = [str(bad_files / "silent.wav"), str(tmp_path / "none.mp3")]
    assert cli.main(["predict", trained.folder, str(good), *bad, str(other), "--timeline", str(csv)]) == 2
    printed = capsys.readouterr()
    heard = {path: listening.listen(trained.bundle, path) for path in (good, other)}
    for path, timeline in heard.items():
        best = timeline.compiled()
        (line,) = [line for line in printed.out.splitlines() if line.startswith(f"{path}: ")]
        assert f": {timeline.label} by the vote of 3 slices; mean probabilities " in line
        told = re.findall(r"(\w+) (0\.\d{3})", line.rpartition(";")[2])
        names = [timeline.classes[index] for index in np.argsort(-best)[:3]]
        names += [timeline.label] if timeline.label not in names else []
        assert [name for name, _ in told] == names
        assert [float(number) for _, number in told] == pytest.approx(
            [best[timeline.classes.index(name)] for name in names], abs=5e-4
        )
    assert f"{bad[0]}: silent" in printed.out
    assert f"{bad[1]}: cannot be opened (No such file or directory)" in printed.out
    assert printed.err.startswith(f"crnn-bench: 2 of 4 files could not be heard: {bad[0]}: silent")
    assert len(printed.err.splitlines()) == 1
    table = pd.read_csv(csv)
    assert list(table.columns) == ["file", "start_seconds", "seconds", "label", *(f"p_{name}" for name in ARTISTS)]
    assert table["file"].tolist() == [str(good)] * 3 + [str(other)] * 3
    columns = table[[f"p_{name}" for name in ARTISTS]]
    np.testing.assert_allclose(columns, np.concatenate([t.probabilities for t in heard.values()]), rtol=0, atol=1e-12)
    assert table["label"].tolist() == columns.idxmax(axis=1).str.removeprefix("p_").tolist()


def test_a_timeline_is_drawn(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(iter(trained.paths.values()))
    png = tmp_path / "new" / "timeline.png"
    assert cli.main(["predict", str(trained.bundle.path), str(path), "--timeline", str(png)]) == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in png.parent.iterdir()] == ["timeline.png"]
    assert str(png) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("timeline", "copies", "message"),
    [
        ("t.pdf", 1, "must end in .csv or .png"),
        ("t.png", 51, "50 songs fit in a figure, got 51; give a .csv"),
        ("folder.png", 1, "folder.png: cannot be written there"),
        ("file/t.csv", 1, "t.csv: cannot be written there"),
        ("file/new/t.csv", 1, "t.csv: cannot be written there"),
    ],
)
def test_a_timeline_that_cannot_be_is_refused_before_anything_is_heard(
    trained: Trained, timeline: str, copies: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    files = [f"song {number}.wav" for number in range(copies)]
    assert cli.main(["predict", trained.folder, *files, "--timeline", str(tmp_path / timeline)]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


def test_a_vote_against_the_mean_is_told_with_its_probability(capsys: pytest.CaptureFixture[str]) -> None:
    """One sure slice outvotes the unsure ones, and its class is told although three are likelier in the mean."""
    probabilities = np.array([[0.33, 0.33, 0.34, 0.0]] * 9 + [[0.1, 0.1, 0.1, 0.7]])
    song = Timeline(np.arange(10.0), 1.0, probabilities, np.zeros((10, 2)), ARTISTS)
    predicting._tell("song.wav", song, "", 3, None)
    said = "song.wav: Dogwood by the vote of 10 slices; mean probabilities Cedar 0.316, Alder 0.307, Birch 0.307"
    assert capsys.readouterr().out == f"{said}, Dogwood 0.070\n"


def test_a_song_that_is_heard_at_once_is_not_told_to_be_voted_on(capsys: pytest.CaptureFixture[str]) -> None:
    song = Timeline(np.zeros(1), 9.0, np.array([[0.25, 0.0, 0.75, 0.0]]), np.zeros((1, 2)), ARTISTS)
    predicting._tell("song.wav", song, "", 2, None)
    assert capsys.readouterr().out == "song.wav: Cedar; probabilities Cedar 0.750, Alder 0.250\n"


def test_json_is_one_object_a_file_and_nothing_else(
    trained: Trained, bad_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = next(iter(trained.paths.values())), bad_files / "silent.wav"
    assert cli.main(["predict", trained.folder, str(good), str(bad), "--json", "--top", "2"]) == 2
    printed = capsys.readouterr()
    told, refused = (json.loads(line) for line in printed.out.splitlines())
    assert list(told) == list(refused)
    heard = listening.listen(trained.bundle, good)
    best = np.argsort(-heard.compiled())[:2]
    assert told["path"] == str(good)
    assert told["model"] == trained.bundle.about["name"]
    assert told["label"] == heard.label
    assert list(told["probabilities"])[:2] == [heard.classes[index] for index in best]
    assert list(told["probabilities"].values())[:2] == pytest.approx(heard.compiled()[best].tolist(), abs=1e-6)
    assert (told["n_slices"], told["seconds"]) == (3, round(3 * heard.seconds, 3))
    assert told["fault"] is None
    assert told["familiar"] is None  # this folder keeps no songs
    assert refused["fault"].startswith("silent")
    assert (refused["label"], refused["probabilities"], refused["n_slices"]) == (None, {}, 0)
    assert printed.err.startswith("crnn-bench: 1 of 2 files could not be heard")


def test_as_many_labels_are_told_as_are_asked_for(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(next(iter(trained.paths.values())))
    for top, number in (("1", 1), ("4", 4), ("99", 4)):
        assert cli.main(["predict", trained.folder, path, "--top", top]) == 0
        told = re.findall(r"(\w+) \d\.\d{3}", capsys.readouterr().out.splitlines()[1].rpartition(";")[2])
        assert number <= len(told) <= number + (number < 4)  # the vote's label may be one more
    assert cli.main(["predict", trained.folder, path, "--top", "0"]) == 2
    assert "--top 0: expected at least 1" in capsys.readouterr().err


@pytest.fixture
def placed(trained: Trained, tmp_path: Path) -> Path:
    """A folder whose model knows the artists' songs by file, and whose tables tell a score."""
    shutil.copytree(Path(trained.folder) / "models", tmp_path / "out" / "models")
    heard = [listening.listen(trained.bundle, path) for path in trained.paths.values()]
    table = pd.DataFrame({"track_id": list(trained.paths), "part": (["train", "train", "validation"] * 4)})
    table.attrs = {"classes": list(ARTISTS)}
    vectors = np.array([song.vector for song in heard], np.float32)
    name = trained.bundle.path.stem
    kept = Songs(table, vectors, np.array([song.compiled() for song in heard], np.float32), ARTISTS)
    kept.save(tmp_path / "out" / "songs" / f"{name}.parquet")
    rows = (
        "split,level,seeds,1 s mean,1 s low,1 s high",
        "AlbumSplit,slice,2,0.5,0.4,0.6",
        "AlbumSplit,song,2,0.7512,0.612,0.85",
    )
    (tmp_path / "out" / "summary.csv").write_text("\n".join(rows))
    (tmp_path / "out" / "results.csv").write_text(f"split,clip_seconds,cell\nAlbumSplit,1.0,{name}\n")
    return tmp_path / "out"


def test_a_song_like_nothing_known_is_warned_of_and_the_score_is_told(
    placed: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, strange = next(iter(trained.paths.values())), tmp_path / "noise.wav"  # the first is a training song here
    soundfile.write(strange, 0.5 * np.random.default_rng(0).standard_normal(4 * RATE).clip(-1, 1), RATE)
    assert cli.main(["predict", str(placed), str(known), str(strange)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith(
        "4 classes, slices of 1 s; weighted F1 on test songs 0.751 [95%: 0.61–0.85] (mean of 2 seeds)"
    )
    assert [line.partition(":")[0] for line in lines] == [
        str(known), str(strange), "    not like anything that this model knows"
    ]  # fmt: skip
    assert cli.main(["predict", str(placed), str(known), str(strange), "--json"]) == 0
    assert [json.loads(line)["familiar"] for line in capsys.readouterr().out.splitlines()] == [True, False]


def test_a_text_file_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("# No model")
    assert cli.main(["predict", str(tmp_path / "README.md"), "song.wav"]) == 2
    told = capsys.readouterr().err
    assert "README.md is no model; give a results folder, or a file of its models/" in told
    assert "--rerun" not in told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("number", "shown"), [(1, False), (3, True)])
def test_progress_of_several_files_is_shown_on_a_terminals_stderr_and_never_on_stdout(
    number: int, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    for item in terminal.counted("hearing", list(range(number))):
        print(json.dumps(item))
    assert capsys.readouterr().out == "".join(f"{item}\n" for item in range(number))
    assert ("hearing" in err.getvalue()) == shown


HEARD = """
import json, sys
from crnn_bench import cli
status = cli.main(["predict", *sys.argv[1:]])
print(json.dumps(sorted(sys.modules)))
sys.exit(status)
"""
SLOW = {"pytorch_lightning", "torchmetrics", "sklearn", "librosa", "mlflow", "matplotlib", "pandas", "numba", "xgboost"}


def test_a_network_hears_without_the_libraries_that_are_slow_to_import(placed: Path, trained: Trained) -> None:
    path = str(next(iter(trained.paths.values())))
    command = [sys.executable, "-c", HEARD, str(placed), path, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    answer, modules = map(json.loads, ran.stdout.splitlines())
    assert answer["familiar"] is True
    assert {"torch", "soundfile", "crnn_bench"} <= set(modules)
    assert set(modules) & SLOW == set()
    assert "scipy.stats" not in modules


@pytest.mark.parametrize(
    "name",
    [r"a 'b' \"c\" $\foo$ [red]x.wav", "🎵 楽.wav"],
)
def test_any_name_of_a_file_is_told_and_drawn(
    trained: Trained, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    shutil.copy(next(iter(trained.paths.values())), path)
    for ending in ("csv", "png"):
        assert cli.main(["predict", trained.folder, str(path), "--timeline", str(tmp_path / f"t.{ending}")]) == 0
        assert f"{path}: " in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "t.csv")["file"]) == {str(path)}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are text")
def test_a_name_that_is_no_text_is_refused(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    shutil.copy(next(iter(trained.paths.values())), path)
    assert cli.main(["predict", trained.folder, str(path)]) == 2
    printed = capsys.readouterr()
    assert rf"{tmp_path}/caf\xe9.wav: its name is no UTF-8; rename it" in printed.out
    assert len(printed.err.splitlines()) == 1


def test_a_file_named_twice_is_answered_once(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(next(iter(trained.paths.values())))
    assert cli.main(["predict", trained.folder, path, path, "--timeline", str(tmp_path / "t.csv")]) == 0
    assert capsys.readouterr().out.count(f"{path}: ") == 1
    assert len(pd.read_csv(tmp_path / "t.csv")) == 3


PREDICT = """
import sys
from pathlib import Path
from crnn_bench import cli
status = cli.main(["predict", *sys.argv[1:]])
print(Path("/proc/self/status").read_text())
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of memory is read as Linux tells it")
def test_three_hours_are_heard_in_less_than_a_gibibyte(trained: Trained, tmp_path: Path) -> None:
    """The whole process, its libraries included; `getrusage` would count what pytest itself held before the start."""
    path, minute = tmp_path / "long.flac", tones(2, 0, 0, seconds=60.0)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(180):
            file.write(minute)
    command = [sys.executable, "-c", PREDICT, trained.folder, str(path), "--timeline", str(tmp_path / "long.csv")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    path.unlink()
    assert ran.returncode == 0, ran.stderr
    peak = re.search(r"VmHWM:\s+(\d+) kB", ran.stdout)
    assert peak is not None
    assert int(peak[1]) < GIB_IN_KIB
    table = pd.read_csv(tmp_path / "long.csv")
    assert len(table) == (1 + 3 * 3600 * RATE // 512) // trained.bundle.about["n_frames"]
    assert f"{len(table)} slices" in ran.stdout
    assert table["start_seconds"].iloc[-1] > 3 * 3600 - 2.1
