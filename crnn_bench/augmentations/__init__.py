"""Augmentations: one file each; an augmentation changes where a training slice is cut, or what was cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.plugins import refuse_outside
from crnn_bench.records import Slices

Arrays = Sequence[NDArray[np.floating]]


@dataclass(frozen=True)
class Place:
    """Where a slice is cut.

    Attributes:
        form: key of an altered form of the song; `None` for the song as it is.
        track: its position in the training slices' tracks.
        start: first frame.
    """

    form: str | None
    track: int
    start: int


@dataclass(frozen=True)
class Example:
    """What a network sees of a slice.

    Attributes:
        frames: (length, bins), decibels or whatever the feature gives; a copy, free to be written into.
        target: (classes,) non-negative, of sum 1.
        label: class number of the slice before any mixing.
        place: where it was cut.
    """

    frames: NDArray[np.float32]
    target: NDArray[np.float32]
    label: int
    place: Place


@dataclass(frozen=True)
class Training:
    """All that an augmentation may draw from: the training part alone.

    Attributes:
        slices: of training, all of one length.
        forms: by form's key, the altered songs' features, one array a track of `slices.tracks`, of any length.
        n_classes: of the experiment.
    """

    slices: Slices
    forms: Mapping[str, Arrays]
    n_classes: int

    @cached_property
    def length(self) -> int:
        """Frames of a slice."""
        return int(self.slices.length[0])

    @cached_property
    def of_other_labels(self) -> Mapping[int, NDArray[np.int64]]:
        """By class number, the slices of all the other classes."""
        labels = self.slices.label
        return {int(label): np.flatnonzero(labels != label) for label in np.unique(labels)}

    def place(self, item: int) -> Place:
        """Where a slice of the fixed grid lies."""
        return Place(None, int(self.slices.track[item]), int(self.slices.start[item]))

    def song(self, place: Place) -> NDArray[np.floating]:
        """The whole song around a place, (frames, bins), in the place's form; a view of the store."""
        arrays = self.slices.arrays if place.form is None else self.forms[place.form]
        return arrays[place.track]

    def moved(self, place: Place, form: str) -> Place:
        """The same moment in another form of the song; the place itself where that form is shorter than a slice."""
        before, after = len(self.song(place)), len(self.song(replace(place, form=form)))
        if after < self.length:
            return place
        return Place(form, place.track, min(round(place.start * after / before), after - self.length))

    def cut(self, place: Place) -> NDArray[np.float32]:
        """The slice at a place, a copy of shape (length, bins)."""
        return self.song(place)[place.start : place.start + self.length].astype(np.float32)

    def target(self, label: int) -> NDArray[np.float32]:
        """(classes,) 1 for the label and 0 for the others."""
        target = np.zeros(self.n_classes, dtype=np.float32)
        target[label] = 1
        return target


class Augmentation:
    """Changes training slices, anew in each epoch; a subclass overrides `move` or `change`.

    All places are moved first, then the slices are cut, then all are changed, in the order of the YAML. Every draw
    comes from `rng`, which is seeded by slice and epoch.

    Attributes:
        forms: altered forms of the songs that have to be stored.
        needs_decibels: whether the frames have to be decibels.
        replaces: whether `change` cuts other frames in place of the given ones, so that no change may come before.
    """

    forms: tuple[Form, ...] = ()
    needs_decibels: bool = False
    replaces: bool = False

    def move(self, place: Place, training: Training, rng: np.random.Generator) -> Place:
        """Returns where to cut the slice instead; a whole slice has to fit there."""
        return place

    def change(self, example: Example, training: Training, rng: np.random.Generator) -> Example:
        """Returns another example of the same shape; may write into this one's frames."""
        return example


class Alteration(Augmentation):
    """With a probability a slice comes from an altered form of its song, one of `forms` at random, at the same moment.

    Of several alterations in one experiment each draws in turn, and a later one's form takes the place of an earlier
    one's. A song whose form is shorter than a slice stays as it is.
    """

    probability: float

    def __init__(self, probability: float, forms: tuple[Form, ...]) -> None:
        self.probability = probability
        self.forms = forms
        refuse_outside(self, "probability", 0, 1)

    def move(self, place: Place, training: Training, rng: np.random.Generator) -> Place:
        """Moves into the form that is drawn."""
        if rng.random() >= self.probability:
            return place
        return training.moved(place, self.forms[rng.integers(len(self.forms))].key)
