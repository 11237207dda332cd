"""What an experiment's YAML says once it is checked: cells of a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal

from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice, digest, plain
from crnn_bench.schedules import Schedule
from crnn_bench.schedules.constant import Constant


@dataclass(frozen=True)
class Trainer:
    """How networks are trained; defaults are the paper's, but the learning rate's source is unknown (1e-4 or 1e-3).

    Attributes:
        max_epochs: at most so many passes over the training slices.
        patience: stop after so many epochs without a lower validation loss.
        batch_size: slices a step.
        learning_rate: Adam's (PyTorch's epsilon, 1e-8; Keras's is 1e-7).
        schedule: `constant`, `cosine`, `plateau`, or a class path of your own: the learning rate over the training.
        warmup_epochs: over which the rate rises from 0 before that.
        precision: `auto` (the fastest of the formats that a short trial on this machine finds), `bf16` or `fp32`.
        num_workers: loader processes, of features on disk; 0 reads in the training process, which is fastest from a
            local disk.
        residency: where the features live while training: `device`, `ram`, `disk`, or `auto` (the nearest to the device
            in whose free memory they take no more than a quarter); changes no prediction.
        devices: that share each batch; on a machine without accelerators, processes.
    """

    max_epochs: int = 200
    patience: int = 10
    batch_size: int = 16
    learning_rate: float = 1e-3
    schedule: type[Schedule] = Constant
    warmup_epochs: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    num_workers: int = 0
    residency: Literal["auto", "device", "ram", "disk"] = field(
        default="auto", metadata={"unsaid": ("auto", "device", "ram", "disk")}
    )
    devices: int = field(default=1, metadata={"unsaid": (1,)})

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience", "batch_size", "learning_rate", "devices"):
            if not getattr(self, name) > 0:  # nor NaN
                raise BenchError(f"must be above 0, got {getattr(self, name)}", name)
        for name in ("num_workers", "warmup_epochs"):
            if getattr(self, name) < 0:
                raise BenchError(f"must be at least 0, got {getattr(self, name)}", name)
        if self.warmup_epochs >= self.max_epochs:
            raise BenchError(f"must be below max_epochs, {self.max_epochs}, got {self.warmup_epochs}", "warmup_epochs")


@dataclass(frozen=True)
class Search:
    """A random search for a baseline's arguments, on training songs alone.

    Attributes:
        n_iter: arguments drawn; the ones that the YAML gives are tried first, besides.
        folds: of the cross-validation, stratified by label; what the split keeps together lies in one fold.
        space: by argument, a list of values or a distribution, as `Baseline.space`.
    """

    n_iter: int = 20
    folds: int = 5
    space: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("n_iter", 1), ("folds", 2)):
            if getattr(self, name) < least:
                raise BenchError(f"must be at least {least}, got {getattr(self, name)}", name)

    def __hash__(self) -> int:
        return hash(digest(asdict(self)))


@dataclass(frozen=True)
class InitFrom:
    """Where a network's first weights come from, if not from chance.

    Attributes:
        run: a results folder (of the same model, its cell of the same seed, or else the one with the lowest validation
            loss), or a file of its `models/`.
        layers: which are carried over, by their names in the network: `conv`, `conv.0` …; all but the head by default.
        freeze: whether these learn no more.
    """

    run: str
    layers: tuple[str, ...] = ()
    freeze: bool = False


@dataclass(frozen=True)
class Quirks:
    """Faults of the released code of Nasrullah & Zhao (2019), to be reproduced one by one; the clean protocol has none.

    Attributes:
        merge_same_names: songs whose files are named alike are one song, whose label is its first slice's.
        warm_start: training starts from what an earlier cell of the folder, of any split, has trained: weights that may
            have heard the test songs.
        unseeded: weights, batches and dropout are drawn anew in every run.
        listing_order: the split sees folders and files in the order in which the disk lists them.
    """

    merge_same_names: bool = False
    warm_start: bool = False
    unseeded: bool = False
    listing_order: bool = False


@dataclass(frozen=True)
class Cell:
    """One point of the grid: all that decides its predictions, besides the audio.

    Attributes:
        clip_seconds: length of a slice; `None` where whole songs are heard.
        min_seconds: shorter songs are left out, so that all clip lengths of an experiment test the same songs.
        split_seed, model_seed: what the split and what the classifier draw from.
        trainer: of a network; `None` for a baseline.
        search: of a baseline's arguments, if at all.
        augment: what is done to a network's training slices, in this order.
        init_from: where a network's first weights come from, if not from chance.
        quirks: faults to be reproduced.
        robustness: deformations in which the trained model hears the test songs, too; nothing else ever hears them.
    """

    dataset: Choice
    features: Choice
    split: Choice
    clip_seconds: float | None
    min_seconds: float
    slice_rule: Literal["full", "legacy"]
    model: Choice
    split_seed: int
    model_seed: int
    trainer: Trainer | None
    search: Search | None = None
    augment: tuple[Choice, ...] = ()
    init_from: InitFrom | None = None
    quirks: Quirks = Quirks()
    robustness: tuple[Choice, ...] = field(default=(), metadata={"unsaid": ((),)})

    @property
    def code(self) -> list[list[str]]:
        """Hashes of the user's own files that it runs."""
        schedule = [Choice(self.trainer.schedule)] if self.trainer else []
        choices = [self.dataset, self.features, self.split, self.model, *schedule, *self.augment, *self.robustness]
        return [choice.code for choice in choices]

    def describe(self) -> dict[str, Any]:
        """The cell in plain data, defaults included; equal cells have equal descriptions."""
        return _fields(self)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The same, flat by dotted names, as tables and MLflow show it."""
        flat: dict[str, Any] = {}
        for key, value in self.describe().items():
            if isinstance(getattr(self, key), Choice):
                flat[key] = getattr(self, key).label
                flat |= {f"{key}.{name}": argument for name, argument in value["init_args"].items()}
            elif isinstance(value, Mapping):
                flat |= {f"{key}.{name}": argument for name, argument in value.items()}
            else:
                flat[key] = value
        flat["augment"] = "none"
        for key in ("augment", "robustness"):
            flat |= _listed(key, getattr(self, key))
        if self.init_from:
            flat["init_from"] = flat.pop("init_from.run")
        return flat


def _listed(key: str, choices: Sequence[Choice]) -> dict[str, Any]:
    """Several choices of one key: their names, and their arguments by dotted names; nothing of none."""
    labels = [choice.label for choice in choices]
    flat: dict[str, Any] = {key: ", ".join(labels)} if labels else {}
    for place, choice in enumerate(choices):
        times = labels[: place + 1].count(choice.label)
        name = f"{key}.{choice.label}" + (f" {times}" if times > 1 else "")
        flat |= {f"{name}.{argument}": plain(value) for argument, value in choice.arguments.items()}
    return flat


def _described(value: Any) -> Any:
    if isinstance(value, Choice):
        return value.describe()
    if isinstance(value, tuple):
        return [_described(one) for one in value]
    return _fields(value) if is_dataclass(value) and not isinstance(value, type) else plain(value)


def _fields(record: Any) -> dict[str, Any]:
    """A record's fields, less those whose values say nothing: then it is what it was before there was the field."""
    said = {part.name: getattr(record, part.name) for part in fields(record)}
    unsaid = {part.name: part.metadata.get("unsaid", ()) for part in fields(record)}
    return {name: _described(value) for name, value in said.items() if value not in unsaid[name]}


