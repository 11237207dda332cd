"""From whole songs to scores in MLflow, and what may never change them."""

import contextlib
import importlib
import io
import json
import linecache
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.entities import Run
from sklearn.metrics import accuracy_score, f1_score

from crnn_bench import (
    audio,
    bundles,
    cli,
    config,
    experiment,
    listening,
    planning,
    plans,
    preparing,
    registry,
    results,
    shelf,
    tables,
    trained,
)
from crnn_bench.datasets.folder import Folder
from crnn_bench.engines import Engine
from crnn_bench.engines.local import Local
from crnn_bench.engines.processes import Processes
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice
from crnn_bench.records import PARTS, Predictions
from crnn_bench.seeds import derive
from crnn_bench.song import Song
from crnn_bench.splits import file_split
from tests.conftest import ARTISTS

TINY = "{class_path: CRNN, init_args: {conv_channels: [4, 4], pool_sizes: [[8, 4], [16, 4]], recurrent_width: 8}}"
EPOCHS = 2


def write_yaml(path: Path, music: Path, models: str = f"[{TINY}]", more: str = "") -> Path:
    path.write_text(
        f"name: {path.stem}\ndataset: {{class_path: Folder, init_args: {{root: {music}}}}}\n"
        f"split: AlbumSplit\nclip_seconds: 1\nmin_seconds: 1\ngrid: {{model: {models}}}\n"
        f"trainer: {{max_epochs: {EPOCHS}, precision: fp32}}\n{more}"
    )
    return path


@dataclass
class Finished:
    """An experiment that was run to its end: a CRNN and an SVM."""

    out: Path
    printed: str

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.out / 'mlflow.db'}"

    @cached_property
    def runs(self) -> list[Run]:
        client = mlflow.MlflowClient(self.uri)
        found = client.get_experiment_by_name("tiny")
        assert found is not None
        return list(client.search_runs([found.experiment_id]))

    @property
    def parents(self) -> list[Run]:
        return [run for run in self.runs if "mlflow.parentRunId" not in run.data.tags]

    def child(self, model: str) -> Run:
        (run,) = [run for run in self.runs if run.data.tags.get("model") == model]
        return run

    def row(self, model: str) -> dict[str, Any]:
        (row,) = [row for row in pd.read_csv(self.out / "results.csv").to_dict("records") if row["model"] == model]
        return {str(name): value for name, value in row.items()}

    def artifacts(self, model: str, folder: str | None = None) -> list[str]:
        client = mlflow.MlflowClient(self.uri)
        return sorted(file.path for file in client.list_artifacts(self.child(model).info.run_id, folder))

    def artifact(self, model: str, path: str, folder: Path) -> Path:
        run_id = self.child(model).info.run_id
        got = mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path=path, dst_path=str(folder), tracking_uri=self.uri
        )
        return Path(got)

    def result(self, model: str) -> results.Result:
        (path,) = (self.out / "predictions").glob(f"{model}-*.parquet")
        return results.load(self.out, path.stem)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    yaml = write_yaml(folder / "tiny.yaml", music, f"[{TINY}, MfccSVM]")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.main(["run", str(yaml), "--out", str(folder / "out")]) == 0
    return Finished(folder / "out", printed.getvalue())


# Tracking


def test_the_experiment_has_a_parent_run_and_a_child_run_a_cell(finished: Finished) -> None:
    (parent,) = finished.parents
    assert parent.info.status == "FINISHED"
    assert len(finished.runs) == 3
    for model in ("CRNN", "MfccSVM"):
        child = finished.child(model)
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.info.run_id == finished.row(model)["run_id"]


def test_a_run_holds_all_parameters(finished: Finished) -> None:
    logged = finished.child("CRNN").data.params
    for name, value in finished.result("CRNN").record["parameters"].items():
        assert (name in logged) == (value is not None and value is not False), name
        assert isinstance(value, (str, list)) or name not in logged or float(logged[name]) == value, name
    assert logged["model.recurrent_width"] == "8"
    assert logged["model.conv_channels"] == "4, 4"
    assert (logged["model.pooling"], logged["trainer.schedule"]) == ("max", "constant")
    assert logged["trainer.max_epochs"] == str(EPOCHS)
    assert logged["features.n_mels"] == "128"
    assert "trainer.max_epochs" not in finished.child("MfccSVM").data.params


@pytest.mark.parametrize("curve", ["train_loss", "validation_loss", "slices_per_second"])
def test_a_run_holds_a_curve_point_an_epoch(finished: Finished, curve: str) -> None:
    client = mlflow.MlflowClient(finished.uri)
    points = client.get_metric_history(finished.child("CRNN").info.run_id, curve)
    history = finished.result("CRNN").record["history"]
    assert len(history) == EPOCHS
    by_step = {point.step: point.value for point in points}
    if curve != "slices_per_second":  # of which the run's own number is one point more
        assert len(points) == EPOCHS
        assert [by_step[step] for step in range(EPOCHS)] == [epoch[curve] for epoch in history]
    assert sorted(by_step) == list(range(EPOCHS))


