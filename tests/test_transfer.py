"""First weights from another run: what is carried, what stays, and that no test song was ever heard."""

import contextlib
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from crnn_bench import bundles, cli, config, experiment, planning, preparing, results, runner
from crnn_bench.errors import BenchError
from crnn_bench.networks import FittedNetwork
from tests import test_networks as made
from tests.conftest import write_music
from tests.test_experiment import TINY, write_yaml

TOY = "dataset: {class_path: Toy, init_args: {n_artists: 3, n_albums: 3, n_songs: 2, seconds: 3, seed: SEED}}\n"
SETTINGS = f"clip_seconds: 1\nmodel: {TINY}\ntrainer: {{max_epochs: 2, precision: fp32}}\n"


def write(folder: Path, name: str, more: str, seed: int = 0) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\n{TOY.replace('SEED', str(seed))}{SETTINGS}{more}")
    return path


def run(yaml: Path, *overrides: str) -> Path:
    out = yaml.with_suffix("")
    options = [word for override in overrides for word in ("--set", override)]
    with contextlib.redirect_stdout(io.StringIO()):
        assert cli.main(["run", str(yaml), "--out", str(out), *options]) == 0
    return out


def plans(yaml: Path, *overrides: str) -> list[planning.Plan]:
    work = config.load(yaml, overrides)
    return runner.plan(work, preparing.prepare(work, preparing.listings(work), 1))


