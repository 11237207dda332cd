"""An experiment's YAML, checked to the last argument, as a list of cells."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from crnn_bench import schema
from crnn_bench.cells import Cell, Experiment, Quirks, Trainer
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice, unknown
from crnn_bench.source import Source, Where

DEFAULTS: dict[str, Any] = {
    "features": "LogMel",
    "split": "SongSplit",
    "clip_seconds": 3.0,
    "min_seconds": None,
    "slice_rule": "full",
    "model": "CRNN",
    "seed": 0,
    "split_seed": None,
    "model_seed": None,
    "trainer": {},
    "search": None,
    "augment": [],
    "init_from": None,
    "quirks": {},
    "robustness": [],
}
WHOLE_SONG = "song"  # a `clip_seconds`
CHOICES = ("dataset", "features", "split", "model")
CELL_KEYS = ("dataset", *DEFAULTS)
TOP_KEYS = ("name", "preset", "grid", "reproduce", *CELL_KEYS)


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Reads and checks an experiment.

    Args:
        path: the YAML.
        overrides: `KEY=VALUE`, dotted: `trainer.max_epochs=2`, `grid.seed=[0]`, `dataset.root=music`.

    Raises:
        BenchError: an unknown key or class, a value of the wrong type: names file, line and what is allowed.
    """
    source = Source(path, overrides, TOP_KEYS, {key: DEFAULTS.get(key) for key in CHOICES})
    for key in source.data:
        if key not in TOP_KEYS:
            raise source.error((key,), unknown(key, TOP_KEYS))
    for key in ("name", "dataset"):
        in_grid = any(key in grid for grid in _grids(source))
        if source.data.get(key) is None and not in_grid:
            raise BenchError(f"{path}: no {key!r}; an experiment needs one")
    for override in overrides:
        key = override.partition("=")[0].partition(".")[0]
        if key in CELL_KEYS and all(key in grid for grid in _grids(source)):
            raise BenchError(f"--set {override}: has no effect, since the grid sets {key}; change it there")
    drawn = [_cell(source, values) for grid in _grids(source) for values in _combinations(source, grid)]
    for key in ("augment", "init_from"):
        if source.data.get(key) and not any(cell.trainer for cell in drawn):
            raise source.error((key,), "has no effect, since no cell has a network")
    longest = max(cell.clip_seconds or 0.0 for cell in drawn)
    cells = [_with_least(cell, longest) for cell in drawn]
    expanded = dict.fromkeys(fold for cell in dict.fromkeys(cells) for fold in _folds(cell))
    numbers = source.data.get("reproduce", _preset(source).get("reproduce")) or []
    reproduced = schema.reproduce(source, numbers, ("reproduce",), list(expanded))
    return Experiment(str(source.data["name"]), tuple(expanded), source.text, tuple(overrides), str(path), reproduced)


def _grids(source: Source) -> list[dict[str, Any]]:
    grid = source.data.get("grid") or {}
    grids = grid if isinstance(grid, list) else [grid]
    for index, one in enumerate(grids):
        where: Where = ("grid", index) if isinstance(grid, list) else ("grid",)
        if not isinstance(one, dict):
            raise source.error(where, f"expected axes such as `seed: [0, 21, 42]`, got {one!r}")
        for axis, values in one.items():
            if axis.partition(".")[0] not in CELL_KEYS:
                raise source.error((*where, axis), unknown(axis, CELL_KEYS))
            if axis == "robustness":
                raise source.error((*where, axis), "put it beside the grid; every cell hears all deformations")
            if not isinstance(values, list) or not values:
                raise source.error((*where, axis), f"expected a list of values such as [{values}], got {values!r}")
    return grids


def _combinations(source: Source, grid: dict[str, list[Any]]) -> Iterator[dict[str, tuple[Any, Where]]]:
    """Every combination as key → (value, where it stands), the fixed keys included; dotted axes applied last."""
    grid_where: Where = ("grid",)
    if isinstance(source.data.get("grid"), list):
        grid_where = ("grid", next(i for i, one in enumerate(source.data["grid"]) if one is grid))
    preset = _preset(source)
    defaults = {"dataset": None, **DEFAULTS, **preset}
    fixed: dict[str, tuple[Any, Where]] = {
        key: (source.data.get(key, default), (key,)) for key, default in defaults.items()
    }
    for key in preset:
        if isinstance(preset[key], dict) and isinstance(fixed[key][0], dict):
            fixed[key] = ({**preset[key], **fixed[key][0]}, (key,))
    axes = sorted(grid, key=lambda axis: "." in axis)  # stable: a model before its parameters
    for values in itertools.product(*([(v, i) for i, v in enumerate(grid[axis])] for axis in axes)):
        combination: dict[str, tuple[Any, Where]] = dict(fixed)
        for axis, (value, index) in zip(axes, values, strict=True):
            key, _, argument = axis.partition(".")
            where = (*grid_where, axis, index)
            if argument:
                value = source.with_argument(key, combination[key][0], argument, value)
            combination[key] = (value, where)
        yield combination


