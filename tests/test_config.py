"""An experiment's YAML: what it means, and what is said of one that is wrong."""

import importlib
import sys
from pathlib import Path

import pytest

from crnn_bench import config
from crnn_bench.baselines.svc import SVC
from crnn_bench.cells import Cell, Experiment
from crnn_bench.errors import BenchError
from crnn_bench.plugins import digest

HEAD = "name: question\ndataset: {class_path: Folder, init_args: {root: music}}\n"  # lines 1 and 2
EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "question.yaml"


def load(path: Path, body: str, *overrides: str) -> Experiment:
    path.write_text(HEAD + body)
    return config.load(path, overrides)


def column(work: Experiment, *names: str) -> list[tuple[object, ...]]:
    return [tuple(cell.parameters.get(name) for name in names) for cell in work.cells]


def fault(path: Path, text: str, *overrides: str) -> str:
    path.write_text(text)
    with pytest.raises(BenchError) as caught:
        config.load(path, overrides)
    return str(caught.value)


# What a YAML means


def test_two_lines_are_an_experiment_with_the_papers_defaults(path: Path) -> None:
    work = load(path, "")
    assert work.name == "question"
    assert work.text == HEAD
    (cell,) = work.cells
    expected = {
        "dataset": "Folder",
        "dataset.root": "music",
        "features": "LogMel",
        "features.n_mels": 128,
        "split": "SongSplit",
        "clip_seconds": 3.0,
        "min_seconds": 3.0,
        "slice_rule": "full",
        "model": "CRNN",
        "model.conv_channels": [64, 128, 128, 128],
        "model.pooling": "crnn_bench.poolings.max.Max",
        "split_seed": 0,
        "model_seed": 0,
        "trainer.max_epochs": 200,
        "trainer.patience": 10,
        "trainer.batch_size": 16,
        "trainer.learning_rate": 1e-3,
        "trainer.precision": "auto",
    }
    assert {name: cell.parameters[name] for name in expected} == expected


def test_a_grid_is_every_combination_in_its_order(path: Path) -> None:
    work = load(path, "grid: {split: [SongSplit, AlbumSplit], clip_seconds: [1, 3], seed: [0, 21]}\n")
    assert column(work, "split", "clip_seconds", "model_seed") == [
        ("SongSplit", 1.0, 0),
        ("SongSplit", 1.0, 21),
        ("SongSplit", 3.0, 0),
        ("SongSplit", 3.0, 21),
        ("AlbumSplit", 1.0, 0),
        ("AlbumSplit", 1.0, 21),
        ("AlbumSplit", 3.0, 0),
        ("AlbumSplit", 3.0, 21),
    ]


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        ("trainer.learning_rate", "[1e-3, 1e-4]", [1e-3, 1e-4]),
        ("trainer.max_epochs", "[1, 2]", [1, 2]),
        ("model.pooling", "[max, average]", ["crnn_bench.poolings.max.Max", "crnn_bench.poolings.average.Average"]),
        ("model.recurrent_width", "[8, 16]", [8, 16]),
        ("dataset.root", "[music, other]", ["music", "other"]),
        ("features.n_mels", "[64, 128]", [64, 128]),
        ("split.test", "[0.1, 0.2]", [0.1, 0.2]),
    ],
)
def test_any_parameter_becomes_an_axis_by_its_dotted_name(
    path: Path, axis: str, values: str, expected: list[object]
) -> None:
    work = load(path, f"grid: {{{axis}: {values}}}\n")
    assert column(work, axis) == [(value,) for value in expected]


def test_a_dotted_axis_keeps_the_other_arguments_and_meets_every_model(path: Path) -> None:
    models = (
        "[{class_path: CRNN, init_args: {recurrent_width: 8}}, {class_path: CRNN, init_args: {recurrent_width: 16}}]"
    )
    work = load(path, f"grid: {{model.pooling: [max, none], model: {models}}}\ntrainer: {{patience: 3}}\n")
    short = [
        (width, str(pooling).rsplit(".", 1)[-1])
        for width, pooling in column(work, "model.recurrent_width", "model.pooling")
    ]
    assert sorted(short) == [(8, "Max"), (8, "NoTimePooling"), (16, "Max"), (16, "NoTimePooling")]
    assert {cell.parameters["trainer.patience"] for cell in work.cells} == {3}