@pytest.mark.parametrize("model", ["CRNN", "MfccSVM"])
def test_final_metrics_equal_the_table(finished: Finished, model: str) -> None:
    metrics, row = finished.child(model).data.metrics, finished.row(model)
    names = {"f1_slice": "slice/f1", "f1_song": "song/f1", "accuracy_slice": "slice/accuracy"}
    names |= {"accuracy_song": "song/accuracy", "f1_song_validation": "validation/song/f1"}
    names |= {name: name for name in ("n_train_slices", "n_test_slices", "n_test_songs", "n_rejected", "fit_seconds")}
    for column, metric in names.items():
        assert metrics[metric] == pytest.approx(row[column], abs=1e-12), column


@pytest.mark.parametrize("model", ["CRNN", "MfccSVM"])
def test_a_run_holds_seconds_and_speed(finished: Finished, model: str) -> None:
    metrics = finished.child(model).data.metrics
    for name in ("fit_seconds", "slices_per_second", "predict_seconds", "predict_slices_per_second"):
        assert metrics[name] > 0, name
    assert finished.parents[0].data.metrics["seconds"] > metrics["fit_seconds"]


def test_a_run_holds_its_files(finished: Finished) -> None:
    for model in ("CRNN", "MfccSVM"):
        name = finished.result(model).name
        assert finished.artifacts(model, "predictions") == [f"predictions/{name}.parquet"]
        assert finished.artifacts(model, "splits") == [f"splits/{name}.csv"]
        drawn = {Path(path).stem.removeprefix(f"{name}-") for path in finished.artifacts(model, "figures")}
        matrices = {"confusion-slices", "confusion-songs"}
        assert drawn == (matrices | {"tsne-slices", "tsne-songs", "training"} if model == "CRNN" else matrices)
        for path in finished.artifacts(model, "figures"):
            assert (finished.out / path).read_bytes().startswith(b"\x89PNG")


def test_a_run_holds_packages_and_the_experiments_text(finished: Finished, tmp_path: Path) -> None:
    environment = json.loads(finished.artifact("CRNN", "environment.json", tmp_path).read_text())
    assert {"crnn-bench", "torch", "pytorch-lightning", "mlflow", "numpy"} <= set(environment["packages"])
    assert environment["packages"]["mlflow"] == mlflow.__version__
    assert environment["python"].startswith("3.")
    text = json.loads(finished.artifact("CRNN", "experiment.json", tmp_path).read_text())
    assert text["yaml"].startswith("name: tiny\n")


def test_a_run_holds_the_datasets_digest(finished: Finished, music: Path) -> None:
    (planned, _) = planned_cells(finished.out.parent / "tiny.yaml")
    for model in ("CRNN", "MfccSVM"):
        (used,) = finished.child(model).inputs.dataset_inputs
        assert used.dataset.name == music.name
        assert used.dataset.digest == planned.catalogue.digest