@dataclass(frozen=True)
class Published:
    """A number that somebody has published, and of which cells it is; an empty field fits all of them.

    Attributes:
        value: the number.
        source: where it stands.
        tolerance: how far from it a repetition may lie; `None` where that is not known.
        dataset, subset, split, features, model: of the cells, `A|B` for either.
        clip_seconds: of the cells; `song` for those that hear whole songs.
        part, level, metric: what was scored, and how.
    """

    value: float
    source: str
    tolerance: float | None = None
    dataset: str = ""
    subset: str = ""
    split: str = ""
    features: str = ""
    model: str = ""
    clip_seconds: float | Literal["song"] | None = None
    part: Literal["validation", "test"] = "test"
    level: Literal["slice", "song"] = "song"
    metric: str = "f1"

    def fits(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it is of a cell with these parameters."""
        names = {name: name for name in ("dataset", "split", "features", "model")} | {"subset": "dataset.subset"}
        for field_name, name in names.items():
            wanted = getattr(self, field_name)
            if wanted and str(parameters.get(name)) not in wanted.split("|"):
                return False
        clip = "song" if parameters["clip_seconds"] is None else parameters["clip_seconds"]
        return self.clip_seconds in (None, clip) and (self.level, clip) != ("slice", "song")

    def verdict(self, ours: float) -> str:
        """`within`, `above` or `below` its tolerance; nothing where that is not known."""
        if self.tolerance is None:
            return ""
        return "within" if abs(ours - self.value) <= self.tolerance else "above" if ours > self.value else "below"


@dataclass(frozen=True)
class Experiment:
    """A question, as a grid of cells.

    Attributes:
        name: of the experiment, in MLflow too.
        cells: every combination of the grid, in its order, none twice.
        text: the YAML it came from, for the record.
        overrides: the `KEY=VALUE`s that changed it.
        path: of the YAML, as it was given.
        reproduce: what is to be reproduced, besides what the package knows to be published.
    """

    name: str
    cells: tuple[Cell, ...]
    text: str
    overrides: tuple[str, ...]
    path: str = ""
    reproduce: tuple[Published, ...] = ()