def test_a_list_of_grids_is_their_union_and_no_cell_stands_twice(path: Path) -> None:
    work = load(path, "grid:\n  - {model: [MfccSVM], seed: [0, 1]}\n  - {model: [CRNN], seed: [1]}\n  - {seed: [1]}\n")
    assert column(work, "model", "model_seed") == [("MfccSVM", 0), ("MfccSVM", 1), ("CRNN", 1)]


def test_a_kfold_strategy_becomes_one_cell_a_fold(path: Path) -> None:
    work = load(path, "grid:\n  split: [{class_path: SongKFold, init_args: {k: 3}}, SongSplit]\n")
    assert column(work, "split", "split.fold") == [
        ("SongKFold", 0),
        ("SongKFold", 1),
        ("SongKFold", 2),
        ("SongSplit", None),
    ]


def test_a_fold_that_is_named_runs_alone(path: Path) -> None:
    work = load(path, "split: {class_path: AlbumKFold, init_args: {k: 3, fold: 2}}\n")
    assert column(work, "split.fold") == [(2,)]


def test_folds_are_an_axis_of_their_own(path: Path) -> None:
    work = load(path, "split: {class_path: AlbumKFold, init_args: {k: 6}}\ngrid: {split.fold: [0, 5]}\n")
    assert column(work, "split.k", "split.fold") == [(6, 0), (6, 5)]


def test_baselines_may_hear_whole_songs(path: Path) -> None:
    work = load(path, "grid: {clip_seconds: [1, song, 5], model: [MfccSVM, KNN]}\n")
    assert column(work, "clip_seconds", "model") == [
        (1.0, "MfccSVM"), (1.0, "KNN"), (None, "MfccSVM"), (None, "KNN"), (5.0, "MfccSVM"), (5.0, "KNN"),
    ]  # fmt: skip
    assert {cell.min_seconds for cell in work.cells} == {5.0}, "the same songs everywhere"


def test_a_table_has_a_row_a_song_whatever_the_clip_length(path: Path) -> None:
    work = load(path, "features: FmaTable\ngrid: {clip_seconds: [3, 5], model: [KNN]}\n")
    assert column(work, "clip_seconds", "features") == [(None, "FmaTable")]


def test_a_baseline_takes_the_experiments_features_unless_it_brings_its_own(path: Path) -> None:
    work = load(path, "features: Chroma\ngrid: {model: [KNN, MfccSVM, CRNN]}\n")
    assert column(work, "model", "features") == [("KNN", "Chroma"), ("MfccSVM", "Mfcc"), ("CRNN", "Chroma")]


def test_a_search_belongs_to_baselines_and_takes_each_ones_space(path: Path) -> None:
    body = "search: {n_iter: 3, space: {KNN: {n_neighbors: [1, 2]}}}\ngrid: {model: [KNN, SVC, MajorityClass, CRNN]}\n"
    knn, svc, floor, crnn = load(path, body).cells
    assert knn.search is not None
    assert (knn.search.n_iter, knn.search.folds, knn.search.space) == (3, 5, {"n_neighbors": [1, 2]})
    assert svc.search is not None
    assert svc.search.space == SVC.space
    assert floor.search is crnn.search is None
    plain = load(path, "grid: {model: [KNN]}\n").cells[0]
    assert plain.search is None
    other = load(path, body.replace("[1, 2]", "[1, 3]")).cells
    assert other[0] != knn
    assert other[1] == svc


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("search: yes\n", "expected settings such as n_iter, got True"),
        ("search: {iterations: 3}\n", "unknown name 'iterations'"),
        ("search: {n_iter: 0}\n", "search.n_iter: must be at least 1, got 0"),
        ("search: {n_iter: many}\n", "expected int, got 'many'"),
        ("search: {space: {KNM: {n_neighbors: [1]}}}\n", "did you mean 'KNN'"),
        ("search: {space: {KNN: {neighbours: [1]}}}\n", "did you mean 'n_neighbors'"),
        ("search: {space: {KNN: {n_neighbors: 3}}}\n", "expected a list of values such as [3]"),
        ("search: {space: {KNN: {n_neighbors: []}}}\n", "expected a list of values"),
        ("search: {space: {KNN: {n_neighbors: [0]}}}\n", "n_neighbors must be at least 1, got 0"),
        ("search: {space: {KNN: {n_neighbors: [one]}}}\n", "expected int, got 'one'"),
        (
            "search: {space: {KNN: {n_neighbors: {normal: [1, 2]}}}}\n",
            "allowed: uniform, loguniform, randint",
        ),
        ("search: {space: {KNN: {n_neighbors: {randint: [9, 2]}}}}\n", "expected randint: [low, high], got [9, 2]"),
        ("search: {space: {KNN: {n_neighbors: {randint: [a, b]}}}}\n", "expected randint: [low, high]"),
        (
            "search: {space: {KNN: {n_neighbors: {uniform: [1, 9]}}}}\n",
            "uniform draws fractions, which KNN.n_neighbors",
        ),
        ("search: {space: {KNN: 3}}\n", "expected lists of values by argument, got 3"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_its_line(path: Path, body: str, said: str) -> None:
    message = fault(path, HEAD + "model: KNN\n" + body)
    assert message.startswith(f"{path}, line 4: ")
    assert said in message


def test_a_search_cannot_change_the_features(path: Path) -> None:
    body = "model: MfccSVM\nsearch: {space: {MfccSVM: {n_mfcc: [13, 20]}}}\n"
    assert "n_mfcc changes the features; put it into the grid instead" in fault(path, HEAD + body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("clip_seconds: song\n", "CRNN hears slices; only baselines hear whole songs"),
        ("features: FmaTable\n", "CRNN needs frames, but FmaTable gives one row a song"),
        ("clip_seconds: album\nmodel: KNN\n", "expected seconds, or song, got 'album'"),
    ],
)
def test_what_a_model_cannot_hear_is_refused(path: Path, body: str, said: str) -> None:
    assert said in fault(path, HEAD + body)