def train(yaml: Path, cache: Path, earlier: Path | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and record of an experiment's one cell, which is trained, but neither drawn nor tracked."""
    (planned,) = plans(yaml)
    result, model = experiment.run(planned, cache, lambda _: None, earlier=earlier)
    assert isinstance(model, FittedNetwork)
    return model.network.state_dict(), result.record


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on other toy music, with two seeds."""
    folder = tmp_path_factory.mktemp("source")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRNN_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return run(write(folder, "source", "split: AlbumSplit\ngrid: {seed: [0, 1]}\n", seed=7))


def of_seed(source: Path, seed: int) -> dict[str, torch.Tensor]:
    (path,) = source.glob(f"models/*seed{seed}-*.pt")
    return dict(bundles.load(path).state_dict)


@pytest.mark.parametrize("seed", [0, 1])
def test_layers_begin_with_the_weights_of_the_same_seed(source: Path, tmp_path: Path, seed: int) -> None:
    (planned,) = plans(write(tmp_path, "target", f"init_from: {source}\n"), f"seed={seed}")
    assert planned.start is not None
    network = planned.cell.model.build(n_bins=128, n_frames=32, n_classes=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    planned.start.carry_to(network)
    theirs = of_seed(source, seed)
    for name, tensor in network.state_dict().items():
        expected = before if name.startswith("head.") else theirs
        assert torch.equal(tensor, expected[name]), name


def test_only_the_chosen_layers_are_carried_and_frozen_ones_stay_as_they_are(source: Path, tmp_path: Path) -> None:
    chosen = f"init_from: {{run: {source}, layers: [frequency_norm, conv.0], freeze: true}}\n"
    mine, record = train(write(tmp_path, "target", chosen), tmp_path)
    theirs = of_seed(source, 0)
    held = [name for name in mine if name.startswith(("frequency_norm.", "conv.0."))]
    assert len(held) > 5
    for name in held:  # running means of batch norms, too
        assert torch.equal(mine[name], theirs[name]), name
    assert not torch.equal(mine["conv.1.0.weight"], theirs["conv.1.0.weight"])
    assert record["n_learned"] < record["n_parameters"]


def test_carried_layers_learn_on_unless_they_are_frozen(source: Path, tmp_path: Path) -> None:
    mine, record = train(write(tmp_path, "target", f"init_from: {{run: {source}, layers: [conv]}}\n"), tmp_path)
    assert not torch.equal(mine["conv.0.0.weight"], of_seed(source, 0)["conv.0.0.weight"])
    assert record["n_learned"] == record["n_parameters"]
    assert record["init_from"].startswith("CRNN-AlbumSplit")
    assert record["n_heard_test_songs"] == 0


def test_a_cell_is_another_one_when_its_first_weights_are_others(source: Path, tmp_path: Path) -> None:
    yaml = write(tmp_path, "target", f"grid: {{init_from: [null, {source}]}}\n")
    scratch, carried = plans(yaml)
    (first, second) = sorted(source.glob("models/*.pt"))
    (other,) = plans(yaml, f"grid.init_from=[{first}]")
    (another,) = plans(yaml, f"grid.init_from=[{second}]")
    assert len({plan.identity for plan in (scratch, carried, other, another)}) == 4


def test_weights_that_heard_a_test_song_are_refused_through_any_number_of_runs(source: Path, tmp_path: Path) -> None:
    elsewhere = run(write(tmp_path, "elsewhere", f"init_from: {source}\n", seed=8))
    for first in (source, elsewhere):
        same_music = write(tmp_path, "again", f"split: SongSplit\nseed: 3\ninit_from: {first}\n", seed=7)
        with pytest.raises(BenchError, match=r"was trained on \d+ of this cell's test songs, e.g. artist-\d"):
            plans(same_music)
    same_split = write(tmp_path, "fine", f"split: AlbumSplit\ninit_from: {source}\n", seed=7)
    assert plans(same_split)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nowhere", "nowhere: no such bundle or results folder"),
        ("{run: SOURCE, layers: [convv]}", r"'convv' \(did you mean 'conv'\?\); allowed: frequency_norm, conv"),
        ("{run: SOURCE, layers: [conv.9]}", "'conv.9'"),
        ("{run: SOURCE, layer: [conv]}", r"'layer' \(did you mean 'layers'\?\)"),
        ("{layers: [conv]}", "InitFrom needs 'run'"),
        ("[SOURCE]", r"init_from: expected settings such as run"),
    ],
)
def test_what_cannot_be_carried_is_said_before_anything_is_trained(
    source: Path, tmp_path: Path, spec: str, said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        plans(write(tmp_path, "target", f"init_from: {spec.replace('SOURCE', str(source))}\n"))


def test_other_features_or_shapes_are_refused(source: Path, tmp_path: Path) -> None:
    yaml = write(tmp_path, "target", f"init_from: {source}\n")
    with pytest.raises(BenchError, match=r"hears .*LogMel.* but this experiment gives .*Stft"):
        plans(yaml, "features={class_path: Stft, init_args: {n_fft: 256}}")
    wider = TINY.replace("[4, 4]", "[4, 6]")
    with pytest.raises(BenchError, match=r"conv.1.0.weight is \(6, 4, 3, 3\) here, but \(4, 4, 3, 3\) in CRNN-Album"):
        plans(yaml, f"model={wider}")
    with pytest.raises(BenchError, match=r"holds no RNN, but (?i:crnn)"):
        plans(yaml, "model=RNN")


# A frozen network whose head alone learns


def test_a_head_alone_is_trained_on_embeddings_made_once(tmp_path: Path) -> None:
    """The network hears each slice once, the epochs hear bottlenecks; and the result answers as the whole does."""
    heard = []

    class Counted(made.CRNN):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self.freeze([module for name, module in self.named_children() if name != "head"])

        def embed(self, x: torch.Tensor) -> torch.Tensor:
            heard.append(len(x))
            return super().embed(x)

    model = made.Choice(Counted, made.SMALL)
    fitted = made.fit(tmp_path, model, made.replace(made.TRAINER, max_epochs=5, patience=5, learning_rate=0.1))
    probe = 2  # slices that the counting of costs and the search for the least length hear
    assert len(made.TRAIN) + len(made.VALIDATION) <= sum(heard) <= len(made.TRAIN) + len(made.VALIDATION) + probe
    assert fitted.details["epochs"] == 5
    losses = made.losses(fitted)
    assert min(losses) < losses[0]
    probabilities = torch.from_numpy(fitted.predict_proba(made.VALIDATION))
    loss = torch.nn.functional.nll_loss(probabilities.log(), torch.from_numpy(made.VALIDATION.label))
    assert float(loss) == pytest.approx(min(losses), abs=1e-4)


# Faults of the paper's code


def test_a_warm_start_takes_the_weights_of_another_split_and_says_what_they_heard(tmp_path: Path) -> None:
    yaml = write(tmp_path, "warm", "grid: {split: [SongSplit, AlbumSplit]}\nquirks: {warm_start: true}\n")
    out = run(yaml)
    song, album = (results.load(out, path.stem).record for path in sorted(out.glob("predictions/*"), reverse=True))
    assert (song["parameters"]["split"], album["parameters"]["split"]) == ("SongSplit", "AlbumSplit")
    assert "init_from" not in song
    assert album["init_from"] == song["name"]
    heard = set(bundles.load(bundles.path_of(out, song["name"])).about["heard"])
    tested = plans(yaml)[1].tracks("test")
    assert album["n_heard_test_songs"] == tested["content"].isin(heard).sum() > 0


def test_without_the_quirk_an_earlier_run_changes_nothing(source: Path, tmp_path: Path) -> None:
    same = write(tmp_path, "same", "split: SongSplit\n", seed=7)
    warm = write(tmp_path, "warm", "split: SongSplit\nquirks: {warm_start: true}\n", seed=7)
    alone, beside, warmed = train(same, tmp_path), train(same, tmp_path, source), train(warm, tmp_path, source)
    assert all(torch.equal(tensor, beside[0][name]) for name, tensor in alone[0].items())
    assert not torch.equal(alone[0]["head.1.weight"], warmed[0]["head.1.weight"])
    assert warmed[1]["init_from"].startswith("CRNN-AlbumSplit-1s-seed0")


def test_unseeded_runs_differ_and_seeded_ones_do_not(tmp_path: Path) -> None:
    found = []
    for quirk in ("true", "false"):
        yaml = write(tmp_path, quirk, f"quirks: {{unseeded: {quirk}}}\n")
        found += [train(yaml, tmp_path)[0]["conv.0.0.weight"] for _ in range(2)]
    unseeded, again, seeded, same = found
    assert not torch.equal(unseeded, again)
    assert torch.equal(seeded, same)


def test_songs_whose_files_are_named_alike_become_one_with_the_quirk(tmp_path: Path) -> None:
    """All songs of the test music are called `song 0.wav` to `song 2.wav`."""
    music = write_music(tmp_path / "music", seconds=3)
    yaml = write_yaml(tmp_path / "alike.yaml", music, more="quirks: {merge_same_names: true}\n")
    out = run(yaml)
    (path,) = out.glob("predictions/*.parquet")
    predictions = results.load(out, path.stem).predictions.of("test")
    assert set(predictions.table["track_id"]) == {"song 0.wav", "song 1.wav", "song 2.wav"}
    assert len(predictions.table) == 4 * 3 * 2
    assert pd.read_csv(out / "results.csv")["n_test_songs"].tolist() == [12]
