"""What the steps hand to each other: frozen tables that check themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crnn_bench.errors import BenchError
from crnn_bench.plugins import digest

if TYPE_CHECKING:  # hearing a song needs no tables, which take a third of a second to import
    import pandas as pd

PARTS = ("train", "validation", "test")
TRACK_COLUMNS = ("track_id", "path", "label", "artist", "album", "title", "fingerprint")


@dataclass(frozen=True)
class Catalogue:
    """The usable tracks of a dataset, sorted by `track_id`, and the ones left out.

    Attributes:
        table: one row a track: `track_id, path, label, artist, album, title, fingerprint, official, seconds, content`.
        rejected: `track_id, reason, seconds` (0 where the audio is unusable) of every track left out.
    """

    table: "pd.DataFrame"
    rejected: "pd.DataFrame"

    def __post_init__(self) -> None:
        if not self.table["track_id"].is_unique or not self.table["track_id"].is_monotonic_increasing:
            raise ValueError("a catalogue needs unique, sorted track ids")
        if len(self.classes) < 2:
            raise BenchError(
                f"a classification needs at least 2 labels, but the usable tracks have {len(self.classes)} "
                f"({', '.join(self.classes) or 'no usable track at all'}; {len(self.rejected)} rejected)"
                + "".join(f"; {row.track_id}: {row.reason}" for row in self.rejected.head(3).itertuples())
            )

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels in the one order that every later step uses."""
        return tuple(sorted(self.table["label"].unique()))

    @property
    def left_out_here(self) -> dict[str, str]:
        """Those of the rejected tracks whose audio is fine, but not for this catalogue: too short, or listed twice."""
        mine = self.rejected[self.rejected["seconds"] > 0]
        return dict(zip(mine["track_id"], mine["reason"], strict=True))

    @cached_property
    def digest(self) -> str:
        """Hash of which tracks there are, how they are labelled, and what they sound like."""
        return digest(self.table[["track_id", "label", "artist", "album", "content"]].to_numpy().tolist())


@dataclass(frozen=True)
class Split:
    """Which track is in which part; nothing is in two.

    Attributes:
        train, validation, test: sorted track ids.
        group, validation_group: what is proved to lie on one side, as `SplitStrategy` says.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    group: str = "track_id"
    validation_group: str = "track_id"

    def __post_init__(self) -> None:
        for part in PARTS:
            if not getattr(self, part):
                raise BenchError(f"the split leaves no track for {part}")
        everything = self.train + self.validation + self.test
        if len(set(everything)) != len(everything):
            twice = sorted({track for track in everything if everything.count(track) > 1})
            raise BenchError(f"the split leaks: {twice[0]} is in more than one part ({len(twice)} such tracks)")

    @cached_property
    def table(self) -> "pd.DataFrame":
        """The same as a table with the columns `track_id, part`, sorted by track."""
        import pandas as pd

        rows = [(track, part) for part in PARTS for track in getattr(self, part)]
        return pd.DataFrame(rows, columns=["track_id", "part"]).sort_values("track_id", ignore_index=True)


@dataclass(frozen=True)
class Slices:
    """An index into stored features: which frames of which track. Holds views of the store, never copies.

    Attributes:
        tracks: track ids, one an array.
        arrays: the tracks' features, each of shape (frames, bins), memory-mapped.
        track: (n,) position of each slice's track in `tracks`.
        start: (n,) first frame of each slice.
        length: (n,) number of frames of each slice.
        label: (n,) class number of each slice.
        frames_per_second: of the features.
        columns: what their bins are called.
    """

    tracks: tuple[str, ...]
    arrays: Sequence[NDArray[np.floating]]
    track: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    label: NDArray[np.int64]
    frames_per_second: float
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.track)

    def __getitem__(self, item: int) -> NDArray[np.floating]:
        """One slice, a view of shape (length, bins)."""
        start = self.start[item]
        frames: NDArray[np.floating] = self.arrays[self.track[item]][start : start + self.length[item]]
        return frames

    def frames(self) -> Iterator[NDArray[np.float32]]:
        """Each slice in turn, a copy of shape (length, bins).

        Raises:
            BenchError: a value is NaN or infinite; names its track and column.
        """
        for item in range(len(self)):
            frames = self[item].astype(np.float32)
            if not np.isfinite(frames).all():
                column = int(np.argwhere(~np.isfinite(frames))[0, 1])
                name = self.columns[column] if self.columns else f"column {column}"
                track = self.tracks[self.track[item]]
                raise BenchError(f"{track}: {name} is NaN or infinite; mend the feature, or leave the track out")
            yield frames

    def batch(self, items: Sequence[int] | NDArray[np.int64]) -> NDArray[np.floating]:
        """Gathers slices of one length into a batch of shape (len(items), length, bins)."""
        return np.stack([self[item] for item in items])

    @property
    def n_bins(self) -> int:
        """Number of bins (coefficients) of each frame."""
        return int(self.arrays[0].shape[1])


@dataclass(frozen=True)
class Predictions:
    """What a classifier said of each slice; all that the evaluation ever sees.

    Attributes:
        table: one row a slice: `part, track_id, start_seconds, seconds, truth` and a probability column
            `p_<label>` for each class, in the catalogue's class order.
        classes: that order.
    """

    table: "pd.DataFrame"
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        probabilities = self.probabilities
        if not np.isfinite(probabilities).all():
            raise BenchError("a classifier returned NaN or infinite probabilities; lower the learning rate?")
        if len(probabilities) and (probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-3):
            raise BenchError("a classifier's probabilities must be non-negative and sum to 1")

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(slices, classes)."""
        columns = [f"p_{label}" for label in self.classes]
        values: NDArray[np.float64] = self.table[columns].to_numpy(dtype=np.float64)
        return values

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """(slices,) true class numbers."""
        import pandas as pd

        return np.asarray(pd.Categorical(self.table["truth"], categories=list(self.classes)).codes, dtype=np.int64)

    def of(self, part: str) -> "Predictions":
        """The predictions of one part alone."""
        return Predictions(self.table[self.table["part"] == part].reset_index(drop=True), self.classes)

    def merged_by_file_name(self) -> "Predictions":
        """The same with a file's name in the place of a track's id: songs named alike become one.

        The released code of Nasrullah & Zhao (2019) does so; such a song's label is that of its first slice.
        """
        names = [PurePath(track).name for track in self.table["track_id"]]
        return Predictions(self.table.assign(track_id=names), self.classes)

    @classmethod
    def from_slices(
        cls, slices: Slices, probabilities: NDArray[np.floating], classes: tuple[str, ...], part: str
    ) -> "Predictions":
        """Joins slices and their probabilities, shape (slices, classes), to a table."""
        import pandas as pd

        table = pd.DataFrame(
            {
                "part": part,
                "track_id": np.asarray(slices.tracks, dtype=object)[slices.track],
                "start_seconds": slices.start / slices.frames_per_second,
                "seconds": slices.length / slices.frames_per_second,
                "truth": np.asarray(classes, dtype=object)[slices.label],
            }
        )
        columns = {f"p_{label}": probabilities[:, index] for index, label in enumerate(classes)}
        return cls(pd.concat([table, pd.DataFrame(columns)], axis=1), classes)

    @classmethod
    def joined(cls, several: "Sequence[Predictions]") -> "Predictions":
        """Several tables of the same classes as one: parts of a cell, or folds that are scored together."""
        import pandas as pd

        if len({some.classes for some in several}) != 1:
            raise ValueError("only predictions of the same classes can be joined")
        return cls(pd.concat([some.table for some in several], ignore_index=True), several[0].classes)
