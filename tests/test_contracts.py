"""What every option of every family must keep; a new file is tested without a word here."""

import ast
import importlib
import inspect
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from crnn_bench import plugins, splitting
from crnn_bench.aggregations import Aggregation
from crnn_bench.augmentations import Augmentation
from crnn_bench.baselines import Baseline
from crnn_bench.datasets import Dataset
from crnn_bench.deformations import Deformation
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.features.rows import Rows
from crnn_bench.metrics import Additive, Metric
from crnn_bench.models import Network
from crnn_bench.plugins import Choice
from crnn_bench.poolings import Pooling
from crnn_bench.readouts import Readout
from crnn_bench.records import PARTS, Catalogue
from crnn_bench.recurrences import Recurrence
from crnn_bench.schedules import Schedule
from crnn_bench.song import Song
from crnn_bench.splits import SplitStrategy
from crnn_bench.splits.file_split import FileSplit
from crnn_bench.splits.official_split import OfficialSplit
from tests.conftest import tones
from tests.test_models import case

FAMILIES: tuple[type, ...] = (
    Dataset,
    Feature,
    SplitStrategy,
    Network,
    Pooling,
    Recurrence,
    Readout,
    Schedule,
    Augmentation,
    Deformation,
    Baseline,
    Aggregation,
    Metric,
)
quick = settings(max_examples=20, deadline=None, derandomize=True)


def of(family: type) -> list[Any]:
    """Every option of a family, each once."""
    return sorted(set(plugins.options(family).values()), key=lambda cls: cls.__name__)


EVERY_OPTION = [(family, cls) for family in FAMILIES for cls in of(family)]
every_option = pytest.mark.parametrize(
    ("family", "cls"), EVERY_OPTION, ids=lambda value: value.__name__ if inspect.isclass(value) else ""
)


def with_defaults(cls: type) -> Any:
    """Builds an option, with a word for each argument that has no default."""
    required = [p.name for p in inspect.signature(cls).parameters.values() if p.default is inspect.Parameter.empty]
    return cls(**dict.fromkeys(required, "some words"))


# Found by themselves


