"""The commands, from the words typed to the files left."""

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from crnn_bench import cli, config, feature_store, plans, preparing
from crnn_bench.engines.local import Local
from crnn_bench.records import Split

COLUMNS = set(
    """dataset split clip_seconds model pooling seed f1_slice f1_song accuracy_slice accuracy_song n_train_slices
    n_test_slices n_test_songs fit_seconds slices_per_second run_id""".split()  # noqa: SIM905
)
COMMANDS = ("demo", "prepare", "run", "audit", "split", "report", "explore", "predict", "ui")
HEAVY = ("torch", "pytorch_lightning", "pandas", "mlflow", "librosa", "sklearn", "matplotlib", "numpy")


@dataclass(frozen=True)
class Place:
    """A folder to stand in, with an experiment whose results go to `runs/svm`."""

    folder: Path
    printed: str = ""

    @property
    def yaml(self) -> str:
        return str(self.folder / "svm.yaml")

    @property
    def out(self) -> Path:
        return self.folder / "runs" / "svm"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.out / 'mlflow.db'}"


def runs_of_cells(uri: str) -> list[str]:
    """The tracked name of every cell's run, whatever its end."""
    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name("svm")
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    return sorted(run.info.run_name for run in runs if "mlflow.parentRunId" in run.data.tags)


def prepare_place(folder: Path, music: Path) -> Place:
    (folder / "svm.yaml").write_text(
        f"name: svm\ndataset: {{class_path: Folder, init_args: {{root: {music}}}}}\n"
        "clip_seconds: 1\ngrid: {split: [AlbumSplit], model: [MfccSVM], seed: [0, 1]}\n"
    )
    return Place(folder)


@pytest.fixture
def place(tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Where nothing was run yet."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return prepare_place(tmp_path, music)


@pytest.fixture
def ran(place: Place) -> Place:
    """Where `crnn-bench run svm.yaml` has just ended."""
    assert cli.main(["run", place.yaml]) == 0
    return place


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Place:
    """The same, for tests that only look at it."""
    place = prepare_place(tmp_path_factory.mktemp("seen"), music)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(sys, "path", list(sys.path))
        patch.chdir(place.folder)
        assert cli.main(["run", place.yaml]) == 0
    return Place(place.folder, " ".join(printed.getvalue().split()))


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: crnn-bench {command}" in capsys.readouterr().out


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^ +{command} +\w", printed, re.MULTILINE), command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["train"], "train"),
        (["run"], "EXPERIMENT.yaml"),
        (["run", "x.yaml", "--fast"], "--fast"),
        (["split", "x.yaml", "--csv", "x.csv"], "--strategy"),
        (["split", "x.yaml", "--csv", "x.csv", "--strategy", "SongSplit", "--seed", "x"], "--seed"),
    ],
)
def test_wrong_words_end_with_2_and_the_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_the_module_starts_without_anything_heavy() -> None:
    script = (
        "import sys\nfrom crnn_bench import cli\n"
        "try:\n    cli.main(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("LOADED []\n")


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crnn_bench", "report", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"crnn-bench: no experiment was run in {tmp_path}; give the folder that `crnn-bench run` wrote its report to\n"
    )


# run


