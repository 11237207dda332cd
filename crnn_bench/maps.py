"""A network's bottleneck vectors → its songs as points in two planes, each with its name."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench.blocks import Map, Point
from crnn_bench.results import Result

MOST_SONGS = 2000  # more take minutes
PERPLEXITY = 30.0  # scikit-learn's default; fewer where there are few songs
LEAST_SONGS = 4
OUTLINES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.5-3.5h7v7h-7z",
    "M0-4.5L4.3 3.5H-4.3z",
    "M0-5L4.2 0 0 5-4.2 0z",
    "M0 4.5L-4.3-3.5H4.3z",
    "M-1.6-4.5h3.2v2.9h2.9v3.2h-2.9v2.9h-3.2v-2.9h-2.9v-3.2h2.9z",
    "M-4.4-2.6L-2.6-4.4 0-1.8 2.6-4.4 4.4-2.6 1.8 0 4.4 2.6 2.6 4.4 0 1.8-2.6 4.4-4.4 2.6-1.8 0z",
    "M0-5L1.3-1.8 4.8-1.5 2.1.7 2.9 4 0 2.2-2.9 4-2.1.7-4.8-1.5-1.3-1.8z",
)
"""SVG paths, some 8 units wide, of the figures' markers in their order."""


def of_cell(cell: Result, names: Mapping[str, str], label: str) -> list[Map]:
    """t-SNE and PCA of the songs' mean vectors; nothing for a classical model.

    Args:
        cell: with its embeddings.
        names: by track id, what a point is called; its id without it.
        label: of the network.
    """
    if cell.embeddings is None:
        return []
    songs = _means(cell.embeddings)
    if len(songs) < LEAST_SONGS:
        return []
    vectors = songs.filter(regex=r"^e\d+$").to_numpy(np.float64)
    parts, classes = songs["part"].value_counts(), cell.predictions.classes
    counts = ", ".join(f"{parts[part]} {part}" for part in ("train", "validation", "test") if part in parts)
    planar, explained = _principal(vectors)
    planes = (
        (f"{label}: t-SNE", _neighbours(vectors)),
        (f"{label}: PCA ({explained:.0%} of the variance)", planar),
    )
    return [_map(heading, points, songs, names, classes, counts) for heading, points in planes]


def _means(embeddings: pd.DataFrame) -> pd.DataFrame:
    """One row a song, test songs last: `track_id, part, label, e0 …`."""
    vectors = embeddings.drop(columns=["part", "label"]).groupby("track_id", sort=True).mean()
    about = embeddings.groupby("track_id", sort=True)[["part", "label"]].first()
    songs = about.join(vectors).reset_index()
    chosen = np.sort(np.random.default_rng(0).permutation(len(songs))[:MOST_SONGS])
    songs = songs.iloc[chosen]
    return songs.sort_values("part", key=lambda part: part == "test", kind="stable", ignore_index=True)


def _principal(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(songs, 2) on the two principal components, and their share of the variance."""
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    total = float((sizes**2).sum())
    return left[:, :2] * sizes[:2], float((sizes[:2] ** 2).sum()) / total if total else 0.0


def _neighbours(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    points: NDArray[np.float64] = TSNE(perplexity=perplexity, random_state=0).fit_transform(vectors.astype(np.float32))
    return points


def _map(
    heading: str,
    points: NDArray[np.float64],
    songs: pd.DataFrame,
    names: Mapping[str, str],
    classes: Sequence[str],
    counts: str,
) -> Map:
    least, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-12)
    drawn = []
    for (x, y), song in zip((points - least) / size, songs.itertuples(), strict=True):
        name = f"{names.get(song.track_id, song.track_id)} ({classes[song.label]}, {song.part})"
        drawn.append(Point(float(x), float(1 - y), *_style(song.label), song.part == "test", name))
    legend = tuple((classes[index], *_style(index)) for index in sorted(set(songs["label"])))
    alternative = f"{heading} of the bottleneck vectors of {len(songs)} songs ({counts}), coloured by label"
    return Map(heading, alternative, tuple(drawn), legend)


def _style(index: int) -> tuple[str, str]:
    """Colour and outline of a class."""
    from crnn_bench.figures import MARKERS, style

    colour, marker = style(index)
    return colour, OUTLINES[MARKERS.index(marker)]