@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_of_the_folder_is_an_option(family: type) -> None:
    folder = Path(inspect.getfile(family)).parent
    stems = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert stems <= set(plugins.options(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_class_written_in_the_folder_is_an_option(family: type) -> None:
    """By the text of the files, not by importing them; an estimator beside its baseline is no option."""
    folder = Path(inspect.getfile(family)).parent
    classes = [
        (path.stem, node.name, {ast.unparse(base) for base in node.bases})
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    bases = {family.__name__, *(name for stem, name, _ in classes if stem == "__init__"), *plugins.options(family)}
    written = {name for stem, name, of_it in classes if stem != "__init__" and name[0] != "_" and of_it & bases}
    assert written
    assert written <= set(plugins.options(family))
    assert not inspect.isabstract(plugins.options(family)[next(iter(written))])


def test_no_registry_names_an_option_by_hand() -> None:
    """Adding an option is adding a file: no other module of the package lists the options' names."""
    for family in FAMILIES:
        init = Path(inspect.getfile(family)).read_text()
        code = init.split('"""', 2)[2]
        assert not [cls.__name__ for cls in of(family) if re.search(rf"\b{cls.__name__}\b", code)], family


@every_option
def test_an_option_is_found_by_both_names_and_its_path(family: type, cls: type) -> None:
    stem = cls.__module__.rsplit(".", 1)[-1]
    assert plugins.find(cls.__name__, family) is cls
    assert inspect.getmodule(plugins.find(stem, family)) is inspect.getmodule(cls)
    assert plugins.find(plugins.class_path(cls), family) is cls


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a family of animals, on the path."""
    folder = tmp_path / "zoo_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("class Animal:\n    pass\n")
    (folder / "cat.py").write_text("from zoo_of_a_test import Animal\n\nclass Cat(Animal):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("zoo_of_a_test")]:
        del sys.modules[name]


def test_a_new_file_is_a_new_option(zoo: Path) -> None:
    animal = importlib.import_module("zoo_of_a_test").Animal
    assert set(plugins.options(animal)) == {"cat", "Cat"}
    text = "from zoo_of_a_test import Animal\n\nclass BigDog(Animal):\n    pass\n\nclass _Puppy(Animal):\n    pass\n"
    (zoo / "dog.py").write_text(text)
    importlib.invalidate_caches()
    assert set(plugins.options(animal)) == {"cat", "Cat", "dog", "BigDog"}


def test_an_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(BenchError, match=r"unknown name 'avrage' \(did you mean 'average'\?\); allowed: .*strided"):
        plugins.find("avrage", Pooling)


OWN = '''
import numpy as np
from torch import nn
from crnn_bench.aggregations import Aggregation
from crnn_bench.models.crnn import CRNN
from crnn_bench.poolings import Pooling
from crnn_bench.readouts import Readout
from crnn_bench.recurrences import Recurrence

class LpPool(Pooling):
    """The root mean square of each block."""

    def forward(self, x):
        return nn.functional.lp_pool2d(x, 2.0, self.size)

class Wide(CRNN):
    """Another default."""

    def __init__(self, n_bins: int, n_frames: int, n_classes: int, recurrent_width: int = 48) -> None:
        super().__init__(n_bins, n_frames, n_classes, recurrent_width=recurrent_width)

class NoPlugin:
    pass
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user's own module, in a folder of the user's own."""
    (tmp_path / "own_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_of_a_test"
    sys.modules.pop("own_of_a_test", None)


def test_a_users_own_class_works_by_its_path(own: str) -> None:
    pooling = plugins.find(f"{own}.LpPool", Pooling)
    wide = plugins.find(f"{own}.Wide", Network, Baseline)
    network = Choice(wide, {"recurrent_width": 40}).build(n_bins=128, n_frames=32, n_classes=3).eval()
    assert network.embed(torch.zeros(2, 128, 32)).shape == (2, 40)
    swapped = plugins.find("CRNN", Network)(128, 32, 3, pooling=pooling).eval()
    assert swapped(torch.zeros(2, 128, 32)).shape == (2, 3)
    assert Choice(wide, {"recurrent_width": 40}).describe()["class_path"] == "own_of_a_test.Wide"
    assert f"{own}.LpPool" in str(Choice(wide, {"pooling": pooling}).describe())


def test_a_users_class_of_another_family_is_refused(own: str) -> None:
    with pytest.raises(BenchError, match=r"own_of_a_test\.LpPool is no Network or Baseline"):
        plugins.find(f"{own}.LpPool", Network, Baseline)
    with pytest.raises(BenchError, match=r"own_of_a_test\.NoPlugin is no Pooling"):
        plugins.find(f"{own}.NoPlugin", Pooling)
    with pytest.raises(BenchError, match="own_of_a_test has no class 'Gone'; it has LpPool, Pooling"):
        plugins.find(f"{own}.Gone", Pooling)
    with pytest.raises(BenchError, match=r"cannot import 'nowhere_of_a_test\.Pool' .*PYTHONPATH"):
        plugins.find("nowhere_of_a_test.Pool", Pooling)


# Every option


@every_option
def test_a_docstring(family: type, cls: type) -> None:
    assert cls.__doc__
    assert cls.__doc__ != family.__doc__
    module = inspect.getmodule(cls)
    assert module
    assert module.__doc__


@every_option
def test_types_on_every_argument(family: type, cls: type) -> None:
    """The constructor's signature is the configuration's schema."""
    parameters = inspect.signature(cls).parameters
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters.values())
    hints = get_type_hints(cls.__init__)
    untyped = [name for name in parameters if name not in hints]
    assert untyped == []
    not_plain = [name for name, p in parameters.items() if isinstance(p.annotation, str)]
    assert not_plain == [], "jsonargparse needs types, not their names"


@every_option
def test_defaults_cannot_be_changed_from_outside(family: type, cls: type) -> None:
    defaults = [p.default for p in inspect.signature(cls).parameters.values()]
    assert not any(isinstance(default, (list, dict, set)) for default in defaults)


@pytest.mark.parametrize(
    "cls", [*of(Dataset), *of(Feature), *of(SplitStrategy), *of(Augmentation), *of(Deformation), *of(Baseline)]
)
def test_arguments_are_stored_under_their_own_names(cls: type) -> None:
    """So that an object describes itself, and can be built again."""
    built = with_defaults(cls)
    choice = Choice.of(built)
    assert set(choice.arguments) == set(inspect.signature(cls).parameters)
    again = choice.build()
    assert type(again) is cls
    assert Choice.of(again) == choice
    assert plugins.digest(choice.describe()) == plugins.digest(Choice.of(again).describe())


# Family by family


@pytest.mark.parametrize("cls", [cls for cls in of(Feature) if cls is not Rows])
@pytest.mark.parametrize("n_samples", [8000, 8001, 20479, 20480])
def test_features_give_finite_frames_of_their_width(cls: type[Feature], n_samples: int) -> None:
    feature = cls()
    samples = tones(0, 0, 0, seconds=2.0, rate=int(feature.sample_rate))[:n_samples]
    frames = feature.compute(Song(samples, feature.sample_rate))
    assert frames.dtype == np.float32
    assert frames.ndim == 2
    assert frames.shape[1] == feature.n_bins
    assert len(feature.columns) == len(set(feature.columns)) == feature.n_bins
    if feature.is_table:
        assert len(frames) == 1
    else:
        assert abs(len(frames) - n_samples / feature.sample_rate * feature.frames_per_second) <= 1
    assert np.isfinite(frames.astype(feature.dtype)).all(), "it has to fit the store"
    assert np.array_equal(frames, feature.compute(Song(samples, feature.sample_rate)))
    assert feature.key.startswith(cls.__name__)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """3 genres × 5 artists × 6 albums × 3 songs, with a part that the authors gave to each."""
    rows = [
        {"track_id": f"{genre}/{artist}/{album}/{song}", "label": genre, "artist": f"{genre}{artist}", "album": album}
        for genre in "abc"
        for artist in "lmnop"
        for album in "uvwxyz"
        for song in "123"
    ]
    official = [PARTS[number % 3] for number in range(len(rows))]
    table = pd.DataFrame(rows).assign(seconds=9.0, official=official)
    return Catalogue(table, pd.DataFrame(columns=["track_id", "reason", "seconds"]))


@pytest.mark.parametrize("cls", [cls for cls in of(SplitStrategy) if cls is not FileSplit])
def test_strategies_are_deterministic_and_keep_their_word(cls: type[SplitStrategy], catalogue: Catalogue) -> None:
    before = catalogue.table.copy()
    strategy = cls()
    splits = [splitting.split(catalogue, strategy, seed) for seed in (0, 1, 0)]
    assert splits[0] == splits[2]
    assert (splits[0] != splits[1]) == (cls is not OfficialSplit), "all others are drawn"
    assert splitting.split(catalogue, Choice.of(strategy).build(), 0) == splits[0]
    assert strategy.group in ("track_id", "album", "artist")
    assert strategy.validation_group in ("track_id", "album", "artist")
    assert strategy.n_folds >= 1
    pd.testing.assert_frame_equal(catalogue.table, before)


@pytest.mark.parametrize("cls", of(Network))
def test_networks_go_from_bins_and_frames_to_classes(cls: type[Network]) -> None:
    assert cls.given_by_data == ("n_bins", "n_frames", "n_classes")
    assert list(inspect.signature(cls).parameters)[:3] == list(cls.given_by_data)
    bins, frames, arguments = case(cls)
    network = cls(bins, frames, 5, **arguments).eval()
    x = torch.randn(3, bins, frames)
    with torch.no_grad():
        bottleneck, logits = network.embed(x), network(x)
        assert bottleneck.ndim == 2
        assert len(bottleneck) == 3
        assert logits.shape == (3, 5)
        assert torch.equal(network.head(bottleneck), logits)
        assert torch.allclose(network(x[:1]), logits[:1], atol=1e-5)
        assert torch.isfinite(logits).all()
    assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())


@pytest.mark.parametrize("cls", of(Network))
def test_networks_build_the_same_from_the_same_random_numbers(cls: type[Network]) -> None:
    bins, frames, arguments = case(cls)
    built = []
    for _ in range(2):
        torch.manual_seed(4)
        built.append(cls(bins, frames, 5, **arguments).state_dict())
    assert built[0].keys() == built[1].keys()
    assert all(torch.equal(value, built[1][name]) for name, value in built[0].items())


@pytest.mark.parametrize("cls", of(Pooling))
@pytest.mark.parametrize(("bins", "frames"), [(8, 8), (9, 7), (13, 11), (4, 3)])
@pytest.mark.parametrize("size", [(2, 2), (4, 3), (1, 1), (4, 1)])
def test_poolings_shrink_by_their_size_or_keep_the_frames(
    cls: type[Pooling], size: tuple[int, int], bins: int, frames: int
) -> None:
    pooling = cls(3, size)
    x = torch.randn(2, 3, bins, frames)
    out = pooling(x)
    assert out.shape[:3] == (2, 3, bins // size[0])
    assert out.shape[3] in (frames // size[1], frames)
    assert out.is_contiguous()
    assert torch.allclose(pooling(x[:1]), out[:1], atol=1e-6)


probabilities = st.integers(2, 5).flatmap(
    lambda n: arrays(np.int64, st.tuples(st.integers(1, 8), st.just(n)), elements=st.integers(0, 16))
)


@pytest.mark.parametrize("cls", of(Aggregation))
@quick
@given(drawn=probabilities, seed=st.integers(0, 100))
def test_aggregations_give_probabilities_in_any_order(
    cls: type[Aggregation], drawn: NDArray[np.int64], seed: int
) -> None:
    drawn[:, 0] += drawn.sum(axis=1) == 0
    slices = drawn / drawn.sum(axis=1, keepdims=True)
    before = slices.copy()
    song = cls().song_probabilities(slices)
    assert song.shape == (slices.shape[1],)
    assert song.sum() == pytest.approx(1)
    assert song.min() >= 0
    shuffled = cls().song_probabilities(np.random.default_rng(seed).permutation(slices))
    assert np.allclose(song, shuffled, rtol=0, atol=1e-12)
    assert np.array_equal(slices, before)


@pytest.mark.parametrize("cls", of(Aggregation))
def test_aggregations_agree_where_every_slice_is_certain(cls: type[Aggregation]) -> None:
    certain = np.eye(4)[[2, 2, 2]]
    assert cls().song_probabilities(certain).tolist() == [0, 0, 1, 0]
    assert cls().song_probabilities(certain[:1]).tolist() == [0, 0, 1, 0]


every_metric = pytest.mark.parametrize("cls", of(Metric))
answered = st.tuples(st.integers(1, 30), st.integers(2, 6), st.integers(0, 10**6)).map(lambda drawn: answers(*drawn))


def answers(items: int, classes: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Class numbers and probabilities in 64ths, with many ties."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, items), rng.multinomial(64, rng.dirichlet(np.ones(classes)), items) / 64


@every_metric
@quick
@given(answered=answered, seed=st.integers(0, 100))
def test_no_score_is_beyond_the_best_one_in_any_order(cls: type[Metric], answered: Any, seed: int) -> None:
    truth, probabilities = answered
    before = truth.copy(), probabilities.copy()
    score = cls().score(truth, probabilities)
    assert isinstance(score, float)
    assert np.isnan(score) or min(cls.best, cls.worst) <= score <= max(cls.best, cls.worst)
    order = np.random.default_rng(seed).permutation(len(truth))
    assert cls().score(truth[order], probabilities[order]) == pytest.approx(score, nan_ok=True)
    assert np.array_equal(truth, before[0])
    assert np.array_equal(probabilities, before[1])


@every_metric
@quick
@given(labels=st.lists(st.integers(0, 4), min_size=2, max_size=30).filter(lambda labels: len(set(labels)) > 1))
def test_perfect_answers_are_the_best_and_wrong_ones_are_not(cls: type[Metric], labels: list[int]) -> None:
    assert cls().score(np.array(labels), np.eye(5)[labels]) == pytest.approx(cls.best)
    truth = np.arange(25) % 5
    wrong = cls().score(truth, np.eye(5)[(truth + 1) % 5])
    assert abs(wrong - cls.best) > 0.1
    assert wrong == 0 or not cls.of_votes


@every_metric
def test_no_items_have_no_score(cls: type[Metric]) -> None:
    """0 would read as the worst there is, or as the best."""
    assert np.isnan(cls().score(np.zeros(0, dtype=np.int64), np.zeros((0, 5))))


@pytest.mark.parametrize("cls", [cls for cls in of(Metric) if cls.of_votes])
@quick
@given(answered=answered)
def test_metrics_of_votes_read_the_answer_alone(cls: type[Metric], answered: Any) -> None:
    truth, probabilities = answered
    told = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    assert cls().score(truth, told) == cls().score(truth, probabilities)


@pytest.mark.parametrize("cls", [cls for cls in of(Metric) if issubclass(cls, Additive)])
@quick
@given(answered=answered, seed=st.integers(0, 100))
def test_sums_score_resampled_items(cls: type[Additive], answered: Any, seed: int) -> None:
    """The score of items that are drawn several times is that of the summands, weighed so; many draws at once."""
    truth, probabilities = answered
    drawn = np.random.default_rng(seed).integers(0, len(truth), (3, len(truth)))
    weights = np.array([np.bincount(some, minlength=len(truth)) for some in drawn], dtype=np.float64)
    summands = cls().summands(truth, probabilities)
    expected = [cls().score(truth[some], probabilities[some]) for some in drawn]
    totals = np.tensordot(weights, summands, axes=1)
    assert cls().of(totals).tolist() == pytest.approx(expected)
    assert cls().of(totals / 7).tolist() == pytest.approx(expected), "weights may be fractions"


@pytest.mark.parametrize("family", [Metric, Aggregation])
def test_names_of_columns_are_unlike(family: type) -> None:
    names = [cls.name for cls in of(family)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("cls", of(Deformation))
def test_deformations_give_songs_that_are_the_same_each_time(cls: type[Deformation]) -> None:
    """Of every strength: other samples, finite ones, in proportion to the song, which itself stays as it is."""
    deformation = cls()
    deformation.check(16000)
    song = Song(tones(1, 0, 0), 16000)
    before = song.samples.copy()
    found = {strength: form.alter(song) for strength, form in deformation.forms.items()}
    assert np.array_equal(song.samples, before)
    again = {strength: form.alter(Song(before, 16000)) for strength, form in cls().forms.items()}
    for strength, samples in found.items():
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.array_equal(samples, again[strength])
        assert len(samples) != len(before) or np.abs(samples - before).max() > 1e-3
        assert 1 / 4 <= len(samples) / len(before) <= 4


@pytest.mark.parametrize("cls", of(Deformation))
def test_deformations_go_from_weak_to_strong_or_upwards(cls: type[Deformation]) -> None:
    deformation = cls()
    strengths = list(deformation.forms)
    assert strengths == sorted(strengths, reverse=deformation.undeformed == np.inf)
    assert deformation.undeformed not in strengths
    assert deformation.unit
    assert len({form.key for form in deformation.forms.values()}) == len(strengths) > 1
    assert pickle.loads(pickle.dumps(deformation.forms)) == deformation.forms, "for the processes that extract"
