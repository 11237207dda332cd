"""The features of an experiment's datasets, extracted where they are missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crnn_bench import catalogue, feature_store
from crnn_bench.cells import Experiment
from crnn_bench.feature_store import Faults
from crnn_bench.plugins import Choice
from crnn_bench.terminal import follow, say


@dataclass(frozen=True)
class Prepared:
    """The listings of an experiment's datasets, whose features are stored in `root`, and how fast that went."""

    listings: Mapping[Choice, pd.DataFrame]
    speed: Mapping[Choice, Mapping[str, float]]
    root: Path


def listings(work: Experiment) -> dict[Choice, pd.DataFrame]:
    """Lists the tracks of an experiment's datasets."""
    return {chosen: catalogue.listing(chosen.build()) for chosen in dict.fromkeys(cell.dataset for cell in work.cells)}


def prepare(work: Experiment, listed: Mapping[Choice, pd.DataFrame], workers: int | None = None) -> Prepared:
    """Extracts what is missing of every feature that a cell of the experiment needs.

    Args:
        work: the experiment.
        listed: its datasets' tracks.
        workers: processes; one a usable core without it.
    """
    root = feature_store.default_root()
    speed: dict[Choice, dict[str, float]] = {}
    for chosen, tracks in listed.items():
        dataset = chosen.build()
        if tracks.attrs.get("remark"):
            say(f"{dataset.name}: {tracks.attrs['remark']}")
        features = [choice.build() for choice in dict.fromkeys(c.features for c in work.cells if c.dataset == chosen)]
        names = " and ".join(type(feature).__name__ for feature in features)
        todo = feature_store.missing(root, tracks, features)
        faults: Faults = {}
        if todo:
            few = 1 if dataset.features else workers  # the table is read already, in this process
            steps = feature_store.extract(dataset, tracks, features, root, few)
            seconds, faults = follow(dataset.name, len(todo), steps)
            rate = len(todo) / seconds
            speed[chosen] = {"extract_seconds": seconds, "extract_tracks_per_second": rate}
            say(f"{dataset.name}: {names} of {len(todo)} tracks extracted in {seconds:.1f} s, {rate:.1f} tracks/s")
        else:
            say(f"{dataset.name}: {names} of {tracks['track_id'].nunique()} tracks are stored")
        found = feature_store.FeatureStore(root, features[0]).lookup(tracks)
        stored = found.loc[found["reason"] != "", ["track_id", "reason"]].to_numpy().tolist()
        tell_rejected(faults | dict(stored))
    return Prepared(listed, speed, root)


def tell_rejected(reasons: Mapping[str, str]) -> None:
    """Says which tracks are left out, and why."""
    for track, reason in sorted(reasons.items()):
        say(f"left out: {track}: {reason}")
    if len(reasons) > 1:
        say(f"{len(reasons)} tracks are left out")
