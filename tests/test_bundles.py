"""Trained models as files: what is in them, how they are opened, and which one is meant."""

import importlib
import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from crnn_bench import bundles, fetching, shelf, trained
from crnn_bench.baselines import Baseline
from crnn_bench.baselines.mfcc_svm import MfccSVM
from crnn_bench.classical import FittedBaseline
from crnn_bench.errors import BenchError
from crnn_bench.features.log_mel import LogMel
from crnn_bench.models.crnn import CRNN
from crnn_bench.plugins import Choice
from crnn_bench.poolings.average import Average
from tests.conftest import ARTISTS
from tests.test_baselines import fitted

ARGUMENTS: dict[str, Any] = {"conv_channels": (3, 5), "pool_sizes": ((8, 4), (16, 4)), "pooling": Average}
ABOUT: dict[str, Any] = {
    "parameters": {},
    "name": "CRNN-AlbumSplit-1s-seed0-01234567",
    "model": Choice(CRNN, ARGUMENTS).describe(),
    "features": Choice.of(LogMel(n_mels=128)).describe(),
    "n_bins": 128,
    "n_frames": 32,
    "n_classes": 4,
    "classes": list(ARTISTS),
    "clip_seconds": 1.0,
    "model_seed": 0,
    "validation_loss": 0.5,
    "heard": ["a", "b"],
}


def network(seed: int = 0, **arguments: Any) -> CRNN:
    """A network with weights and running statistics that are not its first ones."""
    torch.manual_seed(seed)
    made = CRNN(128, 32, 4, **{**ARGUMENTS, **arguments})
    made.train()(torch.randn(8, 128, 32))
    return made.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = bundles.path_of(tmp_path, "one")
    bundles.save(path, network(), ABOUT)
    return path


# What is in a file


def test_a_bundle_gives_back_the_network(saved: Path) -> None:
    loaded = bundles.load(saved)
    x = torch.randn(5, 128, 32)
    with torch.no_grad():
        assert torch.equal(loaded.network(x), network()(x))
    assert not loaded.network.training
    assert isinstance(loaded.network, CRNN)
    assert loaded.about == ABOUT
    assert loaded.feature.key == LogMel(n_mels=128).key
    assert set(loaded.state_dict) == set(network().state_dict())