def test_every_clip_length_tests_the_songs_of_the_longest(path: Path) -> None:
    assert column(load(path, "grid: {clip_seconds: [1, 30, 3]}\n"), "min_seconds") == [(30.0,)] * 3
    assert column(load(path, "clip_seconds: 5\n"), "min_seconds") == [(5.0,)]
    assert column(load(path, "clip_seconds: 5\nmin_seconds: 10\n"), "min_seconds") == [(10.0,)]


def test_a_baseline_brings_its_own_features_and_no_trainer(path: Path) -> None:
    (cell,) = load(path, "model: {class_path: MfccSVM, init_args: {n_mfcc: 13}}\ntrainer: {max_epochs: 2}\n").cells
    assert cell.parameters["features"] == "Mfcc"
    assert cell.parameters["features.n_mfcc"] == 13
    assert cell.trainer is None


def test_one_seed_sets_both_unless_they_are_told_apart(path: Path) -> None:
    assert column(load(path, "seed: 7\n"), "split_seed", "model_seed") == [(7, 7)]
    work = load(path, "split_seed: 3\ngrid: {seed: [0, 1]}\n")
    assert column(work, "split_seed", "model_seed") == [(3, 0), (3, 1)]


@pytest.mark.parametrize(("written", "value"), [("1e-3", 1e-3), ("1.0e-3", 1e-3), (".5e-2", 5e-3), ("1", 1.0)])
def test_a_learning_rate_may_be_written_as_people_do(path: Path, written: str, value: float) -> None:
    assert column(load(path, f"trainer: {{learning_rate: {written}}}\n"), "trainer.learning_rate") == [(value,)]
    assert column(load(path, "", f"trainer.learning_rate={written}"), "trainer.learning_rate") == [(value,)]


def test_the_short_name_the_file_name_and_the_class_path_are_the_same_cell(path: Path) -> None:
    cells = [load(path, f"model: {name}\n").cells for name in ("CRNN", "crnn", "crnn_bench.models.crnn.CRNN")]
    assert cells[0] == cells[1] == cells[2]
    assert cells[0][0].describe() == cells[2][0].describe()


def test_a_class_of_ones_own_goes_by_its_full_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path.parent / "one_of_mine.py").write_text(
        "from crnn_bench.baselines.mfcc_svm import MfccSVM\n\n\n"
        "class Louder(MfccSVM):\n"
        "    def __init__(self, gain: float = 2.0) -> None:\n"
        "        super().__init__()\n"
        "        self.gain = gain\n"
    )
    monkeypatch.syspath_prepend(path.parent)
    work = load(path, "model: one_of_mine.Louder\ngrid: {model.gain: [1.5, 3]}\n")
    assert column(work, "model", "model.gain") == [("one_of_mine.Louder", 1.5), ("one_of_mine.Louder", 3.0)]
    wrong = fault(path, HEAD + "model: {class_path: one_of_mine.Louder, init_args: {gian: 2}}\n")
    assert f"{path}, line 3" in wrong
    assert "did you mean 'gain'" in wrong


