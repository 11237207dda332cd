"""A cell whose data is there: its split proved, its slices and weights at hand, before anything is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import augmenting, classical, networks, searching, slicing, splitting, transfer
from crnn_bench import catalogue as catalogues
from crnn_bench.altered import Altered, Form
from crnn_bench.augmentations import Augmentation
from crnn_bench.augmenting import Augmenter, forms
from crnn_bench.cells import Cell
from crnn_bench.datasets import Dataset
from crnn_bench.deformations import Deformation
from crnn_bench.feature_store import FeatureStore
from crnn_bench.features import Feature
from crnn_bench.networks import Start
from crnn_bench.plugins import digest
from crnn_bench.records import PARTS, Catalogue, Slices, Split
from crnn_bench.seeds import derive
from crnn_bench.splits import file_split, groups

GROUPS = ("album", "artist")


@dataclass(frozen=True)
class Plan:
    """A cell whose data is there: everything that decides its predictions.

    Attributes:
        cell: the point of the grid.
        dataset, feature: built.
        catalogue: the usable tracks.
        split: proved not to leak.
        store: holds the features of every track.
        augmentations: of the training slices, built.
        start: the weights that `init_from` names.
        brought: version of the trained weights that the network itself brings, if any.
        deformations: of the test songs, built.
    """

    cell: Cell
    dataset: Dataset
    feature: Feature
    catalogue: Catalogue
    split: Split
    store: FeatureStore
    augmentations: tuple[Augmentation, ...] = ()
    start: Start | None = None
    brought: str = ""
    deformations: tuple[Deformation, ...] = ()

    @property
    def identity(self) -> str:
        """Hash of the cell, the audio, the split and what it keeps together, the feature, own code and first weights.

        A finished cell of this identity is not run again.
        """
        split = [self.split.table.to_numpy().tolist(), self.split.group, self.split.validation_group]
        weights = (self.start.digest if self.start else "") + self.brought
        heard = [self.feature.key, *(form.key for form in (*forms(self.augmentations), *self.forms))]
        return digest([self.cell.describe(), self.catalogue.digest, split, heard, self.cell.code, weights])

    @property
    def name(self) -> str:
        """Names the cell's files: readable, and unique by its end."""
        clip = "songs" if self.cell.clip_seconds is None else f"{self.cell.clip_seconds:g}s"
        fold = self.cell.split.arguments.get("fold")
        split = self.cell.split.label + ("" if fold is None else f"-fold{fold}")
        model = self.cell.model.label
        if not self.cell.trainer and self.cell.model.build().features is None:
            model += f"-{self.cell.features.label}"
        return f"{model}-{split}-{clip}-seed{self.cell.model_seed}-{self.identity[:8]}"

    def heard(self, group: str) -> tuple[int, int]:
        """How many albums (or artists) of test songs are heard in training, and how many test ones there are.

        0 of 0 where none is known, and for artists where they are the labels.
        """
        table = self.catalogue.table[self.catalogue.table[group] != ""]
        if group == "artist" and (table["artist"] == table["label"]).all():
            return 0, 0
        names = groups(table, group)
        train, test = (set(names[table["track_id"].isin(getattr(self.split, part))]) for part in ("train", "test"))
        return len(test & train), len(test)

    @property
    def words(self) -> str:
        """How many songs are in each part, and how much of the test's production is known."""
        split = self.split
        words = [f"{len(split.train)} songs train, {len(split.validation)} validate, {len(split.test)} test"]
        for group in GROUPS:
            heard, tested = self.heard(group)
            words += [f"{heard} of {tested} test {group}s are heard in training"] if tested else []
        return "; ".join(words)

    @property
    def forms(self) -> list[Form]:
        """In which the test songs are heard, too."""
        return [form for deformation in self.deformations for form in deformation.forms.values()]

    @property
    def unused(self) -> list[str]:
        """Usable tracks that the split puts into no part."""
        return sorted(set(self.catalogue.table["track_id"]) - set(self.split.table["track_id"]))

    def tracks(self, part: str) -> pd.DataFrame:
        """The catalogue's rows of one part."""
        return self.catalogue.table[self.catalogue.table["track_id"].isin(getattr(self.split, part))]

    @property
    def songs(self) -> dict[str, list[Any]]:
        """Of each test song: `track_id, album` (its artist's; blank where it is unknown), `title, path, seconds`."""
        table = self.tracks("test")
        albums = groups(table, "album").where(table["album"] != "", "")
        columns = table[["track_id", "title", "path", "seconds"]]
        return {"album": albums.tolist(), **{name: columns[name].tolist() for name in columns}}

    def told(self, part: str) -> pd.DataFrame:
        """What is known of each song of a part: `track_id, path, label, artist, album, title, seconds`."""
        return self.tracks(part)[["track_id", "path", "label", "artist", "album", "title", "seconds"]]

    @property
    def files(self) -> set[Path]:
        """Of the feature stores that it reads."""
        altered = [Altered(self.feature, form) for form in (*forms(self.augmentations), *self.forms)]
        stores = [FeatureStore(self.store.root, feature) for feature in (self.feature, *altered)]
        heard = self.catalogue.table[self.catalogue.table["track_id"].isin(self.split.table["track_id"])]
        return {file for store in stores for file in store.files(heard)}

    def slices(self, part: str) -> Slices:
        """The slices of one part."""
        tracks = self.tracks(part)
        return self._cut(tracks, self.store.arrays(tracks))

    def deformed(self) -> Iterator[tuple[Deformation, float, Slices]]:
        """The test part's slices in each strength of each deformation; a song that is too short now has none."""
        tracks = self.tracks("test")
        for deformation, strength, store in self._deformed_stores():
            yield deformation, strength, self._cut(tracks, store.copies(tracks))

    def unheard(self) -> Iterator[tuple[Deformation, float, list[str]]]:
        """In each strength of each deformation, the test songs that are shorter than a slice."""
        cell = self.cell
        least = slicing.least_frames(cell.clip_seconds, self.feature.frames_per_second, cell.slice_rule)
        for deformation, strength, store in self._deformed_stores():
            stored = store.lookup(self.tracks("test"))
            yield deformation, strength, stored.loc[stored["n_frames"] < least, "track_id"].tolist()

    def _deformed_stores(self) -> Iterator[tuple[Deformation, float, FeatureStore]]:
        for deformation in self.deformations:
            for strength, form in deformation.forms.items():
                yield deformation, strength, FeatureStore(self.store.root, Altered(self.feature, form))

    def _cut(self, tracks: pd.DataFrame, arrays: Sequence[NDArray[np.floating]]) -> Slices:
        rate, columns = self.feature.frames_per_second, self.feature.columns
        cell = self.cell
        return slicing.cut(tracks, arrays, self.catalogue.classes, rate, cell.clip_seconds, cell.slice_rule, columns)

    def augmenter(self, train: Slices) -> Augmenter | None:
        """What is done to the training slices, if anything."""
        if not self.augmentations:
            return None
        tracks = self.tracks("train")
        stores = {f.key: FeatureStore(self.store.root, Altered(self.feature, f)) for f in forms(self.augmentations)}
        stored = {key: store.arrays(tracks) for key, store in stores.items()}
        seed = derive(self.cell.model_seed, "augmentation")
        return Augmenter(train, stored, self.augmentations, len(self.catalogue.classes), seed)

    def groups(self, slices: Slices) -> NDArray[np.object_]:
        """(slices,) names of what the split keeps together: their track, album or artist."""
        table = self.catalogue.table
        names = dict(zip(table["track_id"], groups(table, self.split.group), strict=True))
        return np.array([names[slices.tracks[track]] for track in slices.track], dtype=object)


