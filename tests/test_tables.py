"""From cells to a table: what is pooled, what is averaged, and what may not be mixed up."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from crnn_bench import console, grouping, learning, report, statistics, tables, wording
from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.cells import Experiment
from crnn_bench.cli import main
from crnn_bench.errors import BenchError
from crnn_bench.grouping import groups
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.records import Predictions
from crnn_bench.results import Result

CLASSES = ("a", "b")


def cell(right: list[bool], songs: str = "x", n_folds: int = 1, **parameters: Any) -> Result:
    """A finished cell: one slice a test song, told rightly or not; true classes alternate."""
    truth = np.arange(len(right)) % 2
    predicted = np.where(right, truth, 1 - truth)
    table = pd.DataFrame({"part": "test", "track_id": [f"{songs}{i}" for i in range(len(right))]})
    table = table.assign(start_seconds=0.0, seconds=3.0, truth=np.array(CLASSES)[truth])
    table = table.assign(p_a=np.where(predicted == 0, 0.9, 0.1), p_b=np.where(predicted == 1, 0.9, 0.1))
    both = pd.concat([table, table.assign(part="validation")], ignore_index=True)
    usual = {"split": "SongSplit", "model": "CRNN", "clip_seconds": 3.0, "split_seed": 0, "model_seed": 0}
    record = {"name": "cell", "dataset": "music", "n_folds": n_folds, "parameters": usual | parameters}
    return Result(Predictions(both, CLASSES), record, None)


def fold(number: int, right: list[bool], seed: int = 0, n_folds: int = 2) -> Result:
    return cell(
        right, f"fold {number} song ", n_folds, **{"split": "SongKFold", "split.fold": number, "model_seed": seed}
    )


GOOD, BAD = [True] * 4, [False] * 4


def test_folds_are_pooled_before_they_are_scored() -> None:
    table = tables.summary(
        groups([fold(0, [True, True, False, True]), fold(1, [True, False, True, True, True, False])])
    )
    truth = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    predicted = [0, 1, 1, 1, 0, 0, 0, 1, 0, 0]
    expected = f1_score(truth, predicted, average="weighted")
    assert table["3 s mean"].tolist() == pytest.approx([expected, expected])
    assert table["pooled_folds"].tolist() == ["2", "2"]
    assert table["seeds"].tolist() == [1, 1]


def test_a_seed_that_lacks_a_fold_stays_out_of_the_mean() -> None:
    """One fold alone is another test set; its score is not comparable."""
    table = tables.summary(groups([fold(0, GOOD), fold(1, GOOD), fold(0, BAD, seed=21)]))
    assert table["3 s mean"].tolist() == [1, 1]
    assert table["seeds"].tolist() == [1, 1]


def test_folds_that_are_not_finished_are_told() -> None:
    assert tables.summary(groups([fold(0, GOOD, n_folds=5), fold(3, GOOD, n_folds=5)]))["pooled_folds"].tolist() == [
        "2 of 5",
        "2 of 5",
    ]


def test_models_of_one_name_are_two() -> None:
    table = tables.summary(groups([cell(GOOD, model="CRNN"), cell(BAD, model="mine.CRNN")]))
    assert table[table["level"] == "song"].set_index("model")["3 s mean"].to_dict() == {"CRNN": 1, "mine.CRNN": 0}


def test_an_axis_of_least_seconds_is_a_row_each() -> None:
    table = tables.summary(groups([cell(GOOD, min_seconds=3.0), cell(BAD, min_seconds=10.0)]))
    assert table[table["level"] == "song"].set_index("min_seconds")["3 s mean"].to_dict() == {"3.0": 1, "10.0": 0}


def test_clip_lengths_are_columns_by_their_exact_length() -> None:
    table = tables.summary(groups([cell(GOOD, clip_seconds=20.096), cell(BAD, clip_seconds=20.1)]))
    assert table["20.096 s mean"].tolist() == [1, 1]
    assert table["20.1 s mean"].tolist() == [0, 0]


def test_the_aggregates_are_the_summarys() -> None:
    cells = [cell(GOOD, model_seed=0), cell([True, True, True, False], model_seed=21), cell(BAD, model="mine.CRNN")]
    found, row = tables.aggregates(groups(cells)), tables.summary(groups(cells)).iloc[0]
    assert (row["model"], row["level"]) == ("CRNN", "slice")
    for what in ("mean", "best", "std", "low", "high"):
        assert found[f"SongSplit CRNN 3 s/slice/f1 {what}"] == row[f"3 s {what}"]
    assert found["SongSplit mine.CRNN 3 s/song/f1 mean"] == 0
    assert "SongSplit mine.CRNN 3 s/song/f1 std" not in found


def test_the_interval_is_the_statistics() -> None:
    """Of the pooled test songs of all seeds; beside it what the seeds came to."""
    cells = [cell([True] * 10 + [False] * 2, model_seed=0), cell([True] * 8 + [False] * 4, model_seed=21)]
    [row] = tables.summary(groups(cells)).query("level == 'song'").to_dict("records")
    expected = statistics.interval(groups(cells)[0].answers("song"), WeightedF1())
    assert (row["3 s mean"], row["3 s low"], row["3 s high"]) == (expected.value, expected.low, expected.high)
    assert row["3 s low"] < row["3 s mean"] < row["3 s best"] < row["3 s high"]
    printed, (clip,) = wording.printable(tables.summary(groups(cells)))
    assert printed[clip].tolist()[1] == f"{expected.value:.3f} [{expected.low:.2f}–{expected.high:.2f}]"


def test_without_an_interval_the_score_stands_alone() -> None:
    assert wording.with_bounds(0.5, np.nan, np.nan) == "0.500"
    assert wording.with_bounds(np.nan, np.nan, np.nan) == "–"


# Rules that compile slices


def split_minds(name: str = "cell", **parameters: Any) -> Result:
    """Six songs of three slices: two barely say `a`, one surely says `b`; half of the songs are of `b`."""
    slices = [(0.52, 0.48), (0.45, 0.55), (0.05, 0.95)] * 3 + [(0.45, 0.55), (0.52, 0.48), (0.4, 0.6)] * 3
    songs = np.repeat(np.arange(6), 3)
    table = pd.DataFrame(
        {"part": "test", "track_id": [f"song {n}" for n in songs], "start_seconds": 3.0, "seconds": 3.0}
    )
    table = table.assign(truth=np.array(CLASSES)[songs % 2], p_a=[a for a, _ in slices], p_b=[b for _, b in slices])
    made = cell(GOOD, **parameters)
    both = pd.concat([table, table.assign(part="validation")], ignore_index=True)
    return Result(Predictions(both, CLASSES), {**made.record, "name": name, "classes": list(CLASSES)}, None)


def test_a_column_a_rule() -> None:
    cells = [split_minds(), split_minds(model="mine.CRNN"), cell(GOOD, model="mine.CRNN", model_seed=1)]
    table = tables.aggregations(groups(cells)).set_index("model")
    assert {name.removesuffix(" mean") for name in table if name.endswith(" mean")} == {
        "mean-prob", "product", "vote", "vote@0.5",
    }  # fmt: skip
    test = cells[0].predictions.of("test")
    for rule in (MeanProbability(), SureVote()):
        truth, predicted = ([], [])
        for _, rows in test.table.groupby("track_id"):
            compiled = rule.song_probabilities(rows[["p_a", "p_b"]].to_numpy())
            truth.append(rows["truth"].iloc[0])
            predicted.append(CLASSES[int(compiled.argmax())])
        expected = f1_score(truth, predicted, average="weighted")
        assert table.loc["CRNN", f"{rule.name} mean"] == pytest.approx(expected)
        assert table.loc["mine.CRNN", f"{rule.name} mean"] == pytest.approx((expected + 1) / 2)
        assert table.loc["mine.CRNN", f"{rule.name} best"] == 1
    assert table.loc["CRNN", "seeds"] == 1


def test_folds_are_pooled_for_every_rule() -> None:
    table = tables.aggregations(groups([fold(0, [True, True, False, True]), fold(1, GOOD), fold(0, BAD, seed=21)]))
    pooled = f1_score([0, 1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 1, 0, 1, 0, 1], average="weighted")
    assert table["product mean"].tolist() == pytest.approx([pooled])
    assert table["pooled_folds"].tolist() == ["2"]


def test_whole_songs_have_nothing_to_compile() -> None:
    assert tables.aggregations(groups([cell(GOOD, clip_seconds=None)])).empty
    assert len(tables.aggregations(groups([cell(GOOD, clip_seconds=None), cell(GOOD)]))) == 1


# What networks cost


def costing(parameters: int, mflop: float, learned: int | None = None, **more: Any) -> Result:
    made = cell(GOOD, **more)
    costs = {"n_parameters": parameters, "n_learned": learned or parameters, "mflop_per_slice": mflop}
    return Result(made.predictions, made.record | costs, None)


def stored(out: Path, *cells: Result) -> Path:
    """A results folder with these cells."""
    named = [
        Result(c.predictions, {**c.record, "name": f"cell{n}", "classes": list(CLASSES)}, None)
        for n, c in enumerate(cells)
    ]
    for some in named:
        some.save(out)
    report.begin(out, Experiment("made up", (), "name: made up", ()), [some.name for some in named], {})
    return out


def test_costs_grow_with_the_clip_length() -> None:
    cells = [costing(394_324, 579.13), costing(394_324, 5809.0, clip_seconds=30.0), cell(GOOD, model="MfccSVM")]
    table, clips = wording.printable(tables.summary(groups(cells)))
    assert table["parameters"].tolist() == ["394 k", "", "394 k", ""]
    assert table["MFLOP"].tolist() == ["579–5,809", "", "579–5,809", ""]
    assert clips == ["3 s", "30 s"]
    assert tables.of_cells(cells)["mflop_per_slice"].tolist()[:2] == [579.13, 5809.0]


def test_frozen_parameters_are_told() -> None:
    table, _ = wording.printable(tables.summary(groups([costing(11_200_000, 1800.0, learned=3078)])))
    assert table["parameters"].tolist() == ["11.2 M (3.08 k learned)"] * 2


def test_without_networks_no_costs() -> None:
    table, _ = wording.printable(tables.summary(groups([cell(GOOD, model="MfccSVM")])))
    assert not {"parameters", "MFLOP"} & set(table)


def test_costs_are_columns_where_they_differ_and_words_where_not(tmp_path: Path) -> None:
    one = costing(394_324, 579.0)
    alone, words = console.summary(stored(tmp_path / "one", one, cell(GOOD, model="MfccSVM")))
    assert not {"parameters", "MFLOP"} & {column.header for column in alone.columns}
    assert words.endswith("; each network 394 k parameters, 579 MFLOP a slice")
    two, words = console.summary(stored(tmp_path / "two", one, costing(394_324, 2000.0, model="Bare")))
    assert "MFLOP" in {column.header for column in two.columns}
    assert words.endswith("; each network 394 k parameters")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (840, "840"), (999, "999"), (999.9, "1 k"), (394_324, "394 k"), (999_900, "1 M"), (94e6, "94 M")],
)
def test_counts_in_words(number: float, text: str) -> None:
    assert wording.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (0.03123, "0.0312"), (57.91, "57.9"), (99.97, "100"), (5809.02, "5,809")]
)
def test_amounts_have_no_exponent(number: float, text: str) -> None:
    assert wording.amount(number) == text


# Arguments in words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([64, 128, 128], "64, 128, 128"),
        ([[2, 2], [4, 2]], "2×2, 4×2"),
        ("crnn_bench.poolings.max.Max", "max"),
        ("mine.Pooling", "mine.Pooling"),
        ({"class_path": "crnn_bench.poolings.max.Max", "init_args": {"size": [2, 2]}}, "max (size 2, 2)"),
        ({"class_path": "mine.Pooling"}, "mine.Pooling"),
        ({"low": 1, "high": 2.5}, "low 1, high 2.5"),
        ([], ""),
        (None, "none"),
        (False, "False"),
        (1e-3, "0.001"),
    ],
)  # fmt: skip
def test_arguments_are_read_without_brackets(value: Any, text: str) -> None:
    assert wording.in_words(value) == text


def test_what_a_model_lacks_is_blank() -> None:
    some: dict[str, Any] = {"augment": "TimeMask, Mixup", "init_from": None, "model.conv_channels": [64, 128]}
    cells = [cell(GOOD, **some), cell(BAD, **some | {"augment": "none"}), cell(BAD, model="MfccSVM")]
    cells.append(cell(BAD, **some | {"model.conv_channels": [64]}))
    rows, short = tables.of_cells(cells), tables.summary(groups(cells))
    assert rows["augment"].tolist() == ["TimeMask, Mixup", "none", "", "TimeMask, Mixup"]
    assert rows["model.conv_channels"].tolist() == ["64, 128", "64, 128", "", "64"]
    assert short[short["level"] == "song"]["augment"].tolist() == ["TimeMask, Mixup", "none", "", "TimeMask, Mixup"]
    assert "init_from" not in short


def test_groups_are_named_by_what_tells_them_apart() -> None:
    cells = [cell(GOOD, augment="none"), cell(BAD, augment="Mixup"), cell(GOOD, model="MfccSVM")]
    assert grouping.labels(grouping.groups(cells)) == ["CRNN; augment none", "CRNN; augment Mixup", "MfccSVM"]
    assert grouping.labels(grouping.groups([cell(GOOD)])) == ["CRNN"]


def test_long_names_of_scores_stay_short_and_different() -> None:
    """MLflow takes 250 characters."""
    long = "TimeMask, " * 40
    found = tables.aggregates(groups([cell(GOOD, augment=long + "Mixup"), cell(BAD, augment=long + "RandomGain")]))
    assert max(map(len, found)) <= 250
    assert sorted(value for name, value in found.items() if name.endswith("song/f1 mean")) == [0, 1]


# Epochs to a score


def learned(accuracies: list[float], right: list[bool], **parameters: Any) -> Result:
    made = cell(right, **parameters)
    history = [
        {"epoch": float(epoch), "train_loss": 1.0, "validation_loss": 1.0, "validation_accuracy": accuracy}
        for epoch, accuracy in enumerate(accuracies)
    ]
    return Result(made.predictions, made.record | {"history": history, "best_epoch": 0}, None)


def test_epochs_to_a_score_count_from_one() -> None:
    cells = [
        learned([0.2, 0.7, 0.6], GOOD, model_seed=0),
        learned([0.1, 0.2, 0.5, 0.9], GOOD, model_seed=1),
        learned([0.1, 0.69], BAD, model_seed=2),
        learned([0.1, 0.2], BAD, model="mine.CRNN"),
        cell(GOOD, model="MfccSVM"),
    ]
    table = learning.epochs_to(groups(cells), 0.7).set_index("model")
    assert list(table.index) == ["CRNN", "mine.CRNN"]
    row = table.loc["CRNN"]
    assert (row["runs"], row["reached"], row["epochs"]) == (3, 2, "2, 4, –")
    assert row["epochs_mean"] == 3
    assert row["best_validation_accuracy"] == pytest.approx((0.7 + 0.9 + 0.69) / 3)
    assert row["f1_song"] == row["f1_slice"] == pytest.approx(2 / 3)
    assert table.loc["mine.CRNN", "reached"] == 0
    assert np.isnan(table.loc["mine.CRNN", "epochs_mean"])


def test_every_fold_is_a_run() -> None:
    cells = [learned([0.5], GOOD, split="SongKFold", **{"split.fold": number}) for number in (0, 1)]
    renamed = [Result(c.predictions, c.record | {"n_folds": 2}, None) for c in cells]
    (row,) = learning.epochs_to(groups(renamed), 0.5).to_dict("records")
    assert (row["runs"], row["reached"], row["epochs"]) == (2, 2, "1, 1")


def test_curves_end_honestly() -> None:
    """Where a run has stopped, the mean is of those left, and said to be."""
    cells = [learned([0.2, 0.4], GOOD), learned([0.4, 0.8, 0.9], GOOD, model_seed=1), cell(GOOD, model="MfccSVM")]
    curves = learning.curves(groups(cells))
    assert curves["epoch"].tolist() == [1, 2, 3]
    assert curves["mean"].tolist() == pytest.approx([0.3, 0.6, 0.9])
    assert curves["std"].tolist()[:2] == pytest.approx([np.std([0.2, 0.4], ddof=1), np.std([0.4, 0.8], ddof=1)])
    assert curves["whole"].tolist() == [True, True, False]
    margin = 12.7062 * np.std([0.2, 0.4], ddof=1) / np.sqrt(2)  # Student's t of one degree of freedom
    assert (curves["low"][0], curves["high"][0]) == (0, 1) == (max(0.3 - margin, 0), min(0.3 + margin, 1))
    near = learning.curves(groups([learned([0.5 + 0.001 * n], GOOD, model_seed=n) for n in range(3)]))
    margin = 4.3027 * 0.001 / np.sqrt(3)
    assert near[["low", "high"]].to_numpy()[0] == pytest.approx([0.501 - margin, 0.501 + margin])
    assert np.isnan(curves["low"][2]), "one run alone has no interval"
    assert learning.curves(groups([cell(GOOD)])).empty


@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan")])
def test_what_is_no_accuracy_is_refused(score: float) -> None:
    with pytest.raises(BenchError, match="from 0 to 1"):
        learning.epochs_to(groups([learned([0.5], GOOD)]), score)


# The report's files and what it prints


def test_the_report_tells_rules_epochs_and_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    networks = [learned([0.5, 0.8], GOOD, augment="none"), learned([0.75, 0.8], BAD, augment="Mixup")]
    out = stored(tmp_path, *networks, cell(GOOD, model="MfccSVM"))
    assert main(["report", str(out), "--reach", "0.7"]) == 0
    told = capsys.readouterr().out
    for words in ("vote@0.5", "Epochs to a validation accuracy of 0.7", "1 of 1", str(out / "aggregations.csv")):
        assert words in told
    written = pd.read_csv(out / "epochs_to.csv", keep_default_na=False).set_index("augment")
    assert written["epochs"].astype(int).to_dict() == {"none": 2, "Mixup": 1}
    assert len(pd.read_csv(out / "aggregations.csv")) == 3
    page = (out / "report.html").read_text()
    assert "From slices to songs" in page
    assert "Curves: validation accuracy by epoch" in page
    assert (out / "figures" / "learning.png").stat().st_size > 0


def test_no_curves_without_histories_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = stored(tmp_path, cell(GOOD), cell(GOOD, model="MfccSVM"))
    assert main(["report", str(out)]) == 0
    assert "Curves:" not in (out / "report.html").read_text()
    assert not (out / "epochs_to.csv").exists()
    for reach, said in (("7", "from 0 to 1, got 7"), ("0.5", "no cell tells its validation accuracy")):
        capsys.readouterr()
        assert main(["report", str(out), "--reach", reach]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("width", ["40", "80", "120"])
def test_no_number_is_cut_in_a_narrow_terminal(
    width: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from crnn_bench import terminal

    monkeypatch.setattr(terminal, "console", Console(highlight=False, width=int(width)))
    clips = (1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
    long = "TimeMask, FrequencyMask, RandomGain, RandomCrop, Mixup, ShuffleAndRemix"
    cells = [
        costing(394_324 + n, 579.0 * n, clip_seconds=clip, augment=augment)
        for n, augment in ((1, "none"), (2000, long))
        for clip in clips
    ]
    table, _ = console.summary(stored(tmp_path, *cells))
    terminal.show(table)
    told = capsys.readouterr().out
    assert told.count("1.000 [0.40–1.00]") == 4 * len(clips)
    assert "…" not in told
    assert len({len(line) for line in told.splitlines()}) == 1, "every line ends in its border"
    assert told.count("1,158,000") == 2
    assert "ShuffleAndRemix" in told
