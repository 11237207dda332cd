"""What a user calls a model, on disk or in MLflow, and what stands on the shelf of a results folder."""

import contextlib
import csv
import io
import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pytest

from crnn_bench import bundles, cli, familiar, fetching, shelf, songs
from crnn_bench.errors import BenchError
from tests.test_experiment import write_yaml

SVM = "{class_path: MfccSVM, init_args: {C: 2.0}}"
SEEDS = (0, 1)


@dataclass
class Place:
    """An experiment that was run in two invocations: two kinds of an SVM, each with two seeds."""

    out: Path
    uri: str

    def runs(self, query: str) -> list[str]:
        store = sqlite3.connect(self.uri.removeprefix("sqlite:///"))
        with contextlib.closing(store):
            return [run for (run,) in store.execute(query)]

    @property
    def parents(self) -> list[str]:
        """Of both invocations, the newest last."""
        return self.runs("select run_uuid from runs where name like 'tiny: %' order by start_time")

    @property
    def cells(self) -> dict[str, str]:
        with (self.out / "results.csv").open(newline="") as file:
            return {row["cell"]: row["run_id"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Place:
    folder = tmp_path_factory.mktemp("fetching")
    yaml = write_yaml(folder / "tiny.yaml", music, f"[MfccSVM, {SVM}]")
    place = Place(folder / "out", f"sqlite:///{folder / 'out' / 'mlflow.db'}")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for seeds in ("[0]", "[0, 1]"):
            assert cli.main(["run", str(yaml), "--out", str(place.out), "--set", f"grid.seed={seeds}"]) == 0
    return place


def names(folder: Path, ending: str) -> set[str]:
    return {path.name for path in folder.glob(f"*/*{ending}")}


# The shelf


def test_of_models_that_differ_in_seeds_alone_one_stands_on_the_shelf(ran: Place) -> None:
    found = shelf.models(ran.out)
    assert len(list(ran.out.glob("models/*"))) == 4
    assert sorted(one.title for one in found) == ["MfccSVM, AlbumSplit, 1 s, C 10.0", "MfccSVM, AlbumSplit, 1 s, C 2.0"]
    scores = [one.bundle.about["validation"] for one in found]
    assert scores == sorted(scores, key=lambda one: (-one["song/f1"], -one["slice/f1"]))
    for one in found:
        alike = [bundles.load(path).about for path in ran.out.glob("models/*")]
        seeds = [a for a in alike if a["model"] == one.bundle.about["model"]]
        assert len(seeds) == len(SEEDS)
        assert one.bundle.about["validation"]["song/f1"] == max(a["validation"]["song/f1"] for a in seeds)
    assert shelf.best(ran.out).key == found[0].key == found[0].bundle.path.stem


def test_scores_are_those_of_the_summary(ran: Place) -> None:
    with (ran.out / "summary.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == "song"]
    assert len(rows) == 2
    for one in shelf.models(ran.out):
        about = one.bundle.about
        (row,) = [row for row in rows if float(row["model.C"]) == about["parameters"]["model.C"]]
        assert one.score is not None
        told = [one.score.value, one.score.low, one.score.high]
        assert told == [float(row[f"1 s {what}"]) for what in ("mean", "low", "high")]
        assert (one.score.level, one.score.seeds) == ("song", 2)
        assert one.score.low <= one.score.value <= one.score.high


def test_each_model_has_its_songs_and_knows_what_is_like_them(ran: Place) -> None:
    for one in shelf.models(ran.out):
        assert one.songs is not None
        assert one.familiarity is not None
        counts = one.songs.table["part"].value_counts()
        assert counts["train"] + counts["validation"] == len(one.bundle.about["heard"])
        again = familiar.of(one.songs)
        assert again is not None
        assert again.threshold == one.familiarity.threshold
        validation = one.songs.vectors[(one.songs.table["part"] == "validation").to_numpy()]
        assert all(one.familiarity.known(vector) for vector in validation)


def test_a_folder_without_tables_and_songs_and_a_lone_file_have_models_all_the_same(ran: Place, tmp_path: Path) -> None:
    shutil.copytree(ran.out / "models", tmp_path / "models")
    old = shelf.models(tmp_path)
    assert [one.key for one in old] == [one.key for one in shelf.models(ran.out)]
    path = Path(shutil.copy(old[0].bundle.path, tmp_path / "lone.skops"))
    (lone,) = shelf.models(path)
    assert lone.key == "lone"
    for one in (*old, lone):
        assert (one.score, one.songs, one.familiarity) == (None, None, None)
    (here,) = shelf.models(ran.out / "models" / old[0].bundle.path.name)
    assert here.score is not None
    assert here.familiarity is not None


def test_a_score_without_bounds_is_none(ran: Place, tmp_path: Path) -> None:
    for name in ("models", "songs"):
        shutil.copytree(ran.out / name, tmp_path / name)
    shutil.copy(ran.out / "results.csv", tmp_path)
    text = (ran.out / "summary.csv").read_text()
    (tmp_path / "summary.csv").write_text(text.replace(" low", " lower"))
    assert [one.score for one in shelf.models(tmp_path)] == [None] * 2


@pytest.mark.parametrize(
    ("name", "text"),
    [("results.csv", "cell\na\n"), ("summary.csv", "level,seeds,1 s mean\nsong,two,many\n")],
)
def test_a_damaged_table_is_told_in_a_line(ran: Place, tmp_path: Path, name: str, text: str) -> None:
    for folder in ("models", "songs"):
        shutil.copytree(ran.out / folder, tmp_path / folder)
    for table in ("results.csv", "summary.csv"):
        shutil.copy(ran.out / table, tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(BenchError, match=r"its results\.csv or summary\.csv is damaged"):
        shelf.models(tmp_path)


# Fetching


def test_an_experiments_run_is_fetched_with_all_its_cells_those_of_earlier_invocations_too(ran: Place) -> None:
    first, second = ran.parents
    place = fetching.place(second, ran.uri)
    assert place == fetching.cache() / second
    assert names(place, ".skops") == names(ran.out, ".skops")
    assert len(names(place, ".skops")) == 4
    assert {path.stem for path in place.glob("songs/*")} == set(ran.cells)
    theirs, ours = shelf.models(ran.out), shelf.models(place)
    assert [(one.key, one.title, one.score) for one in ours] == [(one.key, one.title, one.score) for one in theirs]
    for one in ours:
        assert one.bundle.digest == bundles.load(ran.out / "models" / one.bundle.path.name).digest
        stored = songs.load(songs.path_of(ran.out, one.key))
        assert one.songs is not None
        assert np.array_equal(one.songs.vectors, stored.vectors)
    assert len(names(fetching.place(first, ran.uri), ".skops")) == 2


def test_a_cells_run_is_fetched_with_its_model_alone_and_its_experiments_score(ran: Place) -> None:
    cell, run = sorted(ran.cells.items())[-1]
    (one,) = shelf.models(fetching.place(run, ran.uri))
    assert one.key == cell
    assert one.score is not None
    assert one.familiarity is not None


def test_a_registered_model_is_that_of_its_run(ran: Place) -> None:
    assert shelf.best(fetching.place("models:/tiny@best", ran.uri)).key == shelf.best(ran.out).key
    assert shelf.best(fetching.place("models:/tiny/1", ran.uri)).key.startswith("MfccSVM-AlbumSplit-1s-seed0")


def test_what_is_fetched_is_kept_and_needs_no_store_again(ran: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = next(iter(ran.cells.values()))
    place = fetching.place(run, ran.uri)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert fetching.place(run, None) == place
    assert [path.name for path in fetching.cache().iterdir() if path.name.startswith(".")] == []


def test_the_environments_store_counts_without_an_option(
    ran: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], music: Path
) -> None:
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ran.uri)
    song = next(music.rglob("*.wav"))
    assert cli.main(["predict", "models:/tiny@best", str(song), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["familiar"] in (True, False)
    assert len(list((tmp_path / "models").iterdir())) == 1


def test_what_breaks_off_leaves_nothing_behind(ran: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "moved"
    folder.mkdir()
    shutil.copy(ran.out / "mlflow.db", folder)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:  # its artifacts are gone
        store.execute("update runs set artifact_uri = replace(artifact_uri, 'out', 'away')")
        store.commit()
    run = next(iter(ran.cells.values()))
    with pytest.raises(BenchError, match=f"run {run} in sqlite:///.* has no trained models"):
        fetching.place(run, f"sqlite:///{folder / 'mlflow.db'}")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_run_that_goes_on_is_not_taken_for_finished(ran: Place) -> None:
    client = mlflow.MlflowClient(ran.uri)
    found = client.get_experiment_by_name("tiny")
    assert found is not None
    run = client.create_run(found.experiment_id).info.run_id
    with pytest.raises(BenchError, match=f"run {run} in sqlite:///.* is still RUNNING; wait for its end"):
        fetching.place(run, ran.uri)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("0" * 32, "run 0{32} cannot be read from sqlite:///.*not found"),
        ("models:/nobody/1", "models:/nobody/1 cannot be read from sqlite:///.*not found"),
        ("models:/tiny/99", "models:/tiny/99 cannot be read from sqlite:///.*not found"),
        ("models:/tiny@worst", "models:/tiny@worst cannot be read from sqlite:///.*not found"),
        ("models:/tiny", "models:/tiny: expected models:/NAME/VERSION or models:/NAME@ALIAS"),
        ("models:/tiny/new", "models:/tiny/new cannot be read from"),
        ("nowhere", "nowhere: no such results folder, nor a file of its models/, a run's id or models:/NAME/VERSION"),
    ],
)
def test_a_model_that_is_not_there_is_named_in_a_line(
    ran: Place, model: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BenchError, match=message):
        fetching.place(model, ran.uri)
    assert cli.main(["predict", model, "song.wav", "--tracking-uri", ran.uri]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1


def test_a_store_that_is_not_there_is_named_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchError, match=r"none\.db: there is no such database"):
        fetching.place("0" * 32, f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BenchError, match=r"no tracking server answers at http://127\.0\.0\.1:9"):
        fetching.place("models:/some/1", "http://127.0.0.1:9")
    (tmp_path / "text.db").write_text("no database")
    for uri in (f"sqlite:///{tmp_path / 'text.db'}", "wrong://some"):
        for model in ("0" * 32, "models:/some/1"):
            with pytest.raises(BenchError, match=f"cannot be read from {uri}: ") as caught:
                fetching.place(model, uri)
            assert "\n" not in str(caught.value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(BenchError, match="name its MLflow store by --tracking-uri or MLFLOW_TRACKING_URI"):
        fetching.place("models:/some/1", None)