def test_a_bundle_is_plain_weights_and_text(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    assert set(content) == {"state_dict", "about"}
    assert json.loads(content["about"]) == ABOUT


def test_the_same_network_is_the_same_file_under_any_name(saved: Path, tmp_path: Path) -> None:
    digests = []
    for name, made, about in (
        ("again", network(), ABOUT),
        ("other weights", network(seed=1), ABOUT),
        ("other text", network(), {**ABOUT, "heard": ["a"]}),
    ):
        bundles.save(tmp_path / f"{name}.pt", made, about)
        digests.append(bundles.load(tmp_path / f"{name}.pt").digest)
    assert (tmp_path / "again.pt").read_bytes() == saved.read_bytes()
    assert bundles.load(saved).digest == digests[0]
    assert len(set(digests)) == 3


def test_a_bundle_is_written_whole_or_not_at_all(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def cut(content: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", cut)
    for path in (saved, saved.with_name("two.pt")):
        with pytest.raises(OSError, match="disk full"):
            bundles.save(path, network(seed=1), ABOUT)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


# What cannot be opened


class Trap:
    """Does something when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("sprung"),)  # type: ignore[return-value]


def write_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        place = next(info.header_offset for info in file.infolist() if info.filename.endswith("data.pkl"))
    content[place + 200 : place + 260] = b"\xff" * 60
    path.write_bytes(content)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "a")


@pytest.mark.parametrize(
    "damage",
    [
        write_cut,
        write_flipped,
        write_zip,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no network"),
        lambda path: torch.save({"state_dict": {}, "about": Trap()}, path),
        lambda path: torch.save({"state_dict": {}, "about": "{"}, path),
        lambda path: torch.save({"state_dict": {}, "about": 3}, path),
        lambda path: torch.save({"weights": {}}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"state_dict": {}, "about": "{}"}, path),
        lambda path: torch.save({"state_dict": {}, "about": json.dumps({"name": "one"})}, path),
        lambda path: torch.save({"state_dict": {}, "about": "{}"}, path, _use_new_zipfile_serialization=False),
    ],
    ids=[
        "cut",
        "flipped",
        "zip",
        "empty",
        "text",
        "trap",
        "half a JSON",
        "number",
        "other keys",
        "list",
        "nothing told",
        "half told",
        "old format",
    ],
)
def test_a_file_that_is_no_whole_bundle_is_refused_in_a_line(
    saved: Path, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    damage(saved)
    with pytest.raises(
        BenchError, match=r"one\.pt is no whole model bundle \(.+\); run its experiment again"
    ) as caught:
        bundles.load(saved)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no\.pt: no such file"):
        bundles.load(tmp_path / "no.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": {"class_path": "nowhere.Mine", "init_args": {}}},
            r"its model cannot be built: cannot import 'nowhere",
        ),
        ({"model": {"class_path": "crnn_bench.models.crnn.CRN", "init_args": {}}}, "no class 'CRN'"),
        ({"model": {"class_path": "crnn_bench.features.log_mel.LogMel", "init_args": {}}}, "is no Network"),
        ({"model": {"class_path": "CRNN", "init_args": {"recurrent_widht": 3}}}, "did you mean 'recurrent_width'"),
        ({"model": {"class_path": "CRNN", "init_args": {"recurrent_width": "wide"}}}, "expected int, got 'wide'"),
        (
            {"model": Choice(CRNN, {**ARGUMENTS, "recurrent_width": 9}).describe()},
            "CRNN of today does not fit its weights: ",
        ),
        ({"n_classes": 5}, r"size mismatch for head\.1\.weight"),
        (
            {"model": Choice(CRNN, {**ARGUMENTS, "pool_sizes": ((8, 4),)}).describe()},
            "2 conv_channels but 1 pool_sizes",
        ),
    ],
)
def test_a_class_that_does_not_fit_is_refused_in_a_line(saved: Path, change: dict[str, Any], message: str) -> None:
    bundle = replace(bundles.load(saved), about={**ABOUT, **change})
    with pytest.raises(BenchError, match=message) as caught:
        bundle.network  # noqa: B018
    assert str(caught.value).startswith(f"{saved}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_weight_is_refused(saved: Path) -> None:
    whole = bundles.load(saved)
    weights = {name: tensor for name, tensor in whole.state_dict.items() if name != "head.1.bias"}
    with pytest.raises(BenchError, match=r"Missing key.*head\.1\.bias"):
        replace(whole, state_dict=weights).network  # noqa: B018


def test_a_network_of_ones_own_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bundled_by_me.py").write_text(
        "from crnn_bench.models.crnn import CRNN\n\n\nclass Mine(CRNN):\n"
        "    def __init__(self, n_bins: int, n_frames: int, n_classes: int, width: int = 7):\n"
        "        super().__init__(n_bins, n_frames, n_classes, (4, 4), ((8, 4), (16, 4)), recurrent_width=width)\n"
    )
    importlib.invalidate_caches()
    mine = importlib.import_module("bundled_by_me").Mine(128, 32, 4, width=6).eval()
    bundles.save(tmp_path / "models" / "mine.pt", mine, {**ABOUT, "model": Choice(type(mine), {"width": 6}).describe()})
    sys.modules.pop("bundled_by_me")
    assert trained.find(str(tmp_path), "bundled_by_me.Mine") == tmp_path / "models" / "mine.pt"
    loaded = bundles.load(tmp_path / "models" / "mine.pt").network
    x = torch.randn(2, 128, 32)
    with torch.no_grad():
        assert torch.equal(loaded(x), mine(x))


# Baselines


def save_baseline(path: Path, cls: type[Baseline], **change: Any) -> FittedBaseline:
    model, _ = fitted(cls)
    about = {**ABOUT, "model": Choice.of(model.baseline).describe(), "temperature": model.temperature, "n_classes": 3}
    bundles.save_baseline(path, model.estimator, {**about, **change})
    return model


def test_a_baselines_file_holds_no_pickle(tmp_path: Path) -> None:
    save_baseline(tmp_path / "one.skops", MfccSVM)
    with zipfile.ZipFile(tmp_path / "one.skops") as file:
        names = file.namelist()
        assert {Path(name).suffix for name in names} <= {".json", ".npy"}
        assert json.loads(file.read("about.json"))["name"] == ABOUT["name"]
        for name in names:
            assert name.endswith(".json") or np.load(io.BytesIO(file.read(name)), allow_pickle=False) is not None


@pytest.mark.parametrize(
    "damage", [write_cut, write_zip, lambda path: path.write_bytes(b"")], ids=["cut", "zip", "empty"]
)
def test_a_baselines_file_that_is_not_whole_is_refused(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "one.skops"
    save_baseline(path, MfccSVM)
    damage(path)
    with pytest.raises(BenchError, match=r"one\.skops is no whole model bundle"):
        bundles.load(path)


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Changes the archive's description of what is to be built."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content["schema.json"] = change(content["schema.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)


@pytest.mark.parametrize(
    ("module", "name"),
    [("posix", "system"), ("subprocess", "Popen"), ("sklearn.externals", "Anything"), ("crnn_bench_evil", "Trap")],
)
def test_an_estimator_with_a_foreign_type_is_not_opened(tmp_path: Path, module: str, name: str) -> None:
    path = tmp_path / "one.skops"
    save_baseline(path, MfccSVM)

    def foreign(schema: str) -> str:
        tree = json.loads(schema)
        return json.dumps({**tree, "__module__": module, "__class__": name})

    rewrite(path, foreign)
    with pytest.raises(BenchError, match=rf"one\.skops holds {module}\.{name}, which no estimator of a baseline needs"):
        bundles.load(path).estimator  # type: ignore[attr-defined]  # noqa: B018


def test_a_flaw_anywhere_in_an_estimators_file_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "one.skops"
    save_baseline(path, MfccSVM)
    whole, told = path.read_bytes(), []
    for place in range(0, len(whole), 101):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            bundles.load(path).estimator  # type: ignore[attr-defined]  # noqa: B018
        except BenchError as error:
            told.append(str(error))
    assert len(told) > 10
    assert not [line for line in told if "\n" in line]


def test_an_estimator_that_is_no_data_cannot_be_stored(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file, pytest.raises(BenchError, match=r"mine\.Own cannot be stored"):
        bundles.save_baseline(tmp_path / "one.skops", SVC(C=file), {"model": {"class_path": "mine.Own"}})
    assert not (tmp_path / "one.skops").exists()


def test_a_damaged_estimator_is_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "one.skops"
    save_baseline(path, MfccSVM)
    rewrite(path, lambda schema: schema[:-20])
    with pytest.raises(BenchError, match=r"one\.skops: its estimator cannot be read") as caught:
        bundles.load(path).estimator  # type: ignore[attr-defined]  # noqa: B018
    assert "\n" not in str(caught.value)


def test_a_baseline_of_ones_own_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fitted_by_me.py").write_text(
        "from sklearn.linear_model import RidgeClassifier\n\nfrom crnn_bench.baselines.mfcc_svm import MfccSVM\n\n\n"
        "class Mine(RidgeClassifier):\n    pass\n\n\n"
        "class Own(MfccSVM):\n    def classifier(self, seed):\n        return Mine()\n"
    )
    importlib.invalidate_caches()
    model = save_baseline(tmp_path / "one.skops", importlib.import_module("fitted_by_me").Own)
    again = bundles.load(tmp_path / "one.skops").estimator  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again[-1].coef_, model.estimator[-1].coef_)


def test_a_baseline_has_no_weights_to_begin_with(tmp_path: Path) -> None:
    save_baseline(tmp_path / "one.skops", MfccSVM)
    with pytest.raises(BenchError, match=r"one\.skops is a baseline, and has no weights"):
        bundles.load_network(tmp_path / "one.skops")


# Which one is meant


def put(out: Path, name: str, song: float | None, slice_: float | None = None, loss: float = 0.5) -> None:
    """A network, or a baseline where the name ends so, with its scores on validation songs."""
    scores = {key: score for key, score in (("song/f1", song), ("slice/f1", slice_)) if score is not None}
    if name.endswith(".skops"):
        save_baseline(out / "models" / name, MfccSVM, validation=scores, validation_loss=None)
    else:
        bundles.save(out / "models" / name, network(), {**ABOUT, "validation": scores, "validation_loss": loss})


def best(folder: Path) -> str:
    return trained.ranked(trained.within(folder))[0].path.name


def test_a_folder_stands_for_its_best_model_of_either_kind(tmp_path: Path) -> None:
    put(tmp_path, "b.pt", 0.7, 0.9, loss=0.1)
    put(tmp_path, "c.skops", 0.8, 0.5)
    assert best(tmp_path) == "c.skops"
    put(tmp_path, "d.pt", 0.8, 0.6, loss=0.9)
    assert best(tmp_path) == "d.pt", "slices decide between models whose songs are even"
    put(tmp_path, "e.skops", 0.8)
    assert best(tmp_path) == "e.skops", "a whole song is its own slice"
    put(tmp_path, "a.skops", 0.8)
    assert best(tmp_path) == "a.skops", "names decide between equals"
    assert shelf.best(tmp_path / "models" / "b.pt").key == "b"


def test_bundles_that_tell_no_scores_come_last_and_go_by_their_loss(tmp_path: Path) -> None:
    for name, loss in (("a.pt", 0.9), ("b.pt", 0.2)):
        bundles.save(tmp_path / "models" / name, network(), {**ABOUT, "validation_loss": loss})
    assert best(tmp_path) == "b.pt"
    put(tmp_path, "c.pt", 0.0, 0.0, loss=3.0)
    assert best(tmp_path) == "c.pt"


def test_a_folder_without_models_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"holds no trained model \(models/\*\.pt or \*\.skops\)"):
        shelf.best(tmp_path)
    with pytest.raises(BenchError, match="no such results folder"):
        fetching.place(str(tmp_path / "nowhere"), None)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    for name, seed, loss in (("d", 0, 0.9), ("c", 1, 0.4), ("b", 1, 0.3), ("a", 2, 0.3)):
        about = {**ABOUT, "model_seed": seed, "validation_loss": loss}
        bundles.save(bundles.path_of(tmp_path / "out", name), network(), about)
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("model", "seed", "expected"),
    [
        (None, None, "a"),
        ("CRNN", None, "a"),
        ("crnn", 0, "d"),
        ("crnn_bench.models.crnn.CRNN", 1, "b"),
        ("CRNN", 2, "a"),
        ("CRNN", 77, "a"),
    ],
)
def test_a_folders_network_is_the_one_of_the_seed_or_the_best(
    several: Path, model: str | None, seed: int | None, expected: str
) -> None:
    assert trained.find(str(several), model, seed) == several / "models" / f"{expected}.pt"


def test_of_one_seed_the_network_of_the_same_split_and_length_comes_before_the_best(tmp_path: Path) -> None:
    """A song split's validation loss is the lower one, since its albums are known."""
    for name, split, seconds, loss in (
        ("a", "SongSplit", 3.0, 0.1),
        ("b", "AlbumSplit", 1.0, 0.2),
        ("c", "AlbumSplit", 3.0, 0.9),
    ):
        parameters = {**ABOUT["parameters"], "split": split, "clip_seconds": seconds}
        about = {**ABOUT, "parameters": parameters, "validation_loss": loss}
        bundles.save(bundles.path_of(tmp_path, name), network(), about)
    for split, seconds, expected in (("AlbumSplit", 3.0, "c"), ("AlbumSplit", 10.0, "b"), ("SongKFold", 3.0, "a")):
        found = trained.find(str(tmp_path), "CRNN", 0, {"split": split, "clip_seconds": seconds})
        assert found.stem == expected
    assert trained.find(str(tmp_path)).stem == "a"


def test_a_file_is_meant_as_it_is(several: Path) -> None:
    path = several / "models" / "d.pt"
    assert trained.find(str(path), "CRNN", 1) == path


def test_where_nothing_fits_the_line_says_what_there_is(several: Path, tmp_path: Path) -> None:
    about = {**ABOUT, "model": {"class_path": "of_my_own.Mine", "init_args": {}}}
    bundles.save(bundles.path_of(tmp_path / "mine", "mine"), network(), about)
    with pytest.raises(BenchError, match=r"mine holds no CRNN, but of_my_own\.Mine"):
        trained.find(str(tmp_path / "mine"), "CRNN")
    with pytest.raises(BenchError, match=r"unknown name 'CRN' \(did you mean 'CRNN'\?\)"):
        trained.find(str(several), "CRN")
    (tmp_path / "splits").mkdir()
    with pytest.raises(BenchError, match="splits holds no trained network"):
        trained.find(str(tmp_path / "splits"))
    with pytest.raises(BenchError, match="nowhere: no such results folder, nor a file of its models/"):
        trained.find(str(tmp_path / "nowhere"))