def test_the_file_of_a_schedule_of_ones_own_is_part_of_the_cell(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from crnn_bench.schedules.constant import Constant\n\n\nclass Own(Constant):\n    pass\n"
    (path.parent / "schedule_of_mine.py").write_text(text)
    monkeypatch.syspath_prepend(path.parent)
    (cell,) = load(path, "trainer: {schedule: schedule_of_mine.Own}\n").cells
    assert [digest(text)] in cell.code


def test_a_baseline_of_ones_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path.parent / "song_hearer.py").write_text(
        "from __future__ import annotations\nfrom crnn_bench.baselines.mfcc_svm import MfccSVM\n\n\n"
        "class Own(MfccSVM):\n    def __init__(self, C: float = 2.0, note=None) -> None:\n"
        "        super().__init__(C=C)\n        self.note = note\n"
    )
    monkeypatch.syspath_prepend(path.parent)
    work = load(path, "clip_seconds: song\nmodel: {class_path: song_hearer.Own, init_args: {C: 1, note: [a, 5]}}\n")
    assert column(work, "clip_seconds", "model.C", "model.note") == [(None, 1.0, ["a", 5])]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".CRNN", "unknown name '.CRNN'"),
        ("crnn_bench.baselines.Baseline", "is abstract: it lacks classifier"),
        ("crnn_bench.models.Network", "is abstract"),
    ],
)
def test_a_name_that_is_no_class_to_build_is_refused(path: Path, name: str, said: str) -> None:
    assert said in fault(path, HEAD + f"model: {name}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Mine(Network)\n    pass\n", "faulty_file.py, line 2: expected ':'"),
        ("class Mine(Network):\n    pass\n", "faulty_file.Mine is abstract: it lacks embed"),
        ("class Other(Network):\n    pass\n", "faulty_file has no class 'Mine'; it has Network, Other"),
        ("import not_there\n", "No module named 'not_there'); looked beside the YAML, in the working folder and on"),
    ],
)
def test_a_fault_in_ones_own_file_is_named(path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    (path.parent / "faulty_file.py").write_text(f"from crnn_bench.models import Network\n{text}")
    monkeypatch.syspath_prepend(path.parent)
    sys.modules.pop("faulty_file", None)
    importlib.invalidate_caches()
    assert said in fault(path, HEAD + "model: faulty_file.Mine\n")


@pytest.mark.parametrize("override", ["trainer.batch_size=-4", "trainer.num_workers=-1"])
def test_a_value_out_of_range_is_blamed_on_its_override(path: Path, override: str) -> None:
    key, value = override.split("=")
    message = fault(path, HEAD + "trainer: {max_epochs: 3}\n", override)
    assert message.startswith(f"--set {override}: {key}: must be ")
    assert message.endswith(f"got {value}")


def test_every_grid_counts_for_the_longest_clip(path: Path) -> None:
    work = load(path, "clip_seconds: 10\ngrid: [{clip_seconds: [1, 3]}, {model: [MfccSVM]}]\n")
    assert column(work, "clip_seconds", "min_seconds") == [(1.0, 10.0), (3.0, 10.0), (10.0, 10.0)]


def test_equal_cells_have_one_hash_and_one_description(path: Path) -> None:
    first, second = (
        load(path, "model: {class_path: CRNN, init_args: {recurrent_width: 8}}\n").cells[0] for _ in range(2)
    )
    other = load(path, "model: {class_path: CRNN, init_args: {recurrent_width: 9}}\n").cells[0]
    assert first == second
    assert hash(first) == hash(second)
    assert first.describe() == second.describe() != other.describe()
    assert isinstance(first, Cell)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_that_comes_with_the_package_is_valid(experiment: Path) -> None:
    work = config.load(experiment)
    assert work.cells
    assert work.name == experiment.stem
    assert experiment.read_text().startswith("#"), "an experiment opens with its question"


def test_the_papers_grid_is_whole() -> None:
    work = config.load(Path(__file__).parents[1] / "experiments" / "artist20_clip_length.yaml")
    crnn = [cell for cell in work.cells if cell.model.label == "CRNN"]
    assert len(crnn) == 2 * 6 * 3
    assert {cell.clip_seconds for cell in crnn} == {1, 3, 5, 10, 20.096, 29.152}


# Overrides


def test_overrides_change_settings_axes_and_arguments(path: Path) -> None:
    body = "grid: {seed: [0, 21, 42]}\ntrainer: {max_epochs: 20, patience: 7}\n"
    overrides = ("trainer.max_epochs=2", "grid.seed=[5]", "dataset.root=elsewhere", "model.pooling=average")
    work = load(path, body, *overrides)
    names = ("trainer.max_epochs", "trainer.patience", "model_seed", "dataset.root", "model.pooling")
    assert column(work, *names) == [(2, 7, 5, "elsewhere", "crnn_bench.poolings.average.Average")]
    assert work.overrides == overrides


def test_overrides_add_what_the_file_does_not_hold(path: Path) -> None:
    assert column(load(path, "", "grid.seed=[0, 1]"), "model_seed") == [(0,), (1,)]
    assert column(load(path, "grid:\n", "grid.seed=[0, 1]"), "model_seed") == [(0,), (1,)]
    assert column(load(path, "", "clip_seconds=5"), "clip_seconds") == [(5.0,)]
    assert column(load(path, "", "name=other", "model=MfccSVM"), "model") == [("MfccSVM",)]


def test_an_override_reaches_each_of_several_grids(path: Path) -> None:
    work = load(path, "grid:\n  - {model: [CRNN], seed: [0, 1]}\n  - {model: [MfccSVM]}\n", "grid.seed=[9]")
    assert column(work, "model", "model_seed") == [("CRNN", 9), ("MfccSVM", 9)]


def test_the_last_override_of_a_key_counts(path: Path) -> None:
    assert column(load(path, "", "seed=1", "seed=2"), "model_seed") == [(2,)]


# Augmentation, first weights, quirks


def test_an_axis_of_augmentations_and_what_tables_call_them(path: Path) -> None:
    mixup = "{class_path: Mixup, init_args: {alpha: 0.4}}"
    work = load(path, f"grid:\n  augment: [[], [TimeMask, {mixup}]]\n  model: [CRNN, MfccSVM]\n")
    assert column(work, "model", "augment", "augment.Mixup.alpha") == [
        ("CRNN", "none", None),
        ("MfccSVM", "none", None),
        ("CRNN", "TimeMask, Mixup", 0.4),
    ]
    assert len(set(work.cells)) == 3


def test_the_same_augmentation_twice_keeps_both_of_its_arguments(path: Path) -> None:
    twice = ", ".join(f"{{class_path: Noise, init_args: {{probability: {share}}}}}" for share in (0.1, 0.2))
    (found,) = column(
        load(path, f"augment: [{twice}]\n"), "augment", "augment.Noise.probability", "augment.Noise 2.probability"
    )
    assert found == ("Noise, Noise", 0.1, 0.2)


def test_first_weights_by_a_word_or_in_full(path: Path) -> None:
    work = load(path, "grid: {init_from: [null, runs/a, {run: runs/a, layers: [conv], freeze: true}]}\n")
    assert column(work, "init_from", "init_from.layers", "init_from.freeze") == [
        (None, None, None),
        ("runs/a", [], False),
        ("runs/a", ["conv"], True),
    ]


def test_the_clean_protocol_is_the_default_and_the_paper_is_a_word(path: Path) -> None:
    quirks = ["merge_same_names", "warm_start", "unseeded", "listing_order"]
    names = ["slice_rule", *(f"quirks.{name}" for name in quirks)]
    assert column(load(path, ""), *names) == [("full", False, False, False, False)]
    assert column(load(path, "preset: paper\n"), *names) == [("legacy", True, True, True, True)]
    body = "preset: paper\nslice_rule: full\nquirks: {unseeded: false}\ntrainer: {max_epochs: 3}\n"
    work = load(path, body)
    assert column(work, *names) == [("full", True, True, False, True)]
    assert column(work, "trainer.max_epochs", "trainer.patience", "trainer.learning_rate") == [(3, 10, 1e-3)]


def test_each_quirk_is_an_axis_of_its_own(path: Path) -> None:
    work = load(path, "grid: {quirks.warm_start: [false, true], quirks.unseeded: [false, true]}\n")
    assert column(work, "quirks.warm_start", "quirks.unseeded") == [
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    ]


# What is wrong, and where


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (
            "\ntrainr: {}\n",
            4,
            ("'trainr'", "did you mean 'trainer'", "allowed: name, preset, grid, reproduce, dataset"),
        ),
        ("grid:\n  seed: [0]\n  modle: [CRNN]\n", 5, ("'modle'", "did you mean 'model'", "clip_seconds")),
        ("grid:\n  - {seed: [0]}\n  - {sed: [0]}\n", 5, ("'sed'", "did you mean 'seed'")),
        ("grid:\n  seed: 0\n", 4, ("grid.seed", "expected a list", "got 0")),
        ("grid:\n  seed: []\n", 4, ("grid.seed", "expected a list")),
        ("grid: 3\n", 3, ("grid", "got 3")),
        ("model: CRN\n", 3, ("'CRN'", "did you mean 'CRNN'", "MfccSVM")),
        ("grid:\n  model:\n    - CRNN\n    - MfccSVN\n", 6, ("'MfccSVN'", "did you mean 'MfccSVM'", "CRNN")),
        ("split: Song\n", 3, ("'Song'", "SongSplit", "AlbumKFold", "FileSplit")),
        ("features: Logmel\n", 3, ("'Logmel'", "did you mean 'LogMel'")),
        ("model: os.path.PurePath\n", 3, ("os.path has no class 'PurePath'",)),
        ("model: pathlib.Path\n", 3, ("pathlib.Path is no Network or Baseline",)),
        ("model: no_such_module.Mine\n", 3, ("no_such_module", "PYTHONPATH")),
        ("model:\n  class_path: CRNN\n  init_arg: {}\n", 5, ("'init_arg'", "did you mean 'init_args'")),
        (
            "model:\n  class_path: CRNN\n  init_args:\n    recurrent_width: 8\n    poling: max\n",
            7,
            ("model.poling", "did you mean 'pooling'", "conv_channels"),
        ),
        ("model: {class_path: CRNN, init_args: {n_bins: 3}}\n", 3, ("'n_bins'", "allowed: conv_channels")),
        ("model: {class_path: CRNN, init_args: 3}\n", 3, ("expected arguments of CRNN", "got 3")),
        ("model: {class_path: CRNN, init_args: {pooling: averge}}\n", 3, ("did you mean 'average'", "strided")),
        ("model: [CRNN]\n", 3, ("expected a name or {class_path", "got ['CRNN']")),
        ("model: {class_path: KNN, init_args: {weights: odd}}\n", 3, ("expected", "'uniform'", "got 'odd'")),
        ("split: {class_path: FileSplit}\n", 3, ("FileSplit needs 'path'",)),
        ("split: {class_path: AlbumKFold, init_args: {k: 3, fold: 3}}\n", 3, ("between 0 and 2", "got 3")),
        ("trainer: {max_epoch: 3}\n", 3, ("did you mean 'max_epochs'", "patience")),
        ("trainer:\n  patience: 3\n  max_epochs: many\n", 5, ("trainer.max_epochs", "expected int", "'many'")),
        ("trainer: {max_epochs: 2.5}\n", 3, ("expected int", "2.5")),
        ("trainer: {max_epochs: true}\n", 3, ("expected int", "True")),
        ("trainer: {max_epochs: 0}\n", 3, ("trainer.max_epochs: must be above 0", "got 0")),
        ("trainer: {learning_rate: .nan}\n", 3, ("trainer.learning_rate: must be above 0", "nan")),
        ("trainer: {precision: fp8}\n", 3, ("'auto', 'bf16', 'fp32'", "'fp8'")),
        ("trainer: 3\n", 3, ("trainer", "got 3")),
        ("trainer: {schedule: cosin}\n", 3, ("trainer.schedule", "did you mean 'cosine'", "plateau")),
        ("trainer: {max_epochs: 5, warmup_epochs: 5}\n", 3, ("trainer.warmup_epochs: must be below max_epochs, 5",)),
        ("augment: TimeMask\n", 3, ("expected a list of augmentations such as [TimeMask]", "'TimeMask'")),
        ("augment: [TimeMsk]\n", 3, ("'TimeMsk'", "did you mean 'TimeMask'", "ShuffleAndRemix")),
        ("augment:\n  - TimeMask\n  - class_path: Mixup\n    init_args: {alfa: 1}\n", 6, ("did you mean 'alpha'",)),
        ("augment: [{class_path: TimeStretch, init_args: {probability: 2}}]\n", 3, ("from 0 to 1", "got 2")),
        ("grid:\n  augment: [TimeMask]\n", 4, ("expected a list of augmentations",)),
        ("augment: [{class_path: Mixup}, {class_path: CRNN}]\n", 3, ("'CRNN'", "TimeMask")),
        ("model: KNN\naugment: [TimeMask]\n", 4, ("augment: has no effect, since no cell has a network",)),
        ("model: KNN\ninit_from: runs/a\n", 4, ("init_from: has no effect, since no cell has a network",)),
        ("init_from: 3\n", 3, ("init_from", "expected settings such as run", "got 3")),
        ("init_from: {run: runs/a, layers: conv}\n", 3, ("init_from.layers", "'conv'")),
        ("quirks: {warm_strat: true}\n", 3, ("quirks.warm_strat", "did you mean 'warm_start'", "listing_order")),
        ("quirks: {warm_start: maybe}\n", 3, ("quirks.warm_start", "expected bool", "'maybe'")),
        ("quirks: [warm_start]\n", 3, ("expected settings such as merge_same_names",)),
        ("preset: papers\n", 3, ("'papers'", "did you mean 'paper'")),
        ("preset: [paper]\n", 3, ("unknown name ['paper']", "allowed: paper")),
        ("model: {class_path: AST, init_args: {config: {num_mel_bins: many}}}\n", 3, ("whole number, got 'many'",)),
        ("model: {class_path: Pretrained, init_args: {sample_rate: 10}}\n", 3, ("sample_rate must be at least 50",)),
        ("seed: zero\n", 3, ("expected int", "'zero'")),
        ("seed: null\n", 3, ("expected int", "null")),
        ("clip_seconds: [3]\n", 3, ("expected float", "[3]")),
        ("clip_seconds: -1\n", 3, ("above 0", "-1")),
        ("clip_seconds: .nan\n", 3, ("above 0", "nan")),
        ("slice_rule: half\n", 3, ("'full', 'legacy'", "'half'")),
        ("grid:\n  trainer.learning_rate:\n    - 1e-3\n    - high\n", 6, ("expected float", "'high'")),
        ("grid:\n  model: [CRNN, MfccSVM]\n  model.pooling: [max]\n", 5, ("MfccSVM", "'pooling'", "n_mfcc")),
        ("grid: {seed.x: [0]}\n", 3, ("seed", "x")),
        ("seed: 5\ngrid: {seed.x: [0]}\n", 3, ("seed", "5", "'x'")),
        ("seed: 1\nseed: 2\n", 4, ("seed", "twice")),
        ("trainer:\n  patience: 3\n  max_epochs: 3\n  patience: 4\n", 6, ("trainer.patience", "twice")),
        ("? [a, b]\n: 3\n", 3, ("plain name",)),
    ],
)
def test_an_error_names_the_line_and_what_is_allowed(path: Path, body: str, line: int, said: tuple[str, ...]) -> None:
    message = fault(path, HEAD + body)
    assert message.startswith(f"{path}, line {line}: "), message
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainr.max_epochs=2", ("'trainr'", "did you mean 'trainer'")),
        ("trainer.max_epoch=2", ("did you mean 'max_epochs'",)),
        ("trainer.max_epochs=two", ("expected int", "'two'")),
        ("trainer=2", ("got 2",)),
        ("grid.sed=[0]", ("did you mean 'seed'",)),
        ("grid.seed=0", ("expected a list", "got 0")),
        ("grid.model=[CRN]", ("did you mean 'CRNN'",)),
        ("dataset.rot=music", ("did you mean 'root'",)),
        ("model=CRN", ("did you mean 'CRNN'",)),
        ("model.pooling=averge", ("did you mean 'average'",)),
        ("max_epochs", ("KEY=VALUE",)),
        ("=3", ("KEY=VALUE",)),
        ("grid.seed=[0", ("not valid YAML",)),
    ],
)
def test_an_error_in_an_override_names_the_override(path: Path, override: str, said: tuple[str, ...]) -> None:
    message = fault(path, HEAD + "trainer: {max_epochs: 3}\ngrid: {seed: [0]}\n", override)
    assert message.startswith(f"--set {override}: "), message
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("body", "override", "said"),
    [("grid: 3\n", "grid.seed=[0]", "got 3"), ("trainer: 3\n", "trainer.max_epochs=2", "max_epochs")],
)
def test_an_override_below_a_value_that_holds_nothing_is_refused(
    path: Path, body: str, override: str, said: str
) -> None:
    message = fault(path, HEAD + body, override)
    assert f"{path}, line 3" in message
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset: {class_path: Folder, init_args: {root: x}}\n", "no 'name'"),
        ("name:\ndataset: {class_path: Folder, init_args: {root: x}}\n", "no 'name'"),
        ("name: question\n", "no 'dataset'"),
        ("name: [question\n", "not valid YAML"),
        ("name: a\n\tb: c\n", "not valid YAML"),
        ("- name\n- dataset\n", "expected keys and values"),
        ("question\n", "expected keys and values"),
        ("", "no 'name'"),
    ],
)
def test_a_file_that_is_no_experiment_is_named(path: Path, text: str, said: str) -> None:
    message = fault(path, text)
    assert message.startswith(str(path)), message
    assert said in message
    assert "\n" not in message


