"""Stored groups → the command that runs the cells of one row again, and no others."""

import itertools
import json
import math
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from crnn_bench import config
from crnn_bench.errors import BenchError
from crnn_bench.grouping import Group
from crnn_bench.plugins import plain
from crnn_bench.source import Source

SEEDS = ("seed", "split_seed", "model_seed")
Axes = dict[str, list[Any]]  # as a grid holds them


@dataclass(frozen=True)
class Point:
    """What a grid says of one row.

    Attributes:
        axes: one value each, but for seeds.
        cells: what they stand for, by `_told`.
        least: the shortest songs (s) of these cells, were they alone.
        chosen: whether the YAML itself says which songs are too short; else the longest slice of all cells decides.
    """

    axes: Axes
    cells: frozenset[str]
    least: float
    chosen: bool


def beginning(path: str) -> str:
    """The command that runs an experiment, up to its options: `crnn-bench run PATH`, or `crnn-bench demo`."""
    demo = Path(str(resources.files("crnn_bench").joinpath("demo.yaml")))
    is_demo = bool(path) and Path(path).resolve() == demo.resolve()
    return "crnn-bench demo" if is_demo else f"crnn-bench run {shlex.quote(path) if path else 'EXPERIMENT.yaml'}"


def whole(noted: Mapping[str, Any]) -> str:
    """The command that runs the whole experiment, as it was given."""
    return _command(noted, noted["set"])


def of_rows(groups: Sequence[Group], noted: Mapping[str, Any]) -> list[str]:
    """For each group the command that runs its cells alone, into a folder of its own.

    Args:
        groups: of an experiment's cells.
        noted: what its `experiment.json` says: `name, yaml, set`, and the `command` it began with.

    Returns:
        Commands; blank where the stored YAML gives no such cells any more, as after a change of the package.
    """
    try:
        points = list(_points(noted))
    except BenchError:
        return [""] * len(groups)
    rows = [
        (f"runs/{noted['name']}-row{number}", _narrowed(group, points, noted)) for number, group in enumerate(groups, 1)
    ]
    return [f"{_command(noted, options)} --out {shlex.quote(out)}" if options else "" for out, options in rows]


def _narrowed(group: Group, points: Sequence[Point], noted: Mapping[str, Any]) -> list[str]:
    """The overrides that leave of the grid what gives the group's cells; none where nothing does."""
    missing = [cell.record["parameters"] for cell in group.cells]
    least = missing[0].get("min_seconds", math.nan)
    taken = []
    for point in points:
        rest = [some for some in missing if _told(some, point.chosen) not in point.cells]
        if len(rest) < len(missing):
            taken.append(point)
            missing = rest
    if missing:
        return []
    grid = [point.axes for point in taken]
    songs = [] if all(point.chosen or point.least == least for point in taken) else [f"min_seconds={least:g}"]
    return [*_kept(noted, grid), f"grid={_written(grid)}", *songs]


def _points(noted: Mapping[str, Any]) -> Iterator[Point]:
    """Each point of the grid but for its seeds.

    Raises:
        BenchError: the YAML is of another time.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "experiment.yaml"
        path.write_text(noted["yaml"], encoding="utf-8")
        choices = {key: config.DEFAULTS.get(key) for key in config.CHOICES}
        data = Source(path, noted["set"], config.TOP_KEYS, choices).data
        grid = data.get("grid") or {}
        for axes in itertools.chain.from_iterable(map(_without_seeds, grid if isinstance(grid, list) else [grid])):
            cells = config.load(path, [*_kept(noted, [axes]), f"grid={_written([axes])}"]).cells
            chosen = "min_seconds" in axes or data.get("min_seconds") is not None
            told = frozenset(_told(cell.parameters, chosen) for cell in cells)
            yield Point(axes, told, cells[0].min_seconds, chosen)


def _without_seeds(grid: Axes) -> Iterator[Axes]:
    """A grid's points, each as a grid of one value an axis; seeds stay together."""
    axes = {name: values for name, values in grid.items() if name not in SEEDS}
    seeds = {name: values for name, values in grid.items() if name in SEEDS}
    for values in itertools.product(*axes.values()):
        yield {name: [value] for name, value in zip(axes, values, strict=True)} | seeds


def _kept(noted: Mapping[str, Any], grids: Sequence[Axes]) -> list[str]:
    """The overrides that still have an effect where the grid is one of these."""
    keys = [(override, override.partition("=")[0].partition(".")[0]) for override in noted["set"]]
    return [override for override, key in keys if key != "grid" and not all(key in grid for grid in grids)]


def _told(parameters: Mapping[str, Any], with_least: bool) -> str:
    """A cell's parameters as one text, equal for equal cells, whether they come from a YAML or from a record."""
    told = {name: plain(value) for name, value in parameters.items() if with_least or name != "min_seconds"}
    return json.dumps(told, sort_keys=True)


def _command(noted: Mapping[str, Any], overrides: Sequence[str]) -> str:
    options = [f"--set {shlex.quote(override)}" for override in overrides]
    return " ".join([noted.get("command", beginning("")), *options])


def _written(grid: Any) -> str:
    """In one line of YAML."""
    return yaml.safe_dump(grid, default_flow_style=True, width=math.inf, sort_keys=False, allow_unicode=True).strip()