def catalogue(cell: Cell, tracks: pd.DataFrame, root: Path) -> Catalogue:
    """The tracks that a cell can use; the same for all cells of equal dataset, features and lengths.

    Args:
        cell: to be run.
        tracks: the dataset's listing; every track's features are stored.
        root: of the feature stores.

    Raises:
        BenchError: too few labels.
    """
    feature = cell.features.build()
    least = slicing.least_frames(cell.clip_seconds, feature.frames_per_second, cell.slice_rule)
    return catalogues.build(tracks, FeatureStore(root, feature).lookup(tracks), cell.min_seconds, least)


def plan(cell: Cell, usable: Catalogue, root: Path) -> Plan:
    """Lays out a cell: what decides its predictions, and so its identity.

    Args:
        cell: to be run.
        usable: its catalogue.
        root: of the feature stores.

    Raises:
        BenchError: an impossible split, or first weights that cannot be had.
    """
    dataset, feature = cell.dataset.build(), cell.features.build()
    split = splitting.split(usable, cell.split.build(), cell.split_seed, cell.quirks.listing_order)
    augmentations = tuple(choice.build() for choice in cell.augment)
    augmenting.check(augmentations, feature)
    start, brought = transfer.start_of(cell, feature), networks.version(cell.model) if cell.trainer else ""
    deformations = tuple(choice.build() for choice in cell.robustness)
    store = FeatureStore(root, feature)
    return Plan(cell, dataset, feature, usable, split, store, augmentations, start, brought, deformations)


def check(planned: Plan) -> None:
    """Makes sure that a cell can be run, before anything is trained.

    Raises:
        BenchError: a slice too short for the network, first weights that know test songs, too few songs to search on.
    """
    cell, usable = planned.cell, planned.catalogue
    if cell.trainer:
        from crnn_bench import parallel

        parallel.check(cell.trainer.devices)
        transfer.refuse_heard(planned.start, planned.tracks("test"))
        networks.check(cell.model, planned.slices("test"), len(usable.classes), planned.start)
        planned.augmenter(planned.slices("train"))
    else:
        classical.check(cell.model)
    if cell.search:
        trained = planned.tracks("train")
        searching.check(trained["label"], groups(trained, planned.split.group), planned.split.group)


def write_split(planned: Plan, path: Path) -> None:
    """Writes a plan's split as a frozen CSV, with its strategy, seed and checksum."""
    columns = ["track_id", "label", "artist", "album"]
    parts = planned.catalogue.table[columns].merge(planned.split.table, on="track_id", how="inner")
    chosen = f"{planned.cell.split.label} {planned.cell.split.describe()['init_args']}"
    counts = ", ".join(f"{len(getattr(planned.split, part))} {part}" for part in PARTS)
    comments = [f"{chosen}, seed {planned.cell.split_seed}", f"{planned.dataset.name}: {counts}"]
    file_split.write(path, parts, comments, (planned.split.group, planned.split.validation_group))
