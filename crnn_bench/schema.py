"""Values of an experiment's YAML, checked against the signature of the class that takes them."""

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args, get_origin

from crnn_bench import plugins
from crnn_bench.cells import Cell, InitFrom, Published, Search
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.metrics import Metric
from crnn_bench.plugins import Choice, unknown
from crnn_bench.source import Source, Where

FAMILIES = {
    "dataset": ("crnn_bench.datasets.Dataset",),
    "features": ("crnn_bench.features.Feature",),
    "split": ("crnn_bench.splits.SplitStrategy",),
    "model": ("crnn_bench.models.Network", "crnn_bench.baselines.Baseline"),
    "augment": ("crnn_bench.augmentations.Augmentation",),
    "robustness": ("crnn_bench.deformations.Deformation",),
}
T = TypeVar("T")
DISTRIBUTIONS = ("uniform", "loguniform", "randint")


def choice(source: Source, key: str, spec: Any, where: Where) -> Choice:
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
    chosen = Choice(cls, arguments(source, cls, given, where))
    if not hasattr(cls, "given_by_data"):
        try:
            chosen.build()
        except BenchError as error:
            raise source.error((*where, error.argument) if error.argument else where, str(error)) from None
    return chosen


def arguments(source: Source, cls: type, given: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """The constructor's signature is the schema: unknown names, missing ones and wrong types are refused."""
    by_data = getattr(cls, "given_by_data", ())
    allowed = {name: p for name, p in plugins.parameters(cls).items() if name not in by_data}
    for name in given:
        if name not in allowed:
            raise source.error((*where, "init_args", name), f"{cls.__name__}: {unknown(name, list(allowed))}")
    taken = {}
    for name, parameter in allowed.items():
        if name not in given and parameter.default is inspect.Parameter.empty:
            raise source.error(where, f"{cls.__name__} needs {name!r}")
        try:
            taken[name] = checked(parameter.annotation, given[name]) if name in given else parameter.default
        except ValueError as error:
            raise source.error((*where, "init_args", name), str(error)) from None
    return taken


def settings(source: Source, kind: type[T], given: Any, where: Where) -> T:
    """The settings of one of the dataclasses in `cells`."""
    if not isinstance(given, dict):
        first = next(iter(plugins.parameters(kind)))
        raise source.error(where, f"expected settings such as {first}, got {given!r}")
    taken = arguments(source, kind, given, where)
    try:
        return kind(**taken)
    except BenchError as error:
        raise source.error((*where, error.argument or ""), str(error)) from None


def augment(source: Source, given: Any, where: Where) -> tuple[Choice, ...]:
    """What is done to training slices: a list of names or `{class_path, init_args}`."""
    if not isinstance(given, list):
        raise source.error(where, f"expected a list of augmentations such as [TimeMask], got {given!r}")
    return tuple(choice(source, "augment", one, (*where, index)) for index, one in enumerate(given))


def robustness(source: Source, dataset: Choice, feature: Feature, given: Any, where: Where) -> tuple[Choice, ...]:
    """Deformations of test songs, as `augment` lists; each of its own name, and possible with the dataset's feature."""
    if not isinstance(given, list):
        raise source.error(where, f"expected a list of deformations such as [Noise, Gain], got {given!r}")
    if given and dataset.build().features:
        raise source.error(where, f"songs have to be heard anew, but {dataset.label} holds ready-made features")
    chosen = tuple(choice(source, "robustness", one, (*where, index)) for index, one in enumerate(given))
    names: list[str] = []
    for index, deformation in enumerate(one.build() for one in chosen):
        try:
            deformation.check(feature.sample_rate)
        except BenchError as error:
            raise source.error((*where, index), str(error)) from None
        if deformation.name in names:
            raise source.error((*where, index), f"{deformation.name} comes twice; give one of them all strengths")
        names.append(deformation.name)
    return chosen


def reproduce(source: Source, given: Any, where: Where, cells: Sequence[Cell]) -> tuple[Published, ...]:
    """Published numbers, each of them of some cell."""
    if not isinstance(given, list):
        raise source.error(where, f"expected a list of published numbers, each with value and source, got {given!r}")
    known = {cls().name for cls in plugins.options(Metric).values()} if given else set()
    found = []
    for index, one in enumerate(given):
        number, place = settings(source, Published, one, (*where, index)), (*where, index)
        if number.metric not in known:
            raise source.error((*place, "metric"), unknown(number.metric, sorted(known)))
        if not any(number.fits(cell.parameters) for cell in cells):
            raise source.error(place, "is of no cell of this experiment; see its dataset, split, model, clip_seconds")
        found.append(number)
    return tuple(found)


def init_from(source: Source, given: Any, where: Where) -> InitFrom | None:
    """Where first weights come from: nothing, a run, or `{run, layers, freeze}`."""
    if given is None:
        return None
    return settings(source, InitFrom, {"run": given} if isinstance(given, str) else given, where)


def search(source: Source, model: Choice, given: Any, where: Where) -> Search | None:
    """A search with the space that it names for the model, or with the model's own; none where neither is."""
    if given is None or hasattr(model.cls, "given_by_data"):
        return None
    if not isinstance(given, dict):
        raise source.error(where, f"expected settings such as n_iter, got {given!r}")
    spaces = given.get("space") or {}
    if not isinstance(spaces, dict):
        raise source.error((*where, "space"), f"expected arguments to try by model, got {spaces!r}")
    chosen = _space(source, model, model.build().space, where)
    for name, space in spaces.items():
        place = (*where, "space", name)
        try:
            named = plugins.find(name, *(_import(path) for path in FAMILIES["model"][1:]))
        except BenchError as error:
            raise source.error(place, str(error)) from None
        mine = model if named is model.cls else Choice(named, arguments(source, named, {}, place))
        checked_space = _space(source, mine, space, place)
        chosen = checked_space if named is model.cls else chosen
    checked_search = settings(source, Search, {**given, "space": dict(chosen)}, where)
    return checked_search if chosen else None


def _space(source: Source, model: Choice, space: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """Checks each value of a search space as an argument of the model."""
    if not isinstance(space, Mapping):
        raise source.error(where, f"expected lists of values by argument, got {space!r}")
    features = model.build().features
    whole: dict[str, Any] = {}
    for name, values in space.items():
        place = (*where, name)
        tried = []
        kind = next(iter(values)) if isinstance(values, Mapping) and values else "list"
        annotation = getattr(plugins.parameters(model.cls).get(name), "annotation", None)
        if kind in ("uniform", "loguniform") and float not in (annotation, *get_args(annotation)):
            raise source.error(place, f"{kind} draws fractions, which {model.label}.{name} does not take")
        for value in _values(source, values, place):
            taken = arguments(source, model.cls, {**model.arguments, name: value}, where)
            try:
                other = model.cls(**taken)
            except BenchError as error:
                raise source.error(place, str(error)) from None
            if features and other.features.key != features.key:
                raise source.error(place, f"{name} changes the features; put it into the grid instead")
            tried.append(taken[name])
        whole[name] = tried if kind == "list" else {kind: tried}
    return whole


def _values(source: Source, values: Any, where: Where) -> list[Any]:
    """The values of a list, or the two ends of a distribution."""
    if isinstance(values, list) and values:
        return values
    if not isinstance(values, Mapping):
        raise source.error(where, f"expected a list of values such as [{values}], got {values!r}")
    if len(values) != 1:
        raise source.error(where, f"expected one of {', '.join(DISTRIBUTIONS)}, or a list, got {dict(values)}")
    ((kind, ends),) = values.items()
    if kind not in DISTRIBUTIONS:
        raise source.error(where, unknown(kind, DISTRIBUTIONS))
    numbers = isinstance(ends, list) and all(isinstance(end, int | float) for end in ends)
    if not (numbers and len(ends) == 2 and ends[0] < ends[1]):
        raise source.error(where, f"expected {kind}: [low, high], got {ends!r}")
    if kind == "loguniform" and not ends[0] > 0:
        raise source.error(where, f"expected loguniform: [low, high] above 0, got {ends!r}")
    return list(ends)


def checked(annotation: Any, value: Any) -> Any:
    """Returns a value as the annotated type, or raises `ValueError` with one line that says what was expected."""
    if annotation is inspect.Parameter.empty:
        return value
    if get_origin(annotation) is type and isinstance(value, str):
        try:
            return plugins.find(value, get_args(annotation)[0])
        except BenchError as error:
            raise ValueError(str(error)) from None
    expected = getattr(annotation, "__name__", str(annotation)) if not get_args(annotation) else str(annotation)
    expected = expected.replace("typing.", "").replace("pathlib.", "")
    if get_origin(annotation) is Literal:
        expected = f"one of {', '.join(map(repr, get_args(annotation)))}"
    if value is None and type(None) not in get_args(annotation):
        raise ValueError(f"expected {expected}, got null")
    if isinstance(value, (bool, str)) and annotation in (int, float):
        raise ValueError(f"expected {expected}, got {value!r}")
    try:
        simple = isinstance(value, (bool, int, float, str))
        return _parsed(annotation, value) if simple else _parsed.__wrapped__(annotation, value)
    except ValueError:
        raise ValueError(f"expected {expected}, got {value!r}") from None


@lru_cache(maxsize=None, typed=True)  # a grid says the same of most of its cells, and a parser takes milliseconds
def _parsed(annotation: Any, value: Any) -> Any:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=annotation)
    try:
        return parser.parse_object({"value": value}).value
    except ArgumentError as error:
        raise ValueError(str(error)) from None


def _import(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(__import__(module, fromlist=[name]), name)
    return found