def _preset(source: Source) -> dict[str, Any]:
    """The settings that `preset: NAME` stands for; what the YAML itself says goes before them."""
    name = source.data.get("preset")
    if name is None:
        return {}
    known = {Path(file.name).stem: file for file in resources.files("crnn_bench").joinpath("presets").iterdir()}
    if not isinstance(name, str) or name not in known:
        raise source.error(("preset",), unknown(name, sorted(known)))
    settings: dict[str, Any] = yaml.safe_load(known[name].read_text())
    return settings


def _with_least(cell: Cell, longest: float) -> Cell:
    """All cells use the same songs, unless the YAML says otherwise; ready-made rows have no length to be told by."""
    if not math.isnan(cell.min_seconds):
        return cell
    return replace(cell, min_seconds=0.0 if cell.dataset.build().features else longest)


def _cell(source: Source, values: Mapping[str, tuple[Any, Where]]) -> Cell:
    def choose(key: str) -> Choice:
        return schema.choice(source, key, *values[key])

    def scalar(key: str, kind: Any) -> Any:
        value, where = values[key]
        try:
            return schema.checked(kind, value)
        except ValueError as error:
            raise source.error(where, str(error)) from None

    dataset, model = choose("dataset"), choose("model")
    neural = hasattr(model.cls, "given_by_data")
    features = _features(source, values, dataset, model, choose("features"))
    trainer = schema.settings(source, Trainer, *values["trainer"])
    search = schema.search(source, model, *values["search"])
    augment, init_from = schema.augment(source, *values["augment"]), schema.init_from(source, *values["init_from"])
    quirks = schema.settings(source, Quirks, *values["quirks"])
    if neural and init_from and quirks.warm_start:
        raise source.error(
            values["init_from"][1], "quirks.warm_start chooses the first weights, too; give one of the two"
        )
    robustness = schema.robustness(source, dataset, features.build(), *values["robustness"])
    seed = scalar("seed", int)
    split_seed, model_seed = scalar("split_seed", int | None), scalar("model_seed", int | None)
    clip, where = values["clip_seconds"]
    if isinstance(clip, str) and clip != WHOLE_SONG:
        raise source.error(where, f"expected seconds, or {WHOLE_SONG}, got {clip!r}")
    clip_seconds = None if clip == WHOLE_SONG else scalar("clip_seconds", float)
    if clip_seconds is not None and not 0 < clip_seconds < math.inf:  # nor NaN
        raise source.error(values["clip_seconds"][1], f"must be above 0, or {WHOLE_SONG}, got {clip_seconds}")
    if features.build().is_table:
        clip_seconds = features.build().row_seconds
    if neural and clip_seconds is None:
        raise source.error(values["clip_seconds"][1], f"{model.label} hears slices; only baselines hear whole songs")
    min_seconds = scalar("min_seconds", float | None)
    if min_seconds is not None and not min_seconds >= (clip_seconds or 0.0):
        raise source.error(
            values["min_seconds"][1], f"must be at least {clip_seconds or 0:g}, a slice, got {min_seconds:g}"
        )
    return Cell(
        dataset=dataset,
        features=features,
        split=choose("split"),
        clip_seconds=clip_seconds,
        min_seconds=math.nan if min_seconds is None else min_seconds,  # until all cells are known
        slice_rule=scalar("slice_rule", Literal["full", "legacy"]),
        model=model,
        split_seed=seed if split_seed is None else split_seed,
        model_seed=seed if model_seed is None else model_seed,
        trainer=trainer if neural else None,
        search=None if neural else search,
        augment=augment if neural else (),
        init_from=init_from if neural else None,
        quirks=quirks,
        robustness=robustness,
    )


def _features(
    source: Source, values: Mapping[str, tuple[Any, Where]], dataset: Choice, model: Choice, given: Choice
) -> Choice:
    """The features that a dataset or else a baseline brings, or the experiment's."""
    where = values["model"][1]
    try:
        ready_made = dataset.build().features
    except BenchError as error:
        raise source.error(values["dataset"][1], str(error)) from None
    if hasattr(model.cls, "given_by_data"):
        try:
            own = model.cls.own_features(**model.arguments)  # type: ignore[attr-defined]
        except BenchError as error:
            raise source.error(where, str(error)) from None
        if own and ready_made:
            raise source.error(where, f"{model.label} needs audio, but {dataset.label} holds ready-made features")
        chosen = Choice.of(ready_made or own) if ready_made or own else given
        if chosen.build().is_table:
            raise source.error(where, f"{model.label} needs frames, but {chosen.label} gives one row a song")
        return chosen
    try:
        own = model.build().features
    except BenchError as error:
        raise source.error(where, str(error)) from None
    if own and ready_made:
        raise source.error(where, f"{model.label} needs audio, but {dataset.label} holds ready-made features")
    return Choice.of(ready_made or own) if ready_made or own else given


def _folds(cell: Cell) -> list[Cell]:
    """The cell itself, or one for each fold of a k-fold strategy that leaves its fold open."""
    strategy = cell.split.build()
    if strategy.n_folds == 1 or strategy.fold is not None:
        return [cell]
    chosen = [Choice(cell.split.cls, {**cell.split.arguments, "fold": fold}) for fold in range(strategy.n_folds)]
    return [Cell(**{**{f.name: getattr(cell, f.name) for f in fields(cell)}, "split": choice}) for choice in chosen]
