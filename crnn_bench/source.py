"""A YAML file that remembers where each of its values stands, so that an error can name the line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from crnn_bench.errors import BenchError
from crnn_bench.plugins import unknown

Where = tuple[str | int, ...]  # the way to a value: ("grid", "model", 1)


class Source:
    """A YAML file's data, and where in the file, or in which override, each value stands.

    Args:
        path: the YAML.
        overrides: `KEY=VALUE`s that are laid over it; keys are dotted.
        keys: the names allowed at the top.
        choices: those of them that hold a class with arguments, with their defaults.
    """

    def __init__(self, path: Path, overrides: Sequence[str], keys: Sequence[str], choices: Mapping[str, Any]) -> None:
        self.path = path
        self.keys = keys
        self.choices = choices
        self.text = _read(path)
        self.places: dict[Where, str] = {}
        try:
            root = yaml.compose(self.text, Loader=yaml.SafeLoader)
            self.data = self._plain(root, ()) if root else {}
        except yaml.YAMLError as error:
            raise BenchError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
        except RecursionError:
            raise BenchError(f"{path}: an alias in it refers to itself") from None
        if not isinstance(self.data, dict):
            raise BenchError(f"{path}: expected keys and values at the top, e.g. `name: my_experiment`")
        for override in overrides:
            self._override(override)

    def error(self, where: Where, message: str) -> BenchError:
        """An error that names the file and line, or the override, where the nearest known value stands."""
        where = _written(where)
        for length in range(len(where), -1, -1):
            if where[:length] in self.places:
                return BenchError(f"{self.places[where[:length]]}: {_dotted(where)}: {message}")
        return BenchError(f"{self.path}: {_dotted(where)}: {message}")

    def with_argument(self, key: str, spec: Any, argument: str, value: Any) -> Any:
        """The specification of a choice (or the trainer's settings) with one argument set."""
        if key not in self.choices:
            if not isinstance(spec or {}, Mapping):
                raise self.error((key,), f"{spec!r} has no setting {argument!r}")
            return {**(spec or {}), argument: value}
        if isinstance(spec, str) or spec is None:
            spec = {"class_path": spec}
        if isinstance(spec, dict):
            return {**spec, "init_args": {**(spec.get("init_args") or {}), argument: value}}
        return spec

    def _plain(self, node: yaml.Node, where: Where) -> Any:
        self.places[_written(where)] = f"{self.path}, line {node.start_mark.line + 1}"
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*where, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            plain: dict[str, Any] = {}
            for key_node, value_node in node.value:
                line = f"{self.path}, line {key_node.start_mark.line + 1}"
                if not isinstance(key_node, yaml.ScalarNode):
                    raise BenchError(f"{line}: expected a plain name as a key")
                below = (*where, key_node.value)
                if key_node.value in plain:
                    raise BenchError(f"{line}: {_dotted(_written(below))}: stands there twice")
                plain[key_node.value] = self._plain(value_node, below)
                self.places[_written(below)] = line
            return plain
        return _scalar(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else node.value

    def _override(self, override: str) -> None:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise BenchError(f"--set {override}: expected KEY=VALUE, e.g. --set trainer.max_epochs=2")
        first, _, rest = key.partition(".")
        if first not in self.keys:
            raise BenchError(f"--set {override}: {unknown(first, self.keys)}")
        try:
            node = yaml.compose(value, Loader=yaml.SafeLoader)
        except yaml.YAMLError:
            raise BenchError(f"--set {override}: {value!r} is not valid YAML") from None
        where: Where = (first, rest) if rest else (first,)
        plain = self._plain(node, where) if node else None
        if not rest:
            self.data[first] = plain
        elif first == "grid":
            grids = self.data["grid"] = self.data.get("grid") or {}
            for grid in grids if isinstance(grids, list) else [grids]:
                if not isinstance(grid, dict):
                    raise self.error(("grid",), f"expected axes such as `seed: [0, 21, 42]`, got {grid!r}")
                grid[rest] = plain
        else:
            self.data[first] = self.with_argument(first, self.data.get(first, self.choices.get(first)), rest, plain)
        self.places = {place: text for place, text in self.places.items() if place[: len(where)] != where}
        self.places[where] = f"--set {override}"


def _written(where: Where) -> Where:
    """The way as users think of it: `model.pooling`, not `model.init_args.pooling`."""
    return tuple(part for part in where if part != "init_args")


def _scalar(text: str) -> Any:
    """A plain scalar; YAML 1.1 takes `1e-3` for a string, users do not."""
    value = yaml.safe_load(text) if text else None
    if isinstance(value, str):
        try:
            return float(value) if value[:1] in "+-.0123456789" else value
        except ValueError:
            return value
    return value


def _dotted(where: Where) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BenchError(f"no experiment {path}; the ones that come with the package are in experiments/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: cannot be read ({error})") from None
