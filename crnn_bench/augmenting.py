"""Training slices as augmentations make them, each seeded by slice and epoch."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form
from crnn_bench.augmentations import Arrays, Augmentation, Example, Training
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.records import Slices


def forms(augmentations: Sequence[Augmentation]) -> tuple[Form, ...]:
    """The altered forms of the songs that have to be stored, each once."""
    return tuple(dict.fromkeys(chain.from_iterable(augmentation.forms for augmentation in augmentations)))


def check(augmentations: Sequence[Augmentation], feature: Feature) -> None:
    """Refuses what cannot work together.

    Raises:
        BenchError: an augmentation needs decibels, or would undo the changes of the one before it.
    """
    before = ""
    for augmentation in augmentations:
        name = type(augmentation).__name__
        if augmentation.needs_decibels and not feature.decibels:
            features = type(feature).__name__
            raise BenchError(f"{name} needs decibels, which {features} does not give; use LogMel, Stft or Cqt instead")
        if augmentation.replaces and before:
            raise BenchError(f"{name} replaces the frames that {before} changed; put {name} before {before}")
        if type(augmentation).change is not Augmentation.change:
            before = before or name


class Augmenter:
    """Makes the example of a slice in an epoch, whatever the batch, the order and the process.

    Args:
        train: the training slices, all of one length.
        stored: by form's key, the features of the altered songs, one array a track of `train.tracks`.
        augmentations: in the order of the YAML.
        n_classes: of the experiment.
        seed: of all draws.

    Raises:
        BenchError: no song's form is as long as a slice, so that an alteration would do nothing.
    """

    def __init__(
        self,
        train: Slices,
        stored: Mapping[str, Arrays],
        augmentations: Sequence[Augmentation],
        n_classes: int,
        seed: int,
    ) -> None:
        self.training = Training(train, stored, n_classes)
        for key, songs in stored.items():
            longest, least = max(map(len, songs)), self.training.length
            if longest < least:
                what = f"no song altered by {key.rpartition('-')[0]} is as long as a slice of {least} frames"
                raise BenchError(f"augment: {what} (the longest has {longest}); shorten the slices, or alter less")
        self.augmentations = tuple(augmentations)
        self.seed = seed

    def __call__(self, epoch: int, item: int) -> Example:
        """A slice as it is in an epoch."""
        rng = np.random.default_rng([self.seed, epoch, item])
        training = self.training
        place, label = training.place(item), int(training.slices.label[item])
        for augmentation in self.augmentations:
            place = augmentation.move(place, training, rng)
        example = Example(training.cut(place), training.target(label), label, place)
        for augmentation in self.augmentations:
            example = augmentation.change(example, training, rng)
        return example

    def batch(self, pairs: Sequence[tuple[int, int]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Slices (batch, length, bins) and targets (batch, classes) of pairs of epoch and slice."""
        examples = [self(epoch, item) for epoch, item in pairs]
        return np.stack([each.frames for each in examples]), np.stack([each.target for each in examples])