def test_run_leaves_tables_figures_predictions_and_a_page(seen: Place) -> None:
    table = pd.read_csv(seen.out / "results.csv")
    assert set(table) >= COLUMNS
    assert list(table["seed"]) == [0, 1]
    assert table[["dataset", "split", "clip_seconds", "model"]].drop_duplicates().to_numpy().tolist() == [
        ["music0", "AlbumSplit", 1.0, "MfccSVM"]
    ]
    assert table["f1_song"].between(0, 1).all()
    assert (table["n_test_songs"] == 12).all()
    assert (table["n_test_slices"] == 36).all()  # 4 s are 3 slices of 1 s: 125 frames of 32 are 3 whole ones
    assert table["run_id"].is_unique
    names = {path.stem for path in (seen.out / "predictions").iterdir()}
    assert len(names) == 2
    for name in names:
        for matrix in ("confusion-slices", "confusion-songs"):
            assert (seen.out / "figures" / f"{name}-{matrix}.png").read_bytes().startswith(b"\x89PNG")
    assert (seen.out / "figures" / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert list(seen.out.rglob("*.part")) == []


def test_the_summary_is_mean_best_and_deviation_over_seeds(seen: Place) -> None:
    table, short = pd.read_csv(seen.out / "results.csv"), pd.read_csv(seen.out / "summary.csv")
    assert list(short["level"]) == ["slice", "song"]
    for level in ("slice", "song"):
        (row,) = short[short["level"] == level].to_dict("records")
        scores = table[f"f1_{level}"]
        assert row["seeds"] == 2
        assert row["1 s mean"] == pytest.approx(scores.mean(), abs=1e-12)
        assert row["1 s best"] == pytest.approx(scores.max(), abs=1e-12)
        assert row["1 s std"] == pytest.approx(scores.std(ddof=1), abs=1e-12)


def test_the_page_needs_no_other_file(seen: Place) -> None:
    page = (seen.out / "report.html").read_text()
    assert re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*", page) == []
    assert "2 of 2 cells are finished" in page
    assert "grid: {split: [AlbumSplit]" in page


def test_run_prints_the_table_and_where_everything_is(seen: Place) -> None:
    assert "Weighted F1 on test songs, mean [95% interval] over seeds:" in seen.printed
    assert "[1/2] MfccSVM, AlbumSplit, 1 s, seed 0" in seen.printed
    assert "[2/2] MfccSVM, AlbumSplit, 1 s, seed 1" in seen.printed
    short = pd.read_csv(seen.out / "summary.csv")
    for mean in short["1 s mean"]:
        assert f"{mean:.3f}" in seen.printed
    assert re.search(r"report: .*runs/svm/report\.html", seen.printed)
    assert f"MLflow: {seen.uri}" in seen.printed
    assert "left out" not in seen.printed


@pytest.mark.slow
def test_no_number_of_a_wide_table_is_cut_short(
    tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    dataset = f"dataset: {{class_path: Folder, init_args: {{root: {music}}}}}"
    axes = "{model.C: [1, 10], split: [SongSplit, AlbumSplit], clip_seconds: [1, 2, 3]}"
    Path("wide.yaml").write_text(f"name: wide\n{dataset}\nmodel: MfccSVM\ngrid: {axes}\n")
    assert cli.main(["run", "wide.yaml"]) == 0
    printed = capsys.readouterr().out
    table = [line for line in printed.splitlines() if line.startswith("│")]
    assert len(table) == 8
    assert all(len(re.findall(r"\d\.\d{3}(?: \[\d\.\d\d–\d\.\d\d\])? +│", line)) == 3 for line in table)
    assert not [line for line in table if "…" in line]


def test_cells_of_another_grid_are_kept_and_told(
    tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(
        f"name: own\ndataset: {{class_path: Folder, init_args: {{root: {music}}}}}\nmodel: MfccSVM\n"
    )
    assert cli.main(["run", "own.yaml", "--set", "grid.seed=[0, 1]"]) == 0
    assert "are not of this grid" not in capsys.readouterr().out
    assert cli.main(["run", "own.yaml", "--set", "grid.seed=[1, 2]"]) == 0
    said = "1 finished cells in runs/own are not of this grid: kept, but not in its tables (see --out)"
    assert said in capsys.readouterr().out
    assert pd.read_csv("runs/own/results.csv")["seed"].tolist() == [1, 2]
    assert len(list(Path("runs/own/predictions").iterdir())) == 3


def test_the_dashboard_says_where_it_is_or_that_its_port_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlflow.db").touch()
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = str(other.getsockname()[1])
        assert cli.main(["ui", str(tmp_path), "--port", port]) == 2
        assert f"port {port} is taken; give another one with --port" in capsys.readouterr().err
    assert cli.main(["ui", str(tmp_path), "--port", port]) == 0
    assert capsys.readouterr().out == f"dashboard: http://127.0.0.1:{port} (Ctrl-C stops it)\n"
    assert started[0][-2:] == ["--port", port]


def test_the_page_tells_overrides_and_what_was_left_out(
    tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(music, "music")
    Path("music/Alder/Alder 0/bad.mp3").write_text("words")
    shutil.copy("music/Birch/Birch 0/song 0.wav", "music/Birch/Birch 1/copy.wav")
    shutil.copy("music/Cedar/Cedar 0/song 0.wav", "music/Alder/Alder 1/stolen.wav")
    Path("own.yaml").write_text("name: own\ndataset: {class_path: Folder, init_args: {root: music}}\nmodel: MfccSVM\n")
    assert cli.main(["run", "own.yaml", "--set", "clip_seconds=2", "--out", "out"]) == 0
    page = Path("out/report.html").read_text()
    assert "--set clip_seconds=2" in page
    told = re.sub("<[^>]*>+", ": ", page).replace(": : ", ": ")
    assert "Alder/Alder 0/bad.mp3: cannot be decoded" in told
    assert "Birch/Birch 1/copy.wav: same audio as Birch/Birch 0/song 0.wav; kept once" in told
    for track in ("Cedar/Cedar 0/song 0.wav", "Alder/Alder 1/stolen.wav"):
        assert f"{track}: same audio under the labels Alder and Cedar" in told
    assert pd.read_csv("out/results.csv")["n_rejected"].tolist() == [4]


def test_a_second_run_trains_nothing_and_rerun_does(ran: Place, capsys: pytest.CaptureFixture[str]) -> None:
    first, table = runs_of_cells(ran.uri), (ran.out / "results.csv").read_bytes()
    assert len(first) == 2
    assert cli.main(["run", ran.yaml]) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished before") == 2
    assert "songs to train" not in printed
    assert runs_of_cells(ran.uri) == first
    assert (ran.out / "results.csv").read_bytes() == table
    assert cli.main(["run", ran.yaml, "--rerun", "--set", "grid.seed=[1]"]) == 0
    assert "finished before" not in capsys.readouterr().out
    assert sorted(runs_of_cells(ran.uri)) == sorted([*first, "MfccSVM, AlbumSplit, 1 s, seed 1"])


def test_a_larger_grid_runs_what_is_new(ran: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", ran.yaml, "--set", "grid.seed=[0, 7]"]) == 0
    printed = capsys.readouterr().out
    assert "[1/2] MfccSVM, AlbumSplit, 1 s, seed 0: finished before" in printed
    assert "[2/2] MfccSVM, AlbumSplit, 1 s, seed 7: 12 songs train, 12 validate, 12 test; 0 of 4 test" in printed
    assert list(pd.read_csv(ran.out / "results.csv")["seed"]) == [0, 7]


def test_predictions_that_were_removed_come_back_from_the_store(ran: Place, capsys: pytest.CaptureFixture[str]) -> None:
    table = (ran.out / "results.csv").read_bytes()
    before = {path.name: path.read_bytes() for path in (ran.out / "predictions").iterdir()}
    shutil.rmtree(ran.out / "predictions")
    assert cli.main(["run", ran.yaml]) == 0
    assert {path.name: path.read_bytes() for path in (ran.out / "predictions").iterdir()} == before
    assert (ran.out / "results.csv").read_bytes() == table
    assert len(runs_of_cells(ran.uri)) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", ["option", "environment"])
def test_runs_go_to_another_store_where_one_is_named(
    place: Place, how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{place.folder / 'elsewhere.db'}"
    words = ["run", place.yaml, "--set", "grid.seed=[0]", "--out", str(place.folder / "here")]
    if how == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert cli.main([*words, "--tracking-uri", uri] if how == "option" else words) == 0
    assert f"MLflow: {uri}" in capsys.readouterr().out
    assert len(runs_of_cells(uri)) == 1
    assert not (place.folder / "here" / "mlflow.db").exists()
    assert (place.folder / "here" / "results.csv").is_file()


def test_the_demo_runs_on_music_of_the_packages_own(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("dataset.n_artists=2", "dataset.n_albums=3", "dataset.n_songs=2", "dataset.seconds=3", "clip_seconds=1")
    overrides = [f"--set={one}" for one in (*small, "grid={split: [AlbumSplit], model: [MfccSVM]}", "name=svm")]
    assert cli.main(["demo", *overrides]) == 0
    assert "Weighted F1" in capsys.readouterr().out
    (row,) = pd.read_csv(place.out / "results.csv").to_dict("records")
    assert row["dataset"] == "Toy"
    assert row["n_test_songs"] == 4


# split


def planned_split(place: Place, *overrides: str) -> Split:
    work = config.load(Path(place.yaml), [*overrides, "grid.seed=[0]"])
    (planned,) = plans.plan(work, preparing.prepare(work, preparing.listings(work), Local()))
    return planned.split


def test_split_writes_what_file_split_reads(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["split", place.yaml, "--strategy", "SongSplit", "--seed", "5", "--csv", "splits/mine.csv"]
    assert cli.main(words) == 0
    path = place.folder / "splits" / "mine.csv"
    assert (
        "splits/mine.csv: 28 songs train, 4 validate, 4 test; 4 of 4 test albums are heard in training"
        in capsys.readouterr().out
    )
    written = planned_split(place, f"grid.split=[{{class_path: FileSplit, init_args: {{path: {path}}}}}]")
    assert written == planned_split(place, "grid.split=[SongSplit]", "split_seed=5")
    assert written != planned_split(place, "grid.split=[SongSplit]", "split_seed=6")
    first = path.read_bytes()
    assert cli.main(words) == 0
    assert path.read_bytes() == first
    assert b"seed 5" in first
    assert b"# checksum: " in first


def test_split_takes_arguments_of_the_strategy(place: Place) -> None:
    strategy = "{class_path: SongSplit, init_args: {test: 0.5}}"
    assert cli.main(["split", place.yaml, "--strategy", strategy, "--csv", "half.csv"]) == 0
    parts = pd.read_csv(place.folder / "half.csv", comment="#")["part"]
    assert (parts == "test").sum() == 18


def test_folds_need_a_place_in_the_name(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    strategy = "{class_path: AlbumKFold, init_args: {k: 3}}"
    assert cli.main(["split", place.yaml, "--strategy", strategy, "--csv", "folds.csv"]) == 2
    error = capsys.readouterr().err
    assert "AlbumKFold has 3 folds" in error
    assert "{fold}" in error
    assert not (place.folder / "folds.csv").exists()
    assert cli.main(["split", place.yaml, "--strategy", strategy, "--csv", "fold_{fold}.csv"]) == 0
    tables = [pd.read_csv(place.folder / f"fold_{fold}.csv", comment="#") for fold in range(3)]
    tested = [track for table in tables for track in table.loc[table["part"] == "test", "track_id"]]
    assert len(tested) == len(set(tested)) == 36


# report


def test_report_builds_everything_again(ran: Place, capsys: pytest.CaptureFixture[str]) -> None:
    made = [
        path for path in ran.out.rglob("*") if path.suffix in (".csv", ".png", ".html") and "splits" not in path.parts
    ]
    made = [path for path in made if "artifacts" not in path.parts and path.name != "audit.csv"]
    before = {path: path.read_bytes() for path in made}
    assert {path.name for path in made} >= {"results.csv", "summary.csv", "report.html", "scores.png"}
    for path in made:
        path.unlink()
    assert cli.main(["report", str(ran.out)]) == 0
    assert str(ran.out / "report.html") in capsys.readouterr().out
    for path, content in before.items():
        assert path.read_bytes() == content, path


def test_report_needs_nothing_but_what_is_stored(ran: Place) -> None:
    table = (ran.out / "results.csv").read_bytes()
    shutil.move(ran.out, ran.folder / "moved")
    (ran.folder / "moved" / "mlflow.db").unlink()
    (ran.folder / "moved" / "results.csv").unlink()
    assert cli.main(["report", str(ran.folder / "moved")]) == 0
    assert (ran.folder / "moved" / "results.csv").read_bytes() == table


@pytest.mark.parametrize("there", [True, False])
def test_report_refuses_a_folder_without_results(place: Place, there: bool, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place.folder / "empty"
    if there:
        folder.mkdir()
    assert cli.main(["report", str(folder)]) == 2
    assert capsys.readouterr().err.startswith(f"crnn-bench: no experiment was run in {folder}")
    assert folder.exists() == there


def test_report_of_a_run_without_a_finished_cell_says_so(ran: Place, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(ran.out / "predictions")
    assert cli.main(["report", str(ran.out)]) == 2
    assert "none of the 2 cells is finished yet" in capsys.readouterr().err


def test_report_refuses_a_damaged_predictions_file_by_name(ran: Place, capsys: pytest.CaptureFixture[str]) -> None:
    path = next((ran.out / "predictions").iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    assert cli.main(["report", str(ran.out)]) == 2
    assert str(path) in capsys.readouterr().err


# ui


def test_ui_refuses_a_missing_store(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ui", str(place.folder / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith(f"crnn-bench: no MLflow store {place.folder}/nowhere/mlflow.db")
    assert cli.main(["ui"]) == 2
    assert capsys.readouterr().err.startswith("crnn-bench: no MLflow store runs/mlflow.db")


@pytest.mark.parametrize("words", [["runs/svm"], []])
def test_ui_opens_the_named_or_the_newest_store(
    place: Place, database: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("svm", "older"):
        (place.folder / "runs" / name).mkdir(parents=True)
    shutil.copyfile(database, place.folder / "runs" / "svm" / "mlflow.db")
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, command: started.append([program, *command]))
    os.utime(place.folder / "runs" / "older", (1, 1))
    assert cli.main(["ui", *words, "--port", "5077"]) == 0
    (command,) = started
    assert command[0] == sys.executable
    assert command[command.index("--backend-store-uri") + 1] == place.uri
    assert command[-2:] == ["--port", "5077"]


# prepare


def test_prepare_extracts_and_nothing_else(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(place.folder / "cache"))
    assert cli.main(["prepare", place.yaml]) == 0
    assert "Mfcc of 36 tracks extracted" in capsys.readouterr().out
    assert sorted(path.name for path in place.folder.iterdir()) == ["cache", "svm.yaml"]
    (cell, _) = config.load(Path(place.yaml)).cells
    store = feature_store.FeatureStore(feature_store.default_root(), cell.features.build())
    assert len(store.index()) == 36
    files = {path: path.stat().st_mtime_ns for path in (place.folder / "cache").rglob("*")}
    assert cli.main(["prepare", place.yaml]) == 0
    assert "Mfcc of 36 tracks are stored" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (place.folder / "cache").rglob("*")} == files


# One's own classes


def test_a_class_in_the_folder_where_one_stands_is_found(place: Place) -> None:
    (place.folder / "standing_here.py").write_text(
        "from crnn_bench.baselines.mfcc_svm import MfccSVM\n\n\nclass Mine(MfccSVM):\n    pass\n"
    )
    words = ["--strategy", "AlbumSplit", "--csv", "x.csv", "--set", "grid.model=[standing_here.Mine]"]
    assert cli.main(["split", place.yaml, *words]) == 0