def test_a_run_holds_the_git_commit(finished: Finished) -> None:
    command = ["git", "-C", str(Path(cli.__file__).parent), "rev-parse", "HEAD"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip("not in a git checkout")
    assert finished.child("CRNN").data.tags["mlflow.source.git.commit"] == asked.stdout.strip()


def test_runs_can_be_grouped_and_filtered_by_their_tags(finished: Finished) -> None:
    tags = finished.child("CRNN").data.tags
    told = {
        "kind": "cell",
        "dataset": finished.result("CRNN").record["dataset"],
        "split": "AlbumSplit",
        "kept_together": "album",
        "model": "CRNN",
    }
    told |= {"clip_seconds": "1", "seed": "0", "group": "CRNN, AlbumSplit, 1 s"}
    assert told.items() <= tags.items()
    assert finished.child("CRNN").info.run_name == "CRNN, AlbumSplit, 1 s, seed 0"
    assert "fold" not in tags
    assert finished.parents[0].data.tags["kind"] == "experiment"


def test_a_run_holds_few_metrics_and_a_file_of_all(finished: Finished, tmp_path: Path) -> None:
    scores = json.loads(finished.artifact("CRNN", "scores.json", tmp_path).read_text())
    assert scores == pytest.approx(tables.scores_of(finished.result("CRNN")), nan_ok=True)
    metrics = finished.child("CRNN").data.metrics
    assert len([name for name in metrics if "/" in name]) <= 22
    for name in ("slice/f1", "song/f1", "validation/slice/accuracy", "validation/song/f1"):
        assert metrics[name] == scores[name], name
    assert "song/f1/vote" in set(scores) - set(metrics)


def test_the_parent_run_tells_the_question_and_the_answer(finished: Finished) -> None:
    note = finished.parents[0].data.tags["mlflow.note.content"]
    assert "| AlbumSplit | MfccSVM |" in note
    assert "models:/tiny/1" in note
    assert "report.html" in note


# The registered model


@pytest.fixture(scope="module")
def hearing(finished: Finished) -> Any:
    mlflow.set_tracking_uri(finished.uri)
    return mlflow.pyfunc.load_model("models:/tiny@best")


def test_the_best_cell_is_registered_under_the_experiments_name(finished: Finished) -> None:
    client = mlflow.MlflowClient(finished.uri)
    (version,) = client.search_model_versions("name = 'tiny'")
    best = max(("CRNN", "MfccSVM"), key=lambda model: finished.row(model)["f1_song_validation"])
    assert best == "MfccSVM"
    assert version.run_id == finished.row(best)["run_id"]
    assert version.tags["cell"] == finished.result(best).name
    assert version.tags["validation/song/f1"] == f"{finished.row(best)['f1_song_validation']:.3f}"
    assert client.get_model_version_by_alias("tiny", "best").version == version.version == 1
    assert finished.child(best).outputs.model_outputs
    assert not finished.child("CRNN").outputs.model_outputs


def test_the_registered_model_hears_files_as_the_experiment_heard_them(
    finished: Finished, hearing: Any, music: Path
) -> None:
    stored = finished.result("MfccSVM").predictions.of("test")
    means = stored.table.groupby("track_id")[[f"p_{name}" for name in ARTISTS]].mean()
    paths = [str(music / track) for track in means.index]
    said = hearing.predict(pd.DataFrame({"path": paths}))
    np.testing.assert_allclose(said[means.columns].to_numpy(float), means, rtol=0, atol=1e-6)
    assert said["path"].tolist() == paths
    assert list(said.columns) == hearing.metadata.signature.outputs.input_names()
    assert hearing.metadata.signature.inputs.input_names() == ["path"]
    voted = [listening.listen(shelf.best(finished.out).bundle, Path(path)).label for path in paths]
    assert said["label"].tolist() == voted


def test_a_registered_network_hears_files_and_names_bad_ones(
    finished: Finished, music: Path, tmp_path: Path, alone: Predictions
) -> None:
    (path,) = (finished.out / "models").glob("*.pt")
    mlflow.set_tracking_uri(finished.uri)
    address = registry.register(
        "net: 'mine'", finished.row("CRNN")["run_id"], path, ARTISTS, "a network", {}, finished.uri
    )
    assert address == "models:/net- -mine-/1"
    assert not {".pkl", ".pickle"} & {file.suffix for file in (finished.out / "artifacts").rglob("*")}
    table = alone.of("test").table
    track = table["track_id"].iloc[0]
    said = mlflow.pyfunc.load_model(address).predict(pd.DataFrame({"path": [str(music / track), "nowhere.wav"]}))
    columns = [f"p_{name}" for name in ARTISTS]
    expected = table.loc[table["track_id"] == track, columns].mean()
    np.testing.assert_allclose(said.loc[0, columns].to_numpy(float), expected, rtol=0, atol=1e-5)
    assert said["fault"].tolist() == ["", "cannot be opened (No such file or directory)"]
    assert said.loc[1, columns].tolist() == [None] * 4


def test_models_predict_answers_a_table_of_paths(finished: Finished, music: Path, tmp_path: Path) -> None:
    song = next(music.rglob("*.wav"))
    (tmp_path / "paths.csv").write_text(f"path\n{song}\n")
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "predict", "-m", "models:/tiny/1"]
    command += ["-i", str(tmp_path / "paths.csv"), "-t", "csv", "-o", str(tmp_path / "said.json")]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": finished.uri}
    subprocess.run([*command, "--env-manager", "local"], check=True, capture_output=True, env=environment)
    (row,) = json.loads((tmp_path / "said.json").read_text())["predictions"]
    heard = listening.listen(shelf.best(finished.out).bundle, song)
    assert row["label"] == heard.label
    assert row["path"] == str(song)
    assert [row[f"p_{name}"] for name in ARTISTS] == pytest.approx(heard.compiled().tolist(), abs=1e-9)


# What is on disk


