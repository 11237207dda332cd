"""Baselines from the YAML to MLflow: searches, whole songs, tables, models of frames, and the view without labels."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

from crnn_bench import bundles, cli, config, listening, plans, preparing, results
from crnn_bench.bundles import BaselineBundle
from crnn_bench.engines.local import Local

YAML = """
name: searched
dataset: {{class_path: Folder, init_args: {{root: {music}}}}}
split: {split}
clip_seconds: song
search: {{n_iter: 2, folds: 3, space: {{KNN: {{n_neighbors: [1, 2]}}, GaussianMixture: {{n_components: [1, 2]}}}}}}
grid:
  - {{features: [GtzanTable], model: [KNN, MajorityClass]}}
  - {{model: [GaussianMixture]}}
"""


def run_yaml(music: Path, folder: Path, split: str) -> int:
    (folder / "searched.yaml").write_text(YAML.format(music=music, split=split))
    return cli.main(["run", str(folder / "searched.yaml"), "--out", str(folder / "out")])


@pytest.fixture(scope="module")
def out(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A searched experiment on a song split, run to its end."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert run_yaml(music, folder, "{class_path: SongSplit, init_args: {test: 0.3, validation: 0.3}}") == 0
    return folder / "out"


def child(out: Path, model: str) -> Run:
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("searched")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.model = '{model}'")
    return run


def test_the_best_parameters_and_the_search_table_are_tracked(out: Path, tmp_path: Path) -> None:
    run = child(out, "KNN")
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    table = pd.read_csv(out / "results.csv").set_index("model")
    name = f"searches/{table.loc['KNN', 'cell']}.csv"
    trials = pd.read_csv(client.download_artifacts(run.info.run_id, name, str(tmp_path)))
    assert trials.equals(pd.read_csv(out / name))
    assert list(trials["trial"]) == [1, 2, 3]
    assert trials.loc[0, ["n_neighbors", "weights"]].tolist() == [5, "uniform"]
    best = trials.loc[trials["mean"].idxmax()]
    assert run.data.params["searched.n_neighbors"] == str(best["n_neighbors"])
    assert run.data.metrics["searched_f1"] == pytest.approx(best["mean"])
    assert run.data.params["search.n_iter"] == "2"
    assert "searched.n_neighbors" not in child(out, "MajorityClass").data.params
    assert json.loads(table.loc["KNN", "searched"]) == {"n_neighbors": best["n_neighbors"]}
    assert table.loc["KNN", "searched_f1"] == pytest.approx(best["mean"])


def test_whole_songs_have_no_slice_level(out: Path) -> None:
    table = pd.read_csv(out / "results.csv").set_index("model")
    assert table["clip_seconds"].isna().all()
    assert table["f1_slice"].isna().all()
    assert table["f1_song"].notna().all()
    assert (table["n_test_slices"] == table["n_test_songs"]).all()


@pytest.mark.parametrize("model", ["KNN", "GaussianMixture"])
def test_a_tracked_model_says_what_was_predicted(out: Path, model: str, tmp_path: Path) -> None:
    """Of vectors and of frames, fetched from MLflow."""
    client, run = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}"), child(out, model)
    (found,) = client.list_artifacts(run.info.run_id, "models")
    bundle = bundles.load(Path(client.download_artifacts(run.info.run_id, found.path, str(tmp_path))))
    assert isinstance(bundle, BaselineBundle)
    assert (type(bundle.baseline).__name__, bundle.about["clip_seconds"]) == (model, None)
    work = config.load(out.parent / "searched.yaml")
    planned = plans.plan(work, preparing.prepare(work, preparing.listings(work), Local()))
    (plan,) = [plan for plan in planned if plan.cell.model.label == model]
    said = results.load(out, plan.name).predictions.of("test")
    path = Path(plan.tracks("test").set_index("track_id").loc[said.table["track_id"][0], "path"])
    heard = listening.listen(bundle, path)
    np.testing.assert_allclose(heard.probabilities, said.probabilities[:1], rtol=0, atol=1e-6)
    if model == "KNN":
        assert str(bundle.estimator[-1].n_neighbors) == run.data.params["searched.n_neighbors"]


def test_a_finished_cells_trials_are_fetched_into_another_folder(out: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{out / 'mlflow.db'}"
    yaml = out.parent / "searched.yaml"
    assert cli.main(["run", str(yaml), "--out", str(tmp_path / "other"), "--tracking-uri", uri]) == 0
    names = sorted(path.name for path in (out / "searches").glob("*.csv"))
    assert len(names) == 2
    assert sorted(path.name for path in (tmp_path / "other" / "searches").glob("*.csv")) == names


def test_a_search_that_has_too_few_groups_is_refused_before_anything_is_fitted(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An album split of three albums trains on one of each artist."""
    assert run_yaml(music, tmp_path, "AlbumSplit") == 2
    assert "a search needs two albums of each label to train on" in capsys.readouterr().err
    assert not (tmp_path / "out" / "results.csv").exists()


def test_a_fault_in_a_baseline_of_ones_own_is_named_by_its_line(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_faulty_baselines.py").write_text(
        "from sklearn.naive_bayes import GaussianNB\n\nfrom crnn_bench.baselines import Baseline\n\n\n"
        "class NaiveBayes(Baseline):\n    def classifier(self, seed):\n        return GaussianNB(foo=1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yaml = tmp_path / "own.yaml"
    yaml.write_text(
        f"name: own\ndataset: {{class_path: Folder, init_args: {{root: {music}}}}}\nfeatures: Mfcc\n"
        "model: my_faulty_baselines.NaiveBayes\n"
    )
    assert cli.main(["run", str(yaml), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "NaiveBayes does not work" in said
    assert "my_faulty_baselines.py, line 8" in said


def test_networks_are_seen_by_their_bottleneck(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Test songs alone."""
    yaml = tmp_path / "net.yaml"
    yaml.write_text(
        f"name: net\ndataset: {{class_path: Folder, init_args: {{root: {music}}}}}\nsplit: AlbumSplit\n"
        "model: {class_path: CRNN, init_args: {conv_channels: [2], pool_sizes: [[64, 8]], recurrent_width: 4}}\n"
        "clip_seconds: 1\ntrainer: {max_epochs: 1, precision: fp32}\n"
    )
    assert cli.main(["run", str(yaml), "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert cli.main(["explore", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "unsupervised.csv")
    assert table[["songs", "labels"]].to_numpy().tolist() == [[12, 4]]
    assert len(list((tmp_path / "out" / "figures").glob("unsupervised-*.png"))) == 1
    assert "NMI" in printed
