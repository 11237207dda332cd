"""All cells of an experiment, planned."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from crnn_bench import planning
from crnn_bench.cells import Cell, Experiment
from crnn_bench.engines import Engine
from crnn_bench.errors import BenchError
from crnn_bench.planning import Plan
from crnn_bench.plugins import digest
from crnn_bench.preparing import Prepared, listings, prepare, tell_rejected
from crnn_bench.records import Catalogue
from crnn_bench.terminal import say


def plan(work: Experiment, prepared: Prepared, finished: Collection[str] = ()) -> list[Plan]:
    """Plans every cell, so that what cannot run is refused before anything is trained.

    Args:
        work: the experiment.
        prepared: its features.
        finished: identities of cells that will not be run again, and need no check.
    """
    plans = of_cells(work.cells, prepared)
    tell_left_out(plans)
    _prove_folds(plans)
    for planned in plans:
        if planned.identity not in finished:
            planning.check(planned)
    return plans


def tell_left_out(plans: Sequence[Plan]) -> None:
    """Says which tracks no cell, or no part of a split, takes."""
    tell_rejected({track: why for planned in plans for track, why in planned.catalogue.left_out_here.items()})
    unused = {planned.cell.split: planned.unused for planned in plans if planned.unused}
    for strategy, tracks in unused.items():
        say(f"{strategy.label} {strategy.describe()['init_args']} leaves {len(tracks)} tracks unused, e.g. {tracks[0]}")


def of_cells(cells: Sequence[Cell], prepared: Prepared) -> list[Plan]:
    """A plan of each cell; those that hear the same tracks share one catalogue."""
    known: dict[tuple[Any, ...], Catalogue] = {}
    plans = []
    for cell in cells:
        key = (cell.dataset, cell.features, cell.min_seconds, cell.clip_seconds, cell.slice_rule)
        if key not in known:
            known[key] = planning.catalogue(cell, prepared.listings[cell.dataset], prepared.root)
        plans.append(planning.plan(cell, known[key], prepared.root))
    return plans


def _prove_folds(plans: Sequence[Plan]) -> None:
    """Folds are pooled into one score, so none may test what another one tests."""
    tested: dict[tuple[str, str], str] = {}
    for planned in plans:
        cell = planned.cell.describe()
        fold = cell["split"]["init_args"].pop("fold", None)
        key = digest(cell)
        for track in planned.split.test if fold is not None else ():
            if tested.setdefault((key, track), planned.identity) != planned.identity:
                raise BenchError(f"{planned.cell.split.label}: {track} is tested by more than one fold")


def write_splits(work: Experiment, csv: Path, engine: Engine) -> None:
    """Writes the split of the first cell, or of each of its folds, as CSV.

    Args:
        work: an experiment with one split strategy and seed.
        csv: the file; `{fold}` in it stands for the fold.
        engine: extracts what is missing.
    """
    prepared = prepare(work, listings(work), engine)
    cells = {cell.split.arguments.get("fold"): cell for cell in reversed(work.cells)}
    if len(cells) > 1 and "{fold}" not in str(csv):
        raise BenchError(
            f"{work.cells[0].split.label} has {len(cells)} folds; put {{fold}} into the name: --csv 'NAME_{{fold}}.csv'"
        )
    for planned in of_cells([cells[fold] for fold in sorted(cells, key=lambda fold: fold or 0)], prepared):
        path = Path(str(csv).replace("{fold}", str(planned.cell.split.arguments.get("fold"))))
        planning.write_split(planned, path)
        tell_rejected(planned.catalogue.left_out_here)
        say(f"{path}: {planned.words}")
