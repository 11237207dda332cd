"""Deformed test songs: what each deformation does to the sound, and what becomes of the scores."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import welch
from sklearn.metrics import f1_score

from crnn_bench import cli, config, experiment, grouping, plans, preparing, report, results, robustness
from crnn_bench.deformations import Deformation
from crnn_bench.deformations.band_limit import BandLimit
from crnn_bench.deformations.codec import BIT_RATES, Codec
from crnn_bench.deformations.gain import Gain
from crnn_bench.deformations.noise import Noise
from crnn_bench.deformations.pitch import Pitch
from crnn_bench.deformations.tempo import Tempo
from crnn_bench.engines.local import Local
from crnn_bench.errors import BenchError
from crnn_bench.figures import robustness as figure
from crnn_bench.records import Predictions
from crnn_bench.results import Result
from crnn_bench.song import Song
from tests.conftest import RATE, tones

quick = settings(max_examples=15, deadline=None, derandomize=True)
Samples = NDArray[np.float32]


def deformed(deformation: Deformation, samples: Samples, rate: float = RATE) -> Samples:
    """By the only strength that a deformation has."""
    (form,) = deformation.forms.values()
    return form.alter(Song(samples, rate))


def sine(hertz: float, seconds: float = 2.0, rate: int = RATE) -> Samples:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def hiss(seconds: float = 4.0, seed: int = 0) -> Samples:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(np.float32)


def power(samples: Samples) -> float:
    return float(np.square(samples, dtype=np.float64).mean())


def decibels(ratio: float) -> float:
    return 10 * math.log10(ratio)


def pitch_of(samples: Samples) -> float:
    """Of the strongest tone, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    return float(spectrum.argmax() * RATE / 2**18)


