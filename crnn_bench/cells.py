"""What an experiment's YAML says once it is checked: cells of a grid."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal

from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice, digest


@dataclass(frozen=True)
class Trainer:
    """How networks are trained; defaults are the paper's, but the learning rate's source is unknown (1e-4 or 1e-3).

    Attributes:
        max_epochs: at most so many passes over the training slices.
        patience: stop after so many epochs without a lower validation loss.
        batch_size: slices a step.
        learning_rate: Adam's.
        precision: `auto` (the fastest of the formats that a short trial on this machine finds), `bf16` or `fp32`.
        num_workers: loader processes; 0 reads in the training process, which is fastest from a local disk.
    """

    max_epochs: int = 200
    patience: int = 10
    batch_size: int = 16
    learning_rate: float = 1e-3
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    num_workers: int = 0

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:  # nor NaN
                raise BenchError(f"must be above 0, got {getattr(self, name)}", name)
        if self.num_workers < 0:
            raise BenchError(f"must be at least 0, got {self.num_workers}", "num_workers")


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
class Cell:
    """One point of the grid: all that decides its predictions, besides the audio.

    Attributes:
        clip_seconds: length of a slice; `None` where whole songs are heard.
        min_seconds: shorter songs are left out, so that all clip lengths of an experiment test the same songs.
        split_seed, model_seed: what the split and what the classifier draw from.
        trainer: of a network; `None` for a baseline.
        search: of a baseline's arguments, if at all.
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

    def describe(self) -> dict[str, Any]:
        """The cell in plain data, defaults included; equal cells have equal descriptions."""
        return {
            part.name: value.describe()
            if isinstance(value, Choice)
            else asdict(value)
            if is_dataclass(value) and not isinstance(value, type)
            else value
            for part in fields(self)
            for value in [getattr(self, part.name)]
        }

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
        return flat


@dataclass(frozen=True)
class Experiment:
    """A question, as a grid of cells.

    Attributes:
        name: of the experiment, in MLflow too.
        cells: every combination of the grid, in its order, none twice.
        text: the YAML it came from, for the record.
        overrides: the `KEY=VALUE`s that changed it.
    """

    name: str
    cells: tuple[Cell, ...]
    text: str
    overrides: tuple[str, ...]
