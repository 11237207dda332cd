"""Tracks → slices, an index into the store."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from crnn_bench.records import Slices

if TYPE_CHECKING:
    import pandas as pd


def slice_frames(clip_seconds: float, frames_per_second: float) -> int:
    """Frames of a slice: the least number that covers `clip_seconds` (3 s at 31.25 frames a second: 94)."""
    return math.ceil(clip_seconds * frames_per_second - 1e-6)


def least_frames(clip_seconds: float | None, frames_per_second: float, rule: Literal["full", "legacy"]) -> int:
    """Frames of the shortest song that gives a slice."""
    if clip_seconds is None:
        return 1
    return slice_frames(clip_seconds, frames_per_second) * (2 if rule == "legacy" else 1)


def cut(
    tracks: "pd.DataFrame | Mapping[str, Sequence[str]]",
    arrays: Sequence[NDArray[np.floating]],
    classes: Sequence[str],
    frames_per_second: float,
    clip_seconds: float | None,
    rule: Literal["full", "legacy"] = "full",
    columns: tuple[str, ...] = (),
) -> Slices:
    """Cuts tracks into slices that do not overlap; the remainder is dropped.

    Args:
        tracks: rows of the catalogue; their `track_id, label`.
        arrays: their features, each (frames, bins).
        classes: the catalogue's class order.
        frames_per_second: of the features.
        clip_seconds: length of a slice; `None` makes each whole track one slice.
        rule: `full` gives all floor(frames / length) whole slices; `legacy` drops the last of them, as the released
            code of Nasrullah & Zhao (2019) does.
        columns: what the bins are called.
    """
    frames = np.array([len(array) for array in arrays], dtype=np.int64)
    length = frames if clip_seconds is None else np.full_like(frames, slice_frames(clip_seconds, frames_per_second))
    count = frames // np.maximum(length, 1) - (rule == "legacy" and clip_seconds is not None)
    count = np.maximum(count, 0)
    track = np.repeat(np.arange(len(frames)), count)
    within = np.arange(len(track)) - np.repeat(np.cumsum(count) - count, count)
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[label] for label in tracks["label"]], dtype=np.int64)
    return Slices(
        tracks=tuple(tracks["track_id"]),
        arrays=list(arrays),
        track=track,
        start=within * length[track],
        length=length[track],
        label=labels[track],
        frames_per_second=frames_per_second,
        columns=columns,
    )