def test_an_alias_that_refers_to_itself_is_refused(path: Path) -> None:
    assert "refers to itself" in fault(path, HEAD + "grid: &grid {seed: [*grid]}\n")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("clip_seconds: '3'\n", "expected seconds, or song, got '3'"),
        ("clip_seconds: .inf\n", "must be above 0, or song, got inf"),
        ("min_seconds: -1\n", "min_seconds: must be at least 3, a slice, got -1"),
        ("split: {class_path: SongSplit, init_args: {test: 1.0}}\n", "SongSplit: test must lie between 0 and 1, got 1"),
        ("split: {class_path: SongSplit, init_args: {validation: 0}}\n", "validation must lie between 0 and 1"),
        ("features: {class_path: LogMel, init_args: {n_mels: 0}}\n", "LogMel: n_mels must be at least 1, got 0"),
        ("model: {class_path: MfccSVM, init_args: {C: 0}}\n", "MfccSVM: C must be above 0, got 0"),
        ("model: {class_path: MfccSVM, init_args: {n_mfcc: 0}}\n", "n_mfcc must be at least 1, got 0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_line(path: Path, body: str, said: str) -> None:
    message = fault(path, HEAD + body)
    assert message.startswith(f"{path}, line 3: ")
    assert said in message


def test_a_dataset_may_be_an_axis(path: Path) -> None:
    path.write_text("name: two\ngrid: {dataset: [{class_path: Folder, init_args: {root: a}}, {class_path: Toy}]}\n")
    assert column(config.load(path), "dataset") == [("Folder",), ("Toy",)]


def test_a_dataset_without_its_root_is_refused(path: Path) -> None:
    assert "Folder needs 'root'" in fault(path, "name: a\ndataset: Folder\n")


def test_a_file_that_is_not_there_or_not_text_is_named(path: Path) -> None:
    with pytest.raises(BenchError, match=f"no experiment {path}"):
        config.load(path)
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(BenchError, match="cannot be read"):
        config.load(path)
    with pytest.raises(BenchError, match="cannot be read"):
        config.load(path.parent)


def test_a_key_that_the_grid_sets_has_no_effect_beside_it(path: Path) -> None:
    """Lest `--set model.kernel=linear` be lost beside `grid.model`."""
    said = fault(path, HEAD + "grid: {model: [SVC]}\n", "model.kernel=linear")
    assert said == "--set model.kernel=linear: has no effect, since the grid sets model; change it there"
    assert load(path, "model: SVC\n", "grid.model=[KNN]").cells[0].model.label == "KNN"
    assert load(path, "grid: [{seed: [0]}, {model: [MfccSVM]}]\n", "seed=3").cells[1].model_seed == 3


def test_every_space_is_checked_whatever_the_grid_holds(path: Path) -> None:
    body = "model: KNN\nsearch: {space: {RandomForest: {max_dept: [1]}}}\n"
    assert "did you mean 'max_depth'" in fault(path, HEAD + body)
    assert "unknown name 'CRNN'" in fault(path, HEAD + "model: KNN\nsearch: {space: {CRNN: {recurrent_width: [1]}}}\n")


def test_a_space_of_ones_own_baseline_is_checked_as_one_in_the_yaml(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path.parent / "odd_space.py").write_text(
        "from crnn_bench.baselines.svc import SVC\n\n\nclass Own(SVC):\n    space = {'C': {'normal': [0.1, 1.0]}}\n"
    )
    monkeypatch.syspath_prepend(path.parent)
    said = fault(path, HEAD + "model: odd_space.Own\nsearch: {n_iter: 2}\n")
    assert said.startswith(f"{path}, line 4: search.C: unknown name 'normal'")