@pytest.mark.parametrize("model", ["CRNN", "MfccSVM"])
def test_scores_computed_anew_from_the_predictions_are_the_tables(finished: Finished, model: str) -> None:
    table = pd.read_parquet(finished.out / "predictions" / f"{finished.result(model).name}.parquet")
    table, row = table[table["part"] == "test"], finished.row(model)
    columns = [name for name in table if name.startswith("p_")]
    assert columns == [f"p_{artist}" for artist in ARTISTS]
    said = table[columns].idxmax(axis=1).str.removeprefix("p_")
    assert len(table) == row["n_test_slices"]
    assert f1_score(table["truth"], said, average="weighted") == pytest.approx(row["f1_slice"], abs=1e-12)
    assert accuracy_score(table["truth"], said) == pytest.approx(row["accuracy_slice"], abs=1e-12)
    truth, voted, meant = [], [], []
    for _, song in table.groupby("track_id"):
        probabilities = song[columns].to_numpy()
        sure = probabilities[probabilities.max(axis=1) > 0.5]
        votes = [list(vector).index(max(vector)) for vector in (sure if len(sure) else probabilities)]
        voted.append(ARTISTS[max(range(len(ARTISTS)), key=lambda index, votes=votes: votes.count(index))])
        meant.append(ARTISTS[probabilities.mean(axis=0).argmax()])
        truth.append(song["truth"].iloc[0])
    assert len(truth) == row["n_test_songs"]
    assert f1_score(truth, voted, average="weighted") == pytest.approx(row["f1_song"], abs=1e-12)
    assert accuracy_score(truth, voted) == pytest.approx(row["accuracy_song"], abs=1e-12)
    assert f1_score(truth, meant, average="weighted") == pytest.approx(row["f1_song_mean_prob"], abs=1e-12)


def test_the_svm_hears_what_the_tones_tell(finished: Finished) -> None:
    assert finished.row("MfccSVM")["f1_song"] > 0.8


def test_the_stored_split_is_the_predicted_one_and_leaks_no_album(finished: Finished) -> None:
    for model in ("CRNN", "MfccSVM"):
        result = finished.result(model)
        split = file_split.read(finished.out / "splits" / f"{result.name}.csv")
        tested = set(result.predictions.of("test").table["track_id"])
        assert tested == set(split.loc[split["part"] == "test", "track_id"])
        assert split.groupby("album")["part"].nunique().eq(1).all()
        assert split["part"].value_counts().to_dict() == dict.fromkeys(PARTS, 12)


def test_every_slice_of_every_part_has_a_bottleneck_vector(finished: Finished) -> None:
    vectors = finished.result("CRNN").embeddings
    assert vectors is not None
    row = finished.row("CRNN")
    assert list(vectors.columns[:8]) == [f"e{index}" for index in range(8)]
    assert vectors["part"].eq("train").sum() == row["n_train_slices"]
    assert vectors["part"].eq("test").sum() == row["n_test_slices"]
    assert np.isfinite(vectors[[f"e{index}" for index in range(8)]].to_numpy()).all()
    assert finished.result("MfccSVM").embeddings is None


# Invariances


def planned_cells(yaml: Path, *overrides: str, engine: Engine = Local()) -> list[planning.Plan]:  # noqa: B008
    work = config.load(yaml, overrides)
    return plans.plan(work, preparing.prepare(work, preparing.listings(work), engine))


def predict(planned: planning.Plan, cache: Path) -> Predictions:
    result, _ = experiment.run(planned, cache, lambda _: None)
    return result.predictions


def same(first: Predictions, second: Predictions) -> bool:
    """Bit for bit."""
    return first.classes == second.classes and first.table.equals(second.table)


@pytest.fixture
def tiny(tmp_path: Path, music: Path) -> Path:
    return write_yaml(tmp_path / "tiny.yaml", music)


@pytest.fixture
def alone(finished: Finished) -> Predictions:
    """The CRNN's predictions as the session's run stored them."""
    return finished.result("CRNN").predictions


def test_the_same_seed_gives_the_same_predictions(tiny: Path, tmp_path: Path, alone: Predictions) -> None:
    (planned,) = planned_cells(tiny)
    assert same(predict(planned, tmp_path), alone)


def test_another_seed_gives_other_predictions(tiny: Path, tmp_path: Path, alone: Predictions) -> None:
    (planned,) = planned_cells(tiny, "model_seed=1")
    other = predict(planned, tmp_path)
    assert list(other.table["track_id"]) == list(alone.table["track_id"])
    assert not np.allclose(other.probabilities, alone.probabilities)


def test_a_cell_predicts_the_same_within_a_grid(tiny: Path, music: Path, tmp_path: Path, alone: Predictions) -> None:
    write_yaml(tiny, music, f"[MfccSVM, {TINY}]")
    among = planned_cells(tiny, "grid.seed=[5, 0]")
    assert [(planned.cell.model.label, planned.cell.model_seed) for planned in among] == [
        ("MfccSVM", 5),
        ("MfccSVM", 0),
        ("CRNN", 5),
        ("CRNN", 0),
    ]
    predicted = [predict(planned, tmp_path) for planned in among]
    assert same(predicted[-1], alone)
    (svm, _) = planned_cells(write_yaml(tiny, music, f"[MfccSVM, {TINY}]"))
    assert svm.identity == among[1].identity
    assert same(predict(svm, tmp_path), predicted[1])


