"""An experiment's YAML, checked to the last argument, as a list of cells."""

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from crnn_bench import plugins
from crnn_bench.cells import Cell, Experiment, Search, Trainer
from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice, unknown
from crnn_bench.source import Source, Where

FAMILIES = {
    "dataset": ("crnn_bench.datasets.Dataset",),
    "features": ("crnn_bench.features.Feature",),
    "split": ("crnn_bench.splits.SplitStrategy",),
    "model": ("crnn_bench.models.Network", "crnn_bench.baselines.Baseline"),
}
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
}
DISTRIBUTIONS = ("uniform", "loguniform", "randint")
WHOLE_SONG = "song"  # a `clip_seconds`
CELL_KEYS = ("dataset", *DEFAULTS)
TOP_KEYS = ("name", "grid", *CELL_KEYS)


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Reads and checks an experiment.

    Args:
        path: the YAML.
        overrides: `KEY=VALUE`, dotted: `trainer.max_epochs=2`, `grid.seed=[0]`, `dataset.root=music`.

    Raises:
        BenchError: an unknown key or class, a value of the wrong type: names file, line and what is allowed.
    """
    source = Source(path, overrides, TOP_KEYS, {key: DEFAULTS.get(key) for key in FAMILIES})
    for key in source.data:
        if key not in TOP_KEYS:
            raise source.error((key,), unknown(key, TOP_KEYS))
    for key in ("name", "dataset"):
        in_grid = any(key in grid for grid in _grids(source))
        if source.data.get(key) is None and not in_grid:
            raise BenchError(f"{path}: no {key!r}; an experiment needs one")
    cells = dict.fromkeys(_cell(source, values) for grid in _grids(source) for values in _combinations(source, grid))
    expanded = dict.fromkeys(fold for cell in cells for fold in _folds(cell))
    return Experiment(str(source.data["name"]), tuple(expanded), source.text, tuple(overrides))


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
            if not isinstance(values, list) or not values:
                raise source.error((*where, axis), f"expected a list of values such as [{values}], got {values!r}")
    return grids


def _combinations(source: Source, grid: dict[str, list[Any]]) -> Iterator[dict[str, tuple[Any, Where]]]:
    """Every combination as key → (value, where it stands), the fixed keys included; dotted axes applied last."""
    grid_where: Where = ("grid",)
    if isinstance(source.data.get("grid"), list):
        grid_where = ("grid", next(i for i, one in enumerate(source.data["grid"]) if one is grid))
    fixed = {key: (source.data.get(key, default), (key,)) for key, default in (("dataset", None), *DEFAULTS.items())}
    if fixed["min_seconds"][0] is None:
        fixed["min_seconds"] = (_longest(source), ("clip_seconds",))
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


def _longest(source: Source) -> float:
    fixed = [source.data.get("clip_seconds", DEFAULTS["clip_seconds"])]
    clips = [clip for grid in _grids(source) for clip in grid.get("clip_seconds", fixed)]
    return max((float(clip) for clip in clips if isinstance(clip, (int, float))), default=0.0)


def _cell(source: Source, values: Mapping[str, tuple[Any, Where]]) -> Cell:
    def choose(key: str) -> Choice:
        return _choice(source, key, *values[key])

    def scalar(key: str, kind: Any) -> Any:
        value, where = values[key]
        try:
            return _checked(kind, value)
        except ValueError as error:
            raise source.error(where, str(error)) from None

    dataset, model = choose("dataset"), choose("model")
    neural = hasattr(model.cls, "given_by_data")
    features = _features(source, values, dataset, model, choose("features"))
    trainer, search = _trainer(source, *values["trainer"]), _search(source, model, *values["search"])
    seed = scalar("seed", int)
    split_seed, model_seed = scalar("split_seed", int | None), scalar("model_seed", int | None)
    clip_seconds = None if values["clip_seconds"][0] == WHOLE_SONG else scalar("clip_seconds", float)
    if clip_seconds is not None and not 0 < clip_seconds < math.inf:  # nor NaN
        raise source.error(values["clip_seconds"][1], f"must be above 0, or {WHOLE_SONG}, got {clip_seconds}")
    if features.build().is_table:
        clip_seconds = features.build().row_seconds
    if neural and clip_seconds is None:
        raise source.error(values["clip_seconds"][1], f"{model.label} hears slices; only baselines hear whole songs")
    ready_made = dataset.build().features is not None
    min_seconds = 0.0 if ready_made else scalar("min_seconds", float)
    least = 0.0 if ready_made else clip_seconds or 0.0
    if not min_seconds >= least:
        raise source.error(values["min_seconds"][1], f"must be at least {least:g}, a slice, got {min_seconds:g}")
    return Cell(
        dataset=dataset,
        features=features,
        split=choose("split"),
        clip_seconds=clip_seconds,
        min_seconds=min_seconds,
        slice_rule=scalar("slice_rule", Literal["full", "legacy"]),
        model=model,
        split_seed=seed if split_seed is None else split_seed,
        model_seed=seed if model_seed is None else model_seed,
        trainer=trainer if neural else None,
        search=None if neural else search,
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
        chosen = Choice.of(ready_made) if ready_made else given
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


def _choice(source: Source, key: str, spec: Any, where: Where) -> Choice:
    """Resolves a short name, a class path, or `{class_path, init_args}`, and checks every argument."""
    if isinstance(spec, str):
        spec = {"class_path": spec}
    if not isinstance(spec, dict) or not isinstance(spec.get("class_path"), str):
        raise source.error(where, f"expected a name or {{class_path: NAME, init_args: {{…}}}}, got {spec!r}")
    for extra in spec:
        if extra not in ("class_path", "init_args"):
            raise source.error((*where, extra), unknown(extra, ("class_path", "init_args")))
    families = [_import(path) for path in FAMILIES[key]]
    try:
        cls = plugins.find(spec["class_path"], *families)
    except BenchError as error:
        raise source.error(where, str(error)) from None
    given = spec.get("init_args") or {}
    if not isinstance(given, dict):
        raise source.error((*where, "init_args"), f"expected arguments of {cls.__name__}, got {given!r}")
    choice = Choice(cls, _arguments(source, cls, given, where))
    if not hasattr(cls, "given_by_data"):
        try:
            choice.build()
        except BenchError as error:
            raise source.error((*where, error.argument) if error.argument else where, str(error)) from None
    return choice


def _arguments(source: Source, cls: type, given: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """The constructor's signature is the schema: unknown names, missing ones and wrong types are refused."""
    by_data = getattr(cls, "given_by_data", ())
    schema = {name: p for name, p in plugins.parameters(cls).items() if name not in by_data}
    for name in given:
        if name not in schema:
            raise source.error((*where, "init_args", name), f"{cls.__name__}: {unknown(name, list(schema))}")
    arguments = {}
    for name, parameter in schema.items():
        if name not in given and parameter.default is inspect.Parameter.empty:
            raise source.error(where, f"{cls.__name__} needs {name!r}")
        try:
            arguments[name] = _checked(parameter.annotation, given[name]) if name in given else parameter.default
        except ValueError as error:
            raise source.error((*where, "init_args", name), str(error)) from None
    return arguments


