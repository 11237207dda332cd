"""What an experiment's YAML says once it is checked: cells of a grid."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal

from crnn_bench.errors import BenchError
from crnn_bench.plugins import Choice


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
class Cell:
    """One point of the grid: all that decides its predictions, besides the audio.

    Attributes:
        clip_seconds: length of a slice; `None` for a model that hears whole songs.
        min_seconds: shorter songs are left out, so that all clip lengths of an experiment test the same songs.
        split_seed, model_seed: what the split and what the classifier draw from.
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

    def describe(self) -> dict[str, Any]:
        """The cell in plain data, defaults included; equal cells have equal descriptions."""
        return {
            field.name: value.describe()
            if isinstance(value, Choice)
            else asdict(value)
            if isinstance(value, Trainer)
            else value
            for field in fields(self)
            for value in [getattr(self, field.name)]
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
