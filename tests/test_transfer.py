"""First weights from another run: what is carried, what stays, and that no test song was ever heard."""

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from crnn_bench import bundles, cli, config, experiment, networks, planning, plans, preparing, results, transfer
from crnn_bench.augmentations.time_mask import TimeMask
from crnn_bench.augmenting import Augmenter
from crnn_bench.engines.local import Local
from crnn_bench.errors import BenchError
from crnn_bench.models.crnn import CRNN
from crnn_bench.networks import FittedNetwork
from crnn_bench.plugins import Choice
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


def planned_cells(yaml: Path, *overrides: str) -> list[planning.Plan]:
    work = config.load(yaml, overrides)
    return plans.plan(work, preparing.prepare(work, preparing.listings(work), Local()))


def train(yaml: Path, cache: Path, earlier: Path | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights and record of an experiment's one cell, which is trained, but neither drawn nor tracked."""
    (planned,) = planned_cells(yaml)
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
    (planned,) = planned_cells(write(tmp_path, "target", f"init_from: {source}\n"), f"seed={seed}")
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
    scratch, carried = planned_cells(yaml)
    (first, second) = sorted(source.glob("models/*.pt"))
    (other,) = planned_cells(yaml, f"grid.init_from=[{first}]")
    (another,) = planned_cells(yaml, f"grid.init_from=[{second}]")
    assert len({plan.identity for plan in (scratch, carried, other, another)}) == 4


def test_weights_that_heard_a_test_song_are_refused_through_any_number_of_runs(source: Path, tmp_path: Path) -> None:
    elsewhere = run(write(tmp_path, "elsewhere", f"init_from: {source}\n", seed=8))
    for first in (source, elsewhere):
        same_music = write(tmp_path, "again", f"split: SongSplit\nseed: 3\ninit_from: {first}\n", seed=7)
        with pytest.raises(BenchError, match=r"was trained on \d+ of this cell's test songs, e.g. artist-\d"):
            planned_cells(same_music)
    same_split = write(tmp_path, "fine", f"split: AlbumSplit\ninit_from: {source}\n", seed=7)
    assert planned_cells(same_split)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nowhere", "nowhere: no such results folder, nor a file of its models/"),
        ("{run: SOURCE, layers: [convv]}", r"'convv' \(did you mean 'conv'\?\); allowed: frequency_norm, conv"),
        ("{run: SOURCE, layers: [conv.9]}", "'conv.9'"),
        (
            "{run: SOURCE, layers: [readout]}",
            "'readout' has no weights; .* among frequency_norm, conv, recurrence, head",
        ),
        ("{run: SOURCE, layers: ['']}", "'' has no weights"),
        ("{run: SOURCE, layers: [frequency_norm, conv, recurrence, head], freeze: true}", "nothing would learn"),
        ("SOURCE\nquirks: {warm_start: true}", "init_from: quirks.warm_start chooses the first weights, too"),
        ("{run: SOURCE, layer: [conv]}", r"'layer' \(did you mean 'layers'\?\)"),
        ("{layers: [conv]}", "InitFrom needs 'run'"),
        ("[SOURCE]", r"init_from: expected settings such as run"),
    ],
)
def test_what_cannot_be_carried_is_said_before_anything_is_trained(
    source: Path, tmp_path: Path, spec: str, said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        planned_cells(write(tmp_path, "target", f"init_from: {spec.replace('SOURCE', str(source))}\n"))


def test_other_features_or_shapes_are_refused(source: Path, tmp_path: Path) -> None:
    yaml = write(tmp_path, "target", f"init_from: {source}\n")
    with pytest.raises(BenchError, match=r"hears .*LogMel.* but this experiment gives .*Stft"):
        planned_cells(yaml, "features={class_path: Stft, init_args: {n_fft: 256}}")
    wider = TINY.replace("[4, 4]", "[4, 6]")
    with pytest.raises(BenchError, match=r"conv.1.0.weight is \(6, 4, 3, 3\) here, but \(4, 4, 3, 3\) in CRNN-Album"):
        planned_cells(yaml, f"model={wider}")
    with pytest.raises(BenchError, match=r"holds no RNN, but (?i:crnn)"):
        planned_cells(yaml, "model=RNN")


# A frozen network whose head alone learns


class AllButTheHeadFrozen(CRNN):
    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.freeze([module for name, module in self.named_children() if name != "head"])


def test_a_head_alone_is_trained_on_embeddings_made_once(tmp_path: Path) -> None:
    """The network hears each slice once, the epochs hear bottlenecks; and the result answers as the whole does."""
    heard = []

    class Counted(AllButTheHeadFrozen):
        def embed(self, x: torch.Tensor) -> torch.Tensor:
            heard.append(len(x))
            return super().embed(x)

    model = Choice(Counted, made.SMALL)
    fitted = made.fit(tmp_path, model, replace(made.TRAINER, max_epochs=5, patience=5, learning_rate=0.1))
    probe = 2  # slices that the counting of costs and the search for the least length hear
    assert len(made.TRAIN) + len(made.VALIDATION) <= sum(heard) <= len(made.TRAIN) + len(made.VALIDATION) + probe
    assert fitted.details["epochs"] == 5
    losses = made.losses(fitted)
    assert min(losses) < losses[0]
    probabilities = torch.from_numpy(fitted.predict_proba(made.VALIDATION))
    loss = torch.nn.functional.nll_loss(probabilities.log(), torch.from_numpy(made.VALIDATION.label))
    assert float(loss) == pytest.approx(min(losses), abs=1e-4)


def head_alone(tmp_path: Path, augmenter: Augmenter | None = None) -> FittedNetwork:
    model = Choice(AllButTheHeadFrozen, made.SMALL)
    trainer = replace(made.TRAINER, max_epochs=4, patience=4, learning_rate=0.1)
    return networks.fit(model, made.TRAIN, made.VALIDATION, made.N_CLASSES, trainer, 0, tmp_path, augmenter=augmenter)


def test_the_short_way_ends_where_the_long_one_does(tmp_path: Path) -> None:
    """Augmented slices go the long way; without an augmentation, they are what the short way hears."""
    short, long = head_alone(tmp_path), head_alone(tmp_path, Augmenter(made.TRAIN, {}, (), made.N_CLASSES, 0))
    for of in ("train_loss", "validation_loss"):
        assert made.losses(short, of) == pytest.approx(made.losses(long, of), abs=1e-5)
    assert short.predict_proba(made.VALIDATION) == pytest.approx(long.predict_proba(made.VALIDATION), abs=1e-5)


def test_a_head_alone_hears_augmented_slices_too(tmp_path: Path) -> None:
    masked = head_alone(tmp_path, Augmenter(made.TRAIN, {}, (TimeMask(),), made.N_CLASSES, 0))
    plain = head_alone(tmp_path)
    assert made.losses(plain, "train_loss") != pytest.approx(made.losses(masked, "train_loss"), abs=1e-3)


# Faults of the paper's code


def test_a_warm_start_takes_the_weights_of_another_split_and_says_what_they_heard(tmp_path: Path) -> None:
    yaml = write(tmp_path, "warm", "grid: {split: [SongSplit, AlbumSplit]}\nquirks: {warm_start: true}\n")
    out = run(yaml)
    song, album = (results.load(out, path.stem).record for path in sorted(out.glob("predictions/*"), reverse=True))
    assert (song["parameters"]["split"], album["parameters"]["split"]) == ("SongSplit", "AlbumSplit")
    assert "init_from" not in song
    assert album["init_from"] == song["name"]
    heard = set(bundles.load(bundles.path_of(out, song["name"])).about["heard"])
    tested = planned_cells(yaml)[1].tracks("test")
    n_heard = tested["content"].isin(heard).sum()
    assert album["n_heard_test_songs"] == n_heard > 0
    assert album["remark"] == f"its first weights had heard {n_heard} of its {len(tested)} test songs"
    table = pd.read_csv(out / "results.csv").set_index("split")["n_heard_test_songs"]
    assert table["AlbumSplit"] == n_heard
    assert pd.isna(table["SongSplit"])


def test_a_warm_start_looks_for_its_own_seed_and_shape(source: Path, tmp_path: Path) -> None:
    yaml = write(tmp_path, "warm", "split: AlbumSplit\nquirks: {warm_start: true}\n")
    for seed, n_classes, found in ((0, 3, True), (1, 3, True), (2, 3, False), (0, 4, False)):
        (planned,) = planned_cells(yaml, f"seed={seed}")
        start = transfer.warm(planned.cell, planned.slices("train"), n_classes, source)
        assert (start is not None) == found
        assert not start or f"-seed{seed}-" in start.name


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


def test_other_weights_in_the_folder_of_a_pretrained_model_make_another_cell(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    settings = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
    model = f"{{class_path: ResNet18, init_args: {{pretrained: {tmp_path}/resnet}}}}"
    identities = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        transformers.ResNetModel(transformers.ResNetConfig(**settings)).save_pretrained(tmp_path / "resnet")
        (planned,) = planned_cells(write(tmp_path, "target", ""), f"model={model}")
        identities.append(planned.identity)
    same, again, other = identities
    assert same == again != other