def levels(before: Samples, after: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies in Hz, and by how many decibels each is louder afterwards."""
    hertz, spectrum = welch(before, RATE, nperseg=2048)
    return hertz, 10 * np.log10(welch(after, RATE, nperseg=2048)[1] / spectrum)


# The sound


@quick
@given(st.floats(-20, 60), st.integers(0, 2))
def test_noise_has_the_ratio_that_it_says(snr: float, song: int) -> None:
    samples = tones(song, 0, 0)
    noise = deformed(Noise((snr,)), samples) - samples
    assert decibels(power(samples) / power(noise)) == pytest.approx(snr, abs=0.1)
    lags = np.correlate(noise[:4000], noise[:4000], "full")[4000:4200] / np.square(noise[:4000]).sum()
    assert np.abs(lags).max() < 0.1, "white"


def test_silence_stays_silent() -> None:
    assert not deformed(Noise((0.0,)), np.zeros(8000, np.float32)).any()


@quick
@given(st.floats(-60, 10))
def test_a_gain_is_one_as_long_as_nothing_clips(gain: float) -> None:
    samples = sine(440.0)
    louder = deformed(Gain((gain,)), samples)
    assert decibels(power(louder) / power(samples)) == pytest.approx(gain, abs=1e-3)
    assert np.allclose(louder, samples * 10 ** (gain / 20), atol=1e-6)


def test_what_is_too_loud_clips_at_full_scale() -> None:
    """And so has overtones that a gain alone does not make."""
    samples = sine(500.0)
    louder = deformed(Gain((20.0,)), samples)
    assert (louder.max(), louder.min()) == (1, -1)
    hertz, spectrum = welch(louder, RATE, nperseg=2048)
    third = spectrum[(hertz > 1450) & (hertz < 1550)].max() / spectrum[(hertz > 450) & (hertz < 550)].max()
    assert -15 < decibels(third) < -8  # a square wave's third is 9.5 dB below its first
    assert welch(samples, RATE, nperseg=2048)[1][(hertz > 1450) & (hertz < 1550)].max() < 1e-9


@quick
@given(st.sampled_from([0.5, 0.7, 0.85, 1.15, 1.3, 2.0]), st.sampled_from([220.0, 440.0, 1234.5]))
def test_a_tempo_changes_the_length_and_no_pitch(rate: float, hertz: float) -> None:
    samples = sine(hertz)
    faster = deformed(Tempo((rate,)), samples)
    assert len(faster) == round(len(samples) / rate)
    assert pitch_of(faster) == pytest.approx(hertz, rel=0.003)


def test_a_tempo_moves_what_happens() -> None:
    samples = np.zeros(4 * RATE, np.float32)
    samples[2 * RATE :] = sine(440.0)
    slower = deformed(Tempo((0.5,)), samples)
    begin = np.flatnonzero(np.abs(slower) > 0.1)[0] / RATE
    assert begin == pytest.approx(4.0, abs=0.1)


@quick
@given(st.integers(-7, 7), st.sampled_from([330.0, 440.0, 987.7]))
def test_a_pitch_moves_a_tone_and_keeps_the_length(semitones: int, hertz: float) -> None:
    samples = sine(hertz)
    higher = deformed(Pitch((float(semitones),)), samples)
    assert len(higher) == len(samples)
    assert pitch_of(higher) == pytest.approx(hertz * 2 ** (semitones / 12), rel=0.005)


@quick
@given(st.sampled_from([500.0, 1000.0, 2000.0, 3400.0, 4000.0, 7000.0]), st.sampled_from([0.0, 300.0]))
def test_outside_the_band_nothing_is_left_and_inside_everything(high: float, low: float) -> None:
    samples = hiss()
    hertz, change = levels(samples, deformed(BandLimit((high,), low), samples))
    step = hertz[1]
    assert change[hertz > 1.06 * high + 2 * step].max(initial=-99) < -60
    inside = (hertz < 0.94 * high - 2 * step) & (hertz > 1.1 * low + 2 * step)
    assert np.abs(change[inside]).max() < 0.1
    if low:
        assert change[(hertz > 2 * step) & (hertz < 0.9 * low - 2 * step)].max() < -50


def test_a_band_limit_delays_nothing() -> None:
    samples = np.zeros(RATE, np.float32)
    samples[5000] = 1
    limited = deformed(BandLimit((2000.0,)), samples)
    assert limited.argmax() == 5000
    assert np.allclose(limited[:5000], limited[5001:10001][::-1], atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("rank", [0, 2, 7, -1])
def test_a_codec_has_its_bit_rate_and_keeps_step(rate: int, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the file says how late its encoder is, which it cannot at the lowest rates."""
    from crnn_bench.deformations import codec

    files: list[codec.io.BytesIO] = []

    class Kept(codec.io.BytesIO):
        def __init__(self) -> None:
            super().__init__()
            files.append(self)

    kilobits = BIT_RATES[rate][rank]
    samples = np.cumsum(np.random.default_rng(0).standard_normal(5 * rate + 137))
    samples -= pd.Series(samples).rolling(200, min_periods=1, center=True).mean().to_numpy()
    samples = (0.3 * samples / np.abs(samples).max()).astype(np.float32)
    monkeypatch.setattr(codec.io, "BytesIO", Kept)
    coded = deformed(Codec((kilobits,)), samples, rate)
    (file,) = files
    assert 8 * len(file.getvalue()) / (len(samples) / rate) == pytest.approx(1000 * kilobits, rel=0.06)
    assert len(coded) == len(samples)
    middle = slice(rate, 4 * rate)
    likeness = {
        lag: float(samples[middle] @ coded[rate + lag : 4 * rate + lag]) for lag in range(-rate // 9, rate // 9)
    }
    assert abs(max(likeness, key=lambda lag: likeness[lag])) <= 1


def test_a_codec_changes_less_with_more_bits() -> None:
    samples = hiss() + tones(0, 0, 0)
    errors = [power(deformed(Codec((kilobits,)), samples) - samples) for kilobits in (160, 48, 24, 8)]
    assert errors == sorted(errors)
    music = tones(0, 0, 0)
    assert decibels(power(music) / power(deformed(Codec((160,)), music) - music)) > 25
    hertz, change = levels(samples, deformed(Codec((8,)), samples))
    assert change[hertz > 6000].max() < -15, "the lowest rate has no treble"


def test_a_codec_takes_songs_of_any_length() -> None:
    for n in (1, 575, 8000, 65536, 65537):
        assert len(deformed(Codec((32,)), hiss(5.0)[:n])) == n


# The configuration

HEAD = "name: deformed\ndataset: {{class_path: Folder, init_args: {{root: {root}}}}}\nclip_seconds: 1\n"


def write(path: Path, root: Path, text: str) -> Path:
    path.write_text(HEAD.format(root=root) + text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("robustness: Noise\n", ("expected a list of deformations such as [Noise, Gain]", "'Noise'")),
        ("robustness: [Nose]\n", ("'Nose'", "did you mean 'Noise'", "BandLimit")),
        ("robustness: [TimeMask]\n", ("'TimeMask'", "Codec")),
        ("robustness: [{class_path: Noise, init_args: {snr_decibels: []}}]\n", ("one or more numbers from -60 to 90",)),
        ("robustness: [{class_path: Codec, init_args: {kilobits: [33]}}]\n", ("no 33 kbit/s; it has 8, 16, 24",)),
        ("robustness: [{class_path: BandLimit, init_args: {hertz: [8000]}}]\n", ("no limit", "below 8000")),
        ("robustness: [{class_path: BandLimit, init_args: {low_hertz: 900}}]\n", ("hertz", "from 1350 to 40000")),
        ("robustness: [Noise, {class_path: Noise, init_args: {snr_decibels: [5]}}]\n", ("Noise comes twice",)),
        ("robustness: [Codec]\nfeatures: {class_path: LogMel, init_args: {sample_rate: 10000}}\n", ("no 10000 Hz",)),
        ("grid:\n  robustness: [[], [Noise]]\n", ("grid.robustness", "put it beside the grid")),
    ],
)
def test_what_cannot_be_is_refused_by_its_line(text: str, words: Sequence[str], tmp_path: Path) -> None:
    with pytest.raises(BenchError) as refusal:
        config.load(write(tmp_path / "faulty.yaml", tmp_path, text))
    assert all(word in str(refusal.value) for word in (*words, "faulty.yaml", "line "))


def test_ready_made_features_cannot_be_deformed(tmp_path: Path) -> None:
    table = tmp_path / "features.csv"
    rows = [{"filename": f"{genre}.{n:05}.wav", "label": genre, "rms_mean": n} for genre in "ab" for n in range(4)]
    pd.DataFrame(rows).to_csv(table, index=False)
    dataset = f"{{class_path: FeatureTable, init_args: {{path: {table}, label: label}}}}"
    (tmp_path / "table.yaml").write_text(f"name: t\ndataset: {dataset}\nmodel: KNN\nrobustness: [Noise]\n")
    with pytest.raises(BenchError, match=r"line 4: robustness: .*FeatureTable holds ready-made features"):
        config.load(tmp_path / "table.yaml")


def test_deformations_are_part_of_a_cell(music: Path, tmp_path: Path) -> None:
    """Others make another cell; without any it is what it was before there were any."""
    telephone = "{class_path: BandLimit, init_args: {hertz: [3400], low_hertz: 300}}"
    texts = ("", "robustness: []\n", "robustness: [Noise]\n", f"robustness: [BandLimit, {telephone}]\n")
    found = []
    for text in texts:
        work = config.load(write(tmp_path / "some.yaml", music, "model: MfccSVM\n" + text))
        prepared = preparing.prepare(work, preparing.listings(work), Local())
        found += plans.plan(work, prepared)
    identities = [planned.identity for planned in found]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3
    assert not [name for name in found[0].cell.parameters if "robustness" in name]
    assert "robustness" not in found[0].cell.describe()
    assert found[2].cell.parameters["robustness"] == "Noise"
    assert found[2].cell.parameters["robustness.Noise.snr_decibels"] == [30.0, 20.0, 10.0, 0.0]
    assert found[3].cell.parameters["robustness.BandLimit 2.low_hertz"] == 300
    assert [deformation.name for deformation in found[3].deformations] == ["BandLimit", "BandLimit from 300 Hz"]


# A whole run

DEFORMED = """model: MfccSVM
robustness:
  - {class_path: Noise, init_args: {snr_decibels: [90, -30]}}
  - {class_path: Tempo, init_args: {rates: [0.5, 4]}}
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Path:
    """What a run leaves whose songs of 4 s become 8 s and 1 s long, in slices of 2 s."""
    folder = tmp_path_factory.mktemp("deformed")
    yaml = write(folder / "deformed.yaml", music, DEFORMED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRNN_BENCH_CACHE", str(folder / "cache"))
        assert cli.main(["run", str(yaml), "--set", "clip_seconds=2", "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture
def cell(out: Path) -> Result:
    (stored,) = report.stored(out)
    return stored


def test_the_test_songs_alone_are_heard_deformed(cell: Result, out: Path) -> None:
    assert cell.deformed is not None
    rows = cell.deformed.table
    tested = cell.predictions.of("test").table
    assert set(rows["part"]) == {"test"}
    assert set(rows["track_id"]) == set(tested["track_id"])
    assert list(rows.columns[: len(tested.columns)]) == list(tested.columns)
    counts = rows.groupby(["deformation", "strength", "unit", "undeformed"], sort=False).size().to_dict()
    assert counts == {
        ("Noise", 90.0, "dB SNR", np.inf): 4 * 2,
        ("Noise", -30.0, "dB SNR", np.inf): 4 * 2,
        ("Tempo", 0.5, "times as fast", 1.0): 4 * 3,  # 251 frames hold three slices of 63
    }
    stored = list((out.parent / "cache" / "features").glob("*/*.parquet"))
    altered = [path for path in stored if "noisy" in path.parent.name or "time_stretched" in path.parent.name]
    assert {track for path in altered for track in pd.read_parquet(path)["track_id"]} == set(tested["track_id"])
    assert {path.parent for path in altered} != {path.parent for path in stored}


def test_hardly_audible_noise_changes_no_answer_and_deafening_noise_most(cell: Result) -> None:
    assert cell.deformed is not None
    plain = cell.predictions.of("test")
    faint, loud = (
        cell.deformed.probabilities[(cell.deformed.table["strength"] == strength).to_numpy()] for strength in (90, -30)
    )
    assert (faint.argmax(axis=1) == plain.probabilities.argmax(axis=1)).all()
    found = robustness.table(grouping.groups([cell])).set_index(["level", "deformation", "strength"])["f1"]
    assert found["slice", "Noise"][90.0] == f1_score(plain.truth, faint.argmax(axis=1), average="weighted")
    assert found["slice", "Noise"][-30.0] == f1_score(plain.truth, loud.argmax(axis=1), average="weighted")
    assert found["slice", "Noise"][-30.0] < found["slice", "Noise"][90.0]
    assert found["song", "Noise"][-30.0] < found["song", "Noise"][90.0]


def test_the_table_goes_from_the_song_as_it_is_to_the_strongest(cell: Result) -> None:
    table = robustness.table(grouping.groups([cell]))
    assert list(table.columns[:3]) == ["dataset", "split", "model"]
    for level in ("slice", "song"):
        mine = table[table["level"] == level]
        heard = list(zip(mine["deformation"], mine["strength"].fillna(-1), strict=True))
        assert heard == [("Noise", -1), ("Noise", 90), ("Noise", -30), ("Tempo", 0.5), ("Tempo", -1)]
    assert (table["songs"] == 4).all()
    as_it_is = table[table["strength"].isna()]
    assert as_it_is["difference"].isna().all()
    for level, rows in table.groupby("level"):
        reference = as_it_is[as_it_is["level"] == level]["f1"].iloc[0]
        changed = rows[rows["strength"].notna()]
        assert np.allclose(changed["difference"], changed["f1"] - reference)


def test_a_form_too_short_for_a_slice_is_left_out_and_said(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a finished cell is not run again; another folder fetches all of it."""
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(out.parent / "cache"))
    yaml, uri = str(out.parent / "deformed.yaml"), f"sqlite:///{out / 'mlflow.db'}"
    other = tmp_path / "other"
    command = ["run", yaml, "--set", "clip_seconds=2", "--out", str(other), "--tracking-uri", uri]
    assert cli.main(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Tempo, 4 times as fast, leaves 4 of 4 test songs shorter than a slice of 2 s, e.g. Alder/" in said
    assert "Mfcc in 4 deformations of 4 tracks are stored" in said
    assert "finished before" in said
    (file,) = (out / "deformed").iterdir()
    assert (other / "deformed" / file.name).read_bytes() == file.read_bytes()


def test_deformed_predictions_are_an_artifact(out: Path, cell: Result) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    artifacts = client.list_artifacts(cell.record["run_id"], "deformed")
    assert [artifact.path for artifact in artifacts] == [f"deformed/{cell.name}.parquet"]
    assert client.get_run(cell.record["run_id"]).data.params["robustness"] == "Noise, Tempo"


def test_prepare_takes_care_of_the_deformed_songs_too(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(out.parent / "cache"))
    yaml = str(out.parent / "deformed.yaml")
    assert cli.main(["prepare", yaml, "--set", "split_seed=1", "--set", "robustness=[Gain]"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Mfcc of 36 tracks are stored" in said
    assert "Mfcc in 4 deformations of 4 tracks extracted" in said


def test_a_network_hears_them_as_it_hears_any_song(music: Path, tmp_path: Path) -> None:
    """A gain of 0 dB leaves a song as it is."""
    text = "model: {class_path: CRNN1D, init_args: {conv_channels: [8]}}\ntrainer: {max_epochs: 1, precision: fp32}\n"
    none = "robustness: [{class_path: Gain, init_args: {decibels: [0, 20]}}]\n"
    work = config.load(write(tmp_path / "net.yaml", music, text + none))
    prepared = preparing.prepare(work, preparing.listings(work), Local())
    (planned,) = plans.plan(work, prepared)
    preparing.deform([planned], prepared, Local())
    result, _ = experiment.run(planned, tmp_path, lambda _: None)
    assert result.deformed is not None
    said = result.predictions.of("test").probabilities
    strengths = result.deformed.table["strength"].to_numpy()
    assert np.array_equal(result.deformed.probabilities[strengths == 0], said)
    assert not np.allclose(result.deformed.probabilities[strengths == 20], said)


# The table and the figure

CLASSES = ("a", "b")


def answered(said: dict[str, Sequence[str]], part: str = "test", **columns: Any) -> pd.DataFrame:
    """A prediction a letter: song `a1` is of class a."""
    rows = [
        {"part": part, "track_id": track, "truth": track[0], "p_a": float(letter == "a"), "p_b": float(letter == "b")}
        for track, letters in said.items()
        for letter in letters
    ]
    return pd.DataFrame(rows, columns=["part", "track_id", "truth", "p_a", "p_b"]).assign(**columns)


def made(seed: int, plain: dict[str, str], **by_strength: dict[str, str]) -> Result:
    parameters = {"split": "SongSplit", "model": "KNN", "clip_seconds": 3.0, "split_seed": seed, "model_seed": seed}
    record = {"dataset": "d", "parameters": parameters, "n_folds": 1, "name": f"cell{seed}", "classes": list(CLASSES)}
    how = {"deformation": "Tempo", "unit": "times", "undeformed": 1.0}
    tables = [answered(said, strength=float(name[1:]), **how) for name, said in by_strength.items()]
    heard = Predictions(pd.concat(tables, ignore_index=True), CLASSES) if tables else None
    return Result(Predictions(answered(plain), CLASSES), record, None, heard)


PLAIN = {"a1": "aab", "a2": "aaa", "b1": "bbb", "b2": "aaa"}


def test_a_difference_is_to_the_same_songs_as_they_are() -> None:
    """The song that is too short now was right or wrong before: that is no effect of the deformation."""
    cells = [
        made(0, PLAIN, s2={"a1": "aab", "a2": "aaa", "b1": "bbb"}),
        made(1, PLAIN, s2={"a1": "aab", "a2": "aaa", "b1": "bbb"}),
    ]
    table = robustness.table(grouping.groups(cells)).set_index(["level", "strength"])
    assert table.loc[("song", 2.0), "f1"] == 1
    assert table.loc[("slice", 2.0), "difference"] == 0
    assert table.loc[("song", 2.0), "difference"] == 0
    assert table.loc[("song", 2.0), "songs"] == 3
    as_it_is = table[table.index.get_level_values("strength").isna()]
    assert as_it_is["songs"].tolist() == [4, 4]
    assert as_it_is["f1"].max() < 1


def test_a_seed_whose_songs_are_all_too_short_has_no_say() -> None:
    cells = [made(0, PLAIN, s2={"a1": "a", "b1": "b"}, s3={"a1": "a"}), made(1, PLAIN, s3={"a1": "b", "b1": "a"})]
    table = robustness.table(grouping.groups(cells)).set_index(["level", "strength"])["f1"]
    assert table["slice", 2.0] == 1
    assert table["slice", 3.0] == pytest.approx(0.5)


def test_cells_that_heard_nothing_deformed_have_no_rows() -> None:
    plain = made(0, PLAIN)
    groups = grouping.groups([plain])
    assert robustness.table(groups).empty
    assert robustness.curves(robustness.table(groups), groups, "song").empty
    among = grouping.groups([made(0, PLAIN, s2=PLAIN), made(1, PLAIN)])
    assert (robustness.table(among)["songs"] == 4).all()


def test_deformed_predictions_are_stored_and_checked(tmp_path: Path) -> None:
    before = made(0, PLAIN, s2=PLAIN)
    files = before.save(tmp_path)
    assert list(files) == ["predictions", "deformed"]
    after = results.load(tmp_path, "cell0")
    assert before.deformed is not None
    assert after.deformed is not None
    pd.testing.assert_frame_equal(after.deformed.table, before.deformed.table)
    files["deformed"].write_bytes(b"cut")
    with pytest.raises(BenchError, match="no whole predictions file"):
        results.load(tmp_path, "cell0")


def test_the_figure_has_a_panel_for_each_deformation_and_a_line_for_each_group(cell: Result) -> None:
    other = Result(cell.predictions, {**cell.record, "parameters": {**cell.record["parameters"], "model": "KNN"}}, None)
    other = Result(other.predictions, other.record, None, cell.deformed)
    groups = grouping.groups([cell, other])
    table = robustness.table(groups)
    drawn = figure.draw(robustness.curves(table, groups, "slice"))
    drawn.canvas.draw()
    assert [axes.get_title() for axes in drawn.axes] == ["Noise", "Tempo"]
    noise, tempo = drawn.axes
    assert [tick.get_text() for tick in noise.get_xticklabels()] == ["as it is", "90", "-30"]
    assert [tick.get_text() for tick in tempo.get_xticklabels()] == ["0.5", "as it is"]
    lines = {line.get_label(): line.get_ydata() for line in noise.get_lines() if len(line.get_xdata()) == 3}
    assert list(lines) == ["MfccSVM", "KNN"]
    wanted = table[(table["level"] == "slice") & (table["deformation"] == "Noise") & (table["model"] == "KNN")]
    assert list(lines["KNN"]) == wanted["f1"].tolist()
