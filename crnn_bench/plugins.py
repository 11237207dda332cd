"""How a name in a YAML becomes a class, and a class with its arguments becomes an identity."""

import hashlib
import importlib
import inspect
import json
import pkgutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from crnn_bench.errors import BenchError

FAULTS = (ValueError, TypeError, RuntimeError, AttributeError, NameError, LookupError)  # of code of a user's own


def options(*families: type, named: str = "") -> dict[str, type]:
    """Returns every plug-in of the families' folders by its two short names: the class's and its file's.

    A family is the base class in a folder's `__init__.py`; each public, concrete subclass in a file of that folder
    is an option. Nothing is registered by hand.

    Args:
        families: their base classes.
        named: a short name; files that cannot hold what bears it are not imported, since options bring libraries.
    """
    found: dict[str, type] = {}
    for family in families:
        package = importlib.import_module(family.__module__)
        for module in _modules(package, named):
            members = inspect.getmembers(module, inspect.isclass)
            for name, cls in members:
                public = cls.__module__ == module.__name__ and not name.startswith("_")
                if public and issubclass(cls, family) and not inspect.isabstract(cls):
                    found[name] = cls
                    found.setdefault(module.__name__.rsplit(".", 1)[-1], cls)
    return found


def find(name: str, *families: type) -> type:
    """Returns the class that a short name or a full class path (`package.module.Class`) stands for.

    Raises:
        BenchError: nothing bears that name; lists the allowed names and the nearest one.
    """
    module_name, _, class_name = name.rpartition(".")
    if not module_name.strip("."):
        found = _option(name, families)
        if found:
            return found
        raise BenchError(unknown(name, sorted(options(*families))))
    try:
        module = importlib.import_module(module_name)
    except SyntaxError as error:
        raise BenchError(f"cannot import {name!r}: {error.filename}, line {error.lineno}: {error.msg}") from None
    except ImportError as error:
        hint = "looked beside the YAML, in the working folder and on PYTHONPATH"
        raise BenchError(f"cannot import {name!r} ({error}); {hint}") from None
    if not hasattr(module, class_name):
        others = [name for name, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, families)]
        known = f"; it has {', '.join(others)}" if others else ""
        raise BenchError(f"{module_name} has no class {class_name!r}{known}")
    found = getattr(module, class_name)
    if not (inspect.isclass(found) and issubclass(found, families)):
        raise BenchError(f"{name} is no {' or '.join(family.__name__ for family in families)}")
    if inspect.isabstract(found):
        raise BenchError(f"{name} is abstract: it lacks {', '.join(sorted(getattr(found, '__abstractmethods__', ())))}")
    return found


def short_name(path: str) -> str:
    """A class path as people write it: an option of the package by its file, one's own as it is."""
    return path.split(".")[-2] if path.startswith(f"{__name__.split('.')[0]}.") else path


def unknown(name: object, allowed: Sequence[str]) -> str:
    """One line for an unknown name: what came, the nearest match, and what is allowed."""
    nearest = get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"unknown name {name!r}{hint}; allowed: {', '.join(allowed)}"


def class_path(cls: type) -> str:
    """The full dotted path under which a class is found again."""
    return f"{cls.__module__}.{cls.__qualname__}"


@dataclass(frozen=True)
class Choice:
    """A class and all its arguments, defaults included: what the YAML chose, not yet built."""

    cls: type
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, built: object) -> "Choice":
        """The choice that an object was built from; its constructor stores each argument under its own name."""
        return cls(type(built), {name: getattr(built, name) for name in parameters(type(built))})

    def build(self, **by_data: Any) -> Any:
        """Builds the object; `by_data` are arguments that only the data can give (numbers of classes, bins …)."""
        return self.cls(**by_data, **self.arguments)

    def describe(self) -> dict[str, Any]:
        """The canonical form in plain data; equal choices have equal descriptions."""
        return {"class_path": class_path(self.cls), "init_args": {k: plain(v) for k, v in self.arguments.items()}}

    @property
    def label(self) -> str:
        """The class as it stands in tables: by its short name, one's own by its full path, lest two be mixed up."""
        return self.cls.__name__ if _is_ours(self.cls) else class_path(self.cls)

    @property
    def code(self) -> list[str]:
        """Hashes of the files of classes that are not the package's own, since they may change under one name."""
        classes = [self.cls, *(value for value in self.arguments.values() if inspect.isclass(value))]
        modules = [sys.modules[cls.__module__] for cls in classes if not _is_ours(cls)]
        return [digest(inspect.getsource(module)) for module in modules]

    def __hash__(self) -> int:
        return hash(digest(self.describe()))


def place(error: BaseException, cls: type) -> str:
    """Where in the file of a class an error came up, in brackets; empty where it came up elsewhere."""
    file = inspect.getfile(cls)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({file}, line {lines[-1]})" if lines else ""


def parameters(cls: type) -> Mapping[str, inspect.Parameter]:
    """A constructor's parameters, annotations evaluated: they are the schema of the class's YAML."""
    return inspect.signature(cls, eval_str=True).parameters


def refuse_below(built: object, **least: float) -> None:
    """Raises `BenchError` for the first of an object's arguments that is below its least value, or no number.

    Args:
        built: an object that stores its arguments under their own names.
        least: by argument.
    """
    for name, value in least.items():
        if not getattr(built, name) >= value:
            message = f"{type(built).__name__}: {name} must be at least {value}, got {getattr(built, name)}"
            raise BenchError(message, argument=name)


def refuse_unless_above(built: object, **bounds: float) -> None:
    """The same for arguments that must be above a bound.

    Args:
        built: an object that stores its arguments under their own names.
        bounds: by argument.
    """
    for name, bound in bounds.items():
        if not getattr(built, name) > bound:
            message = f"{type(built).__name__}: {name} must be above {bound:g}, got {getattr(built, name)}"
            raise BenchError(message, argument=name)


def refuse_outside(built: object, name: str, least: float, most: float) -> None:
    """Raises `BenchError` where an argument, or a value of its list, is out of bounds, or the list is empty."""
    given = getattr(built, name)
    listed = isinstance(given, tuple)
    values = given if listed else (given,)
    if not values or not all(least <= value <= most for value in values):  # nor NaN
        wanted = ("one or more numbers " if listed else "") + f"from {least:g} to {most:g}"
        raise BenchError(f"{type(built).__name__}: {name} must be {wanted}, got {given}", argument=name)


def digest(description: object, length: int = 16) -> str:
    """A short, stable hash of plain data; the same on every machine and in every process."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def plain(value: Any) -> Any:
    """A value as JSON knows it; a class by its full path."""
    if inspect.isclass(value):
        return class_path(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _is_ours(cls: type) -> bool:
    return cls.__module__.split(".")[0] == __name__.split(".")[0]


@cache
def _option(name: str, families: tuple[type, ...]) -> type | None:
    return options(*families, named=name).get(name)


def _modules(package: ModuleType, named: str) -> list[ModuleType]:
    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    return [importlib.import_module(name) for name in names if not named or _may_hold(name, named)]


def _may_hold(module: str, name: str) -> bool:
    """Whether a file bears a name, or defines a class of it, as far as its text tells."""
    spec = find_spec(module)
    text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return module.endswith(f".{name}") or f"class {name}(" in text
