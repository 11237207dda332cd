"""Where a network's first weights come from, if not from chance, and the proof that they never heard a test song."""

from pathlib import Path
from typing import Any

import pandas as pd

from crnn_bench import trained
from crnn_bench.bundles import NetworkBundle, load_network
from crnn_bench.cells import Cell
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.networks import Start
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices


def start_of(cell: Cell, feature: Feature) -> Start | None:
    """The weights that a cell's `init_from` names; `None` where there is none.

    Raises:
        BenchError: no such run or weights, or they were trained on other features.
    """
    if cell.init_from is None:
        return None
    try:
        alike = {name: cell.parameters[name] for name in ("split", "clip_seconds")}
        bundle = load_network(trained.find(cell.init_from.run, cell.model.label, cell.model_seed, alike))
    except BenchError as error:
        raise BenchError(f"init_from: {error}") from None
    theirs, mine = bundle.about["features"], Choice.of(feature).describe()
    if theirs != mine:
        raise BenchError(f"init_from: {bundle.about['name']} hears {theirs}, but this experiment gives {mine}")
    return _start(bundle, cell.init_from.layers, cell.init_from.freeze)


def warm(cell: Cell, slices: Slices, n_classes: int, out: Path | None) -> Start | None:
    """What the quirk `warm_start` begins with: the newest weights in a folder of the same model, shape and seeds.

    The released code names its checkpoints by number of classes, slice length and seed alone, so that a song split's
    weights are taken for an album split's training.
    """
    wanted = (cell.model.describe(), n_classes, slices.n_bins, int(slices.length[0]), cell.model_seed, cell.split_seed)
    files = sorted(out.glob("models/*.pt"), key=lambda path: path.stat().st_mtime, reverse=True) if out else []
    for path in files:
        bundle = load_network(path)
        about = bundle.about
        seeds = (about["parameters"]["model_seed"], about["parameters"]["split_seed"])
        if (about["model"], about["n_classes"], about["n_bins"], about["n_frames"], *seeds) == wanted:
            everything = sorted({name.partition(".")[0] for name in bundle.state_dict})
            return _start(bundle, tuple(everything), freeze=False)
    return None


def refuse_heard(start: Start | None, test: pd.DataFrame) -> None:
    """Raises `BenchError` where first weights were trained on songs that are to test.

    Args:
        start: the weights, if any.
        test: the catalogue's rows of the test part.
    """
    heard = _heard(start, test)
    if start and heard:
        raise BenchError(
            f"init_from: {start.name} was trained on {len(heard)} of this cell's test songs, e.g. {heard[0]}; "
            "begin with a run on other songs, or with a file of its models/ whose split is the same"
        )


def record(start: Start | None, test: pd.DataFrame) -> dict[str, Any]:
    """What a cell's record says of its first weights."""
    if not start:
        return {}
    heard = len(_heard(start, test))
    remark = {"remark": f"its first weights had heard {heard} of its {len(test)} test songs"} if heard else {}
    return {"init_from": start.name, "n_heard_test_songs": heard, **remark}


def _heard(start: Start | None, test: pd.DataFrame) -> list[str]:
    """Test tracks that the weights were trained on."""
    return list(test.loc[test["content"].isin(start.heard if start else ()), "track_id"])


def _start(bundle: NetworkBundle, layers: tuple[str, ...], freeze: bool) -> Start:
    about = bundle.about
    return Start(bundle.state_dict, layers, freeze, about["name"], bundle.digest, frozenset(about["heard"]))