def _trainer(source: Source, given: Any, where: Where) -> Trainer:
    if not isinstance(given, dict):
        raise source.error(where, f"expected settings such as max_epochs, got {given!r}")
    arguments = _arguments(source, Trainer, given, where)
    try:
        return Trainer(**arguments)
    except BenchError as error:
        raise source.error((*where, error.argument or ""), str(error)) from None


def _search(source: Source, model: Choice, given: Any, where: Where) -> Search | None:
    """A search with the space that it names for the model, or with the model's own; none where neither is."""
    if given is None or hasattr(model.cls, "given_by_data"):
        return None
    if not isinstance(given, dict):
        raise source.error(where, f"expected settings such as n_iter, got {given!r}")
    spaces = given.get("space") or {}
    if not isinstance(spaces, dict):
        raise source.error((*where, "space"), f"expected arguments to try by model, got {spaces!r}")
    mine = None
    for name in spaces:
        try:
            named = plugins.find(name, *(_import(path) for path in FAMILIES["model"]))
        except BenchError as error:
            raise source.error((*where, "space", name), str(error)) from None
        mine = name if named is model.cls else mine
    space = model.build().space if mine is None else spaces[mine]
    if not space:
        return None
    place = where if mine is None else (*where, "space", mine)
    checked = _space(source, model, space, place)
    arguments = _arguments(source, Search, {**given, "space": checked}, where)
    try:
        return Search(**arguments)
    except BenchError as error:
        raise source.error((*where, error.argument or ""), str(error)) from None


def _space(source: Source, model: Choice, space: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """Checks each value of a search space as an argument of the model."""
    if not isinstance(space, Mapping):
        raise source.error(where, f"expected lists of values by argument, got {space!r}")
    checked: dict[str, Any] = {}
    for name, values in space.items():
        place = (*where, name)
        if isinstance(values, Mapping):
            if list(values) not in [[one] for one in DISTRIBUTIONS]:
                raise source.error(place, f"expected one of {', '.join(DISTRIBUTIONS)} or a list, got {dict(values)}")
            ((kind, ends),) = values.items()
            numbers = isinstance(ends, list) and all(isinstance(end, int | float) for end in ends)
            if not (numbers and len(ends) == 2 and ends[0] < ends[1]):
                raise source.error(place, f"expected {kind}: [low, high], got {ends!r}")
            tried, checked[name] = ends[:1] if kind != "randint" else ends, {kind: list(ends)}
        elif isinstance(values, list) and values:
            tried = checked[name] = list(values)
        else:
            raise source.error(place, f"expected a list of values such as [{values}], got {values!r}")
        for value in tried:
            arguments = _arguments(source, model.cls, {name: value}, place)
            try:
                other = Choice(model.cls, {**model.arguments, name: arguments[name]}).build()
            except BenchError as error:
                raise source.error(place, str(error)) from None
            if other.features and other.features.key != model.build().features.key:
                raise source.error(place, f"{name} changes the features; put it into the grid instead")
    return checked


def _checked(annotation: Any, value: Any) -> Any:
    """Returns a value as the annotated type, or raises `ValueError` with one line that says what was expected."""
    from jsonargparse import ArgumentError, ArgumentParser

    if annotation is inspect.Parameter.empty:
        return value
    if get_origin(annotation) is type and isinstance(value, str):
        try:
            return plugins.find(value, get_args(annotation)[0])
        except BenchError as error:
            raise ValueError(str(error)) from None
    expected = getattr(annotation, "__name__", str(annotation)) if not get_args(annotation) else str(annotation)
    expected = expected.replace("typing.", "").replace("pathlib.", "")
    if value is None and type(None) not in get_args(annotation):
        raise ValueError(f"expected {expected}, got null")
    if isinstance(value, (bool, str)) and annotation in (int, float):
        raise ValueError(f"expected {expected}, got {value!r}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=annotation)
    try:
        return parser.parse_object({"value": value}).value
    except ArgumentError:
        raise ValueError(f"expected {expected}, got {value!r}") from None


def _import(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(__import__(module, fromlist=[name]), name)
    return found