class Shuffled(Folder):
    """Lists its tracks in an order of its own."""

    def tracks(self) -> pd.DataFrame:
        return super().tracks().sample(frac=1, random_state=3)


def test_the_order_of_files_changes_nothing(tiny: Path, music: Path, tmp_path: Path, alone: Predictions) -> None:
    backwards = tmp_path / "backwards"
    for file in sorted(music.rglob("*.wav"), reverse=True):
        copy = backwards / file.relative_to(music)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    dataset = f"{{class_path: {__name__}.Shuffled, init_args: {{root: {backwards}}}}}"
    (planned,) = planned_cells(tiny, f"dataset={dataset}")
    assert isinstance(planned.dataset, Shuffled)
    assert same(predict(planned, tmp_path), alone)


def test_the_number_of_extracting_processes_changes_nothing(
    tiny: Path, tmp_path: Path, alone: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = []
    for workers in (1, 2):
        monkeypatch.setenv("CRNN_BENCH_CACHE", str(tmp_path / str(workers)))
        with Processes(workers) as processes:
            (planned,) = planned_cells(tiny, engine=processes)
        assert planned.store.root == tmp_path / str(workers) / "features"
        stored.append([array.tobytes() for array in planned.store.arrays(planned.catalogue.table)])
    assert stored[0] == stored[1]
    assert same(predict(planned, tmp_path), alone)


def test_the_number_of_loading_processes_changes_nothing(tiny: Path, tmp_path: Path, alone: Predictions) -> None:
    (planned,) = planned_cells(tiny, "trainer.num_workers=1")
    assert planned.cell.trainer is not None
    assert planned.cell.trainer.num_workers == 1
    assert same(predict(planned, tmp_path), alone)


def test_a_cells_identity_changes_with_whatever_changes_its_predictions(tiny: Path) -> None:
    changes = (
        "model_seed=1",
        "split_seed=1",
        "clip_seconds=2",
        "trainer.max_epochs=1",
        "model=MfccSVM",
        "split=SongSplit",
    )
    found = [planned_cells(tiny, "min_seconds=2")[0].identity]
    for change in changes:
        overrides = ["grid=null", change] if change.startswith("model=") else [change]
        found.append(planned_cells(tiny, "min_seconds=2", *overrides)[0].identity)
    assert len(set(found)) == len(found)
    assert planned_cells(tiny, "min_seconds=2")[0].identity == found[0]


def test_a_cells_identity_changes_with_what_a_frozen_split_holds(tiny: Path, tmp_path: Path) -> None:
    """A file of the same name may be written anew with another seed."""
    (planned,) = planned_cells(tiny)
    frozen, found = tmp_path / "frozen.csv", []
    for seed in (0, 1, 0):
        planning.write_split(planned_cells(tiny, f"split_seed={seed}")[0], frozen)
        found.append(planned_cells(tiny, f"split={{class_path: FileSplit, init_args: {{path: {frozen}}}}}")[0].identity)
    assert found[0] == found[2] != found[1]
    assert planned.identity not in found


def test_a_cells_identity_changes_with_ones_own_code(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for width in (16, 32):
        (tmp_path / "of_my_own.py").write_text(
            "from crnn_bench.models.crnn import CRNN\n\n\nclass Mine(CRNN):\n"
            f"    def __init__(self, n_bins, n_frames, n_classes):\n"
            f"        sizes = ((8, 4), (16, 4))\n"
            f"        super().__init__(n_bins, n_frames, n_classes, (4, 4), sizes, recurrent_width={width})\n"
        )
        sys.modules.pop("of_my_own", None)
        importlib.invalidate_caches()
        linecache.clearcache()
        found.append(planned_cells(tiny, "grid=null", "model=of_my_own.Mine")[0].identity)
    assert found[0] != found[1]


def test_a_network_that_does_not_fit_is_refused_before_anything_is_trained(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "misfits.py").write_text(
        "import torch\nfrom torch import nn\nfrom crnn_bench.models import Network\n\n\nclass Wrong(Network):\n"
        "    def __init__(self, n_bins, n_frames, n_classes, width: int = 3):\n        super().__init__()\n"
        "        self.head = nn.Linear(3, n_classes + (width == 4))\n        self.width = width\n\n"
        "    def embed(self, x):\n        return torch.zeros(len(x), min(self.width, 3) if self.width != 2 else 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for width, said in ((2, "misfits.Wrong does not work: mat1"), (4, r"shape \(1, 5\), expected")):
        with pytest.raises(BenchError, match=said):
            planned_cells(tiny, "grid=null", f"model={{class_path: misfits.Wrong, init_args: {{width: {width}}}}}")
    (tmp_path / "misspelt.py").write_text(
        "from torch import nn\nfrom crnn_bench.models import Network\n\n\nclass Ctor(Network):\n"
        "    def __init__(self, n_bins, n_frames, n_classes):\n        super().__init__()\n"
        "        self.head = nn.Liner(3, n_classes)\n\n    def embed(self, x):\n        return x\n"
    )
    with pytest.raises(BenchError, match=r"misspelt.Ctor does not work \(.*misspelt.py, line 8\): .*'Liner'"):
        planned_cells(tiny, "grid=null", "model=misspelt.Ctor")
    with pytest.raises(BenchError, match=r"CRNN: dropout must be"):
        planned_cells(tiny, "grid=null", "model={class_path: CRNN, init_args: {dropout: 2.0}}")


def test_folds_that_test_a_song_twice_are_refused(tiny: Path, tmp_path: Path) -> None:
    for fold in range(2):
        planning.write_split(planned_cells(tiny)[0], tmp_path / f"fold_{fold}.csv")
    split = f"{{class_path: FileSplit, init_args: {{path: '{tmp_path}/fold_{{fold}}.csv', k: 2}}}}"
    with pytest.raises(BenchError, match=r"FileSplit: Alder/.* is tested by more than one fold"):
        planned_cells(tiny, f"split={split}")


def test_songs_that_a_frozen_split_does_not_use_are_told(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (planned,) = planned_cells(tiny)
    kept = planned.split.table[planned.split.table["track_id"] != planned.split.train[0]]
    file_split.write(tmp_path / "part.csv", kept, [])
    (fewer,) = planned_cells(tiny, f"split={{class_path: FileSplit, init_args: {{path: {tmp_path / 'part.csv'}}}}}")
    assert fewer.unused == [planned.split.train[0]]
    assert f"leaves 1 tracks unused, e.g. {planned.split.train[0]}" in capsys.readouterr().out


def test_a_cells_identity_changes_with_the_audio(music: Path, tmp_path: Path) -> None:
    import soundfile

    from tests.conftest import RATE, tones, write_music

    write_music(tmp_path / "music", artists=2, songs=1, seconds=1.5)
    yaml = write_yaml(tmp_path / "tiny.yaml", tmp_path / "music", "[MfccSVM]")
    before = planned_cells(yaml)[0].identity
    soundfile.write(tmp_path / "music" / "Alder" / "Alder 0" / "song 0.wav", tones(3, 2, 1, 1.5), RATE)
    assert planned_cells(yaml)[0].identity != before


def test_choices_are_built_from_what_the_cell_says(tiny: Path) -> None:
    (planned,) = planned_cells(tiny)
    assert Choice.of(planned.feature) == planned.cell.features
    assert Choice.of(planned.dataset) == planned.cell.dataset


# Cells that do not end well


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


FRAGILE = """
from pathlib import Path
from crnn_bench.baselines.mfcc_svm import MfccSVM
from crnn_bench.errors import BenchError
from crnn_bench.models.crnn import CRNN

FLAG = Path({flag!r})


class Fragile(MfccSVM):
    def summarise(self, frames):
        if FLAG.exists():
            raise {error}("the glass breaks")
        return super().summarise(frames)


class Interrupted(CRNN):
    def forward(self, x):
        if self.training and FLAG.exists():
            raise KeyboardInterrupt
        return super().forward(x)
"""


def fragile(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, error: str = "RuntimeError") -> Path:
    """Writes a module of models that fail as long as a file is there; returns the file."""
    flag = tmp_path / "flag"
    flag.touch()
    (tmp_path / f"{name}.py").write_text(FRAGILE.format(flag=str(flag), error=error))
    monkeypatch.syspath_prepend(tmp_path)
    return flag


def children(out: Path, name: str) -> list[tuple[str, str]]:
    """(model, status) of every child run, the first first."""
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    found = client.get_experiment_by_name(name)
    assert found is not None
    runs = client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])
    return [
        (run.data.tags["model"].rpartition(".")[2], run.info.status)
        for run in runs
        if "mlflow.parentRunId" in run.data.tags
    ]


def test_a_failed_cell_is_recorded_and_run_again_the_finished_ones_are_not(
    tmp_path: Path, music: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = fragile(tmp_path, "made_of_glass", monkeypatch)
    yaml = write_yaml(tmp_path / "glass.yaml", music, "[MfccSVM, made_of_glass.Fragile]")
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 2
    assert children(out, "glass") == [("MfccSVM", "FINISHED"), ("Fragile", "FAILED"), ("Fragile", "FAILED")]
    (fault,) = (out / "faults").iterdir()
    said = f"Fragile, AlbumSplit, 1 s, seed 0: 2 times: RuntimeError: the glass breaks (see {fault})\n"
    assert capsys.readouterr().err.endswith(said)
    assert "made_of_glass.py" in fault.read_text(), "its traceback"
    flag.unlink()
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished before") == 1
    ended = [("MfccSVM", "FINISHED"), ("Fragile", "FAILED"), ("Fragile", "FAILED"), ("Fragile", "FINISHED")]
    assert children(out, "glass") == ended
    assert list(pd.read_csv(out / "results.csv")["model"]) == ["MfccSVM", "made_of_glass.Fragile"]


def test_a_cell_that_cannot_be_fitted_ends_in_one_line_and_a_failed_run(
    tmp_path: Path, music: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fragile(tmp_path, "made_of_lead", monkeypatch, "BenchError")
    yaml = write_yaml(tmp_path / "lead.yaml", music, "[made_of_lead.Fragile]")
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 2
    said = "crnn-bench: 1 of 1 cells failed: made_of_lead.Fragile, AlbumSplit, 1 s, seed 0: the glass breaks\n"
    assert capsys.readouterr().err == said
    assert children(out, "lead") == [("Fragile", "FAILED")]
    assert not (out / "predictions").exists()


def test_whatever_ends_a_cell_the_finished_ones_get_their_tables(
    tmp_path: Path, music: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile(tmp_path, "made_of_clay", monkeypatch, "SystemExit")
    yaml = write_yaml(tmp_path / "clay.yaml", music, "[MfccSVM, made_of_clay.Fragile]")
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 2
    assert list(pd.read_csv(out / "results.csv")["model"]) == ["MfccSVM"]


def test_ctrl_c_leaves_tables_of_what_is_finished_and_no_run_that_failed(
    tmp_path: Path, music: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile(tmp_path, "made_of_snow", monkeypatch)
    yaml = write_yaml(tmp_path / "snow.yaml", music, f"[MfccSVM, {TINY.replace('CRNN', 'made_of_snow.Interrupted')}]")
    before = signal.getsignal(signal.SIGINT)
    try:
        assert cli.main(["run", str(yaml), "--out", str(out)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(pd.read_csv(out / "results.csv")["model"]) == ["MfccSVM"]
    assert children(out, "snow") == [("MfccSVM", "FINISHED"), ("Interrupted", "KILLED")]
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    runs = client.search_runs([made.experiment_id for made in client.search_experiments()])
    assert [run.info.status for run in runs if "mlflow.parentRunId" not in run.data.tags] == ["KILLED"]


def test_how_much_of_the_tests_production_is_heard_in_training(tiny: Path, finished: Finished) -> None:
    (album,), (song,) = planned_cells(tiny), planned_cells(tiny, "split=SongSplit")
    assert album.heard("album") == (0, 4)
    albums = {track.rsplit("/", 1)[0] for track in song.split.test}
    heard = {track.rsplit("/", 1)[0] for track in song.split.train} & albums
    assert song.heard("album") == (len(heard), len(albums))
    assert len(heard) > 0
    assert (finished.row("CRNN")["n_heard_albums"], finished.row("CRNN")["n_test_albums"]) == (0, 4)


def test_a_finished_cell_whose_files_are_lost_is_run_again(
    tmp_path: Path, music: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = write_yaml(tmp_path / "lost.yaml", music, "[MfccSVM]")
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 0
    before = pd.read_csv(out / "results.csv")
    for folder in ("predictions", "artifacts"):
        shutil.rmtree(out / folder)
    capsys.readouterr()
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 0
    assert "finished before" not in capsys.readouterr().out
    assert pd.read_csv(out / "results.csv")["f1_slice"].equals(before["f1_slice"])


def test_a_cell_that_cannot_be_fitted_does_not_keep_the_others(
    tmp_path: Path, music: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fragile(tmp_path, "made_of_tin", monkeypatch, "BenchError")
    yaml = write_yaml(tmp_path / "tin.yaml", music, "[made_of_tin.Fragile, MfccSVM]")
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert "    failed: the glass breaks\n" in printed.out
    assert printed.err.startswith("crnn-bench: 1 of 2 cells failed: made_of_tin.Fragile, ")
    assert children(out, "tin") == [("Fragile", "FAILED"), ("MfccSVM", "FINISHED")]
    assert list(pd.read_csv(out / "results.csv")["model"]) == ["MfccSVM"]


def test_a_finished_cell_is_fetched_whole_into_another_folder(
    tmp_path: Path, music: Path, finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = write_yaml(tmp_path / "tiny.yaml", music, f"[{TINY}, MfccSVM]")
    other = tmp_path / "other"
    assert cli.main(["run", str(yaml), "--out", str(other), "--tracking-uri", finished.uri]) == 0
    assert capsys.readouterr().out.count("finished before") == 2
    for folder in ("predictions", "embeddings", "figures", "models", "splits"):
        files = {path.name: path.read_bytes() for path in (other / folder).iterdir()}
        assert files == {path.name: path.read_bytes() for path in (finished.out / folder).iterdir()}
    assert (other / "results.csv").read_bytes() == (finished.out / "results.csv").read_bytes()


def test_ctrl_c_in_training_says_how_to_go_on_and_the_next_run_does(
    tmp_path: Path, music: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = fragile(tmp_path, "made_of_sand", monkeypatch)
    yaml = write_yaml(tmp_path / "sand.yaml", music, f"[{TINY.replace('CRNN', 'made_of_sand.Interrupted')}]")
    before = signal.getsignal(signal.SIGINT)
    try:
        assert cli.main(["run", str(yaml), "--out", str(out)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "crnn-bench: stopped; the same command goes on" in capsys.readouterr().err
    assert children(out, "sand") == [("Interrupted", "KILLED")]
    assert not (out / "predictions").exists()
    flag.unlink()
    assert cli.main(["run", str(yaml), "--out", str(out)]) == 0
    assert children(out, "sand") == [("Interrupted", "KILLED"), ("Interrupted", "FINISHED")]


# The network's file


@pytest.fixture
def bundle(finished: Finished) -> bundles.Bundle:
    """What the shared run left of its only network."""
    (path,) = (finished.out / "models").glob("*.pt")
    assert trained.find(str(finished.out)) == path
    return bundles.load(path)


def test_a_networks_cell_leaves_a_bundle(bundle: bundles.Bundle, tiny: Path, finished: Finished) -> None:
    (planned,) = planned_cells(tiny)
    about = bundle.about
    assert about["name"] == planned.name == bundle.path.stem
    assert about["identity"] == planned.identity
    assert about["dataset"] == planned.dataset.name
    assert about["model"] == planned.cell.model.describe()
    assert about["features"] == planned.cell.features.describe()
    assert about["classes"] == list(ARTISTS)
    assert (about["n_classes"], about["n_bins"], about["n_frames"]) == (4, 128, 32)
    assert about["clip_seconds"] == 1.0
    assert about["model_seed"] == 0
    assert about["parameters"] == json.loads(json.dumps(planned.cell.parameters, default=str))
    history = finished.result("CRNN").record["history"]
    assert about["validation_loss"] == min(epoch["validation_loss"] for epoch in history)
    assert finished.artifacts("CRNN", "models") == [f"models/{bundle.path.name}"]


def test_a_bundle_names_all_that_its_network_heard_and_no_test_song(bundle: bundles.Bundle, tiny: Path) -> None:
    (planned,) = planned_cells(tiny)
    content = planned.catalogue.table.set_index("track_id")["content"]
    assert bundle.about["heard"] == sorted(content[[*planned.split.train, *planned.split.validation]])
    assert not set(bundle.about["heard"]) & set(content[list(planned.split.test)])
    assert len(bundle.about["heard"]) == 24


def test_a_bundle_holds_the_weights_that_made_the_predictions(
    bundle: bundles.Bundle, tiny: Path, alone: Predictions
) -> None:
    slices = planned_cells(tiny)[0].slices("test")
    x = torch.from_numpy(slices.batch(range(len(slices)))).transpose(1, 2).float()
    with torch.no_grad():
        answers = bundle.network(x).softmax(dim=1)
    np.testing.assert_allclose(answers, alone.of("test").probabilities, rtol=0, atol=1e-5)


# Augmentation


def test_an_experiment_augments_its_training_songs_and_no_others(tiny: Path) -> None:
    form = {"class_path": "TempoChange", "init_args": {"rates": [0.8], "probability": 1.0}}
    (planned,) = planned_cells(tiny, f"augment=[{json.dumps(form)}, Mixup]", "model_seed=3")
    train = planned.slices("train")
    made = planned.augmenter(train)
    assert made is not None
    assert made.seed == derive(3, "augmentation")
    assert made.training.slices is train
    assert train.tracks == planned.split.train
    ((stored,), (tempo, _)) = made.training.forms.values(), made.augmentations
    assert len(stored) == len(train.tracks)
    table = planned.catalogue.table.set_index("track_id")
    for place in (0, len(train.tracks) - 1):
        song = Song(audio.load(Path(table.loc[train.tracks[place], "path"]), 16000), 16000)
        altered = Song(tempo.forms[0].alter(song), 16000)
        assert np.array_equal(stored[place], planned.feature.compute(altered).astype(np.float16))


def test_an_experiment_trains_on_augmented_slices(tiny: Path, tmp_path: Path, finished: Finished) -> None:
    (planned,) = planned_cells(tiny, "augment=[FrequencyMask]")
    result, _ = experiment.run(planned, tmp_path, lambda _: None)
    plain = finished.result("CRNN").record["history"]
    assert [epoch["train_loss"] for epoch in result.record["history"]] != [epoch["train_loss"] for epoch in plain]
    assert result.record["n_train_slices"] == finished.row("CRNN")["n_train_slices"]
