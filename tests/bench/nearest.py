"""The songs that sound most alike, among a million."""

import time
from collections.abc import Iterator

import numpy as np
from rich.console import Console

from crnn_bench.app import neighbours
from tests.bench.measuring import Machine, Row

N_SONGS = 1_000_000  # synthetic
N_CENTRES = 2000
N_QUERIES = 200


def rows(console: Console, machine: Machine) -> Iterator[Row]:
    """At two widths."""
    console.print(f"neighbours: {N_SONGS:,} vectors about {N_CENTRES:,} centres; plain way: NumPy looks at all of them")
    for width in (32, 128):
        (plain, ours), told = neighbours_of(width)
        console.print(f"  {width} wide: {told}")
        yield Row(f"neighbours, {width} wide", "queries/s", plain, ours, 5)


def neighbours_of(width: int) -> tuple[list[float], str]:
    """Ten of a million synthetic songs: queries a second by looking at all and by our index, what that costs and finds.

    The songs lie about random centres, as far apart as wide.
    """
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_CENTRES, width), np.float32)
    vectors = centres[rng.integers(N_CENTRES, size=N_SONGS)]
    vectors += rng.standard_normal((N_SONGS, width), np.float32)
    queries = vectors[rng.integers(N_SONGS, size=N_QUERIES)]
    queries += 0.3 * rng.standard_normal((N_QUERIES, width), np.float32)
    started = time.perf_counter()
    index = neighbours.build(vectors)
    built = time.perf_counter() - started
    exact, seconds, found = neighbours.Exact(vectors).units, np.zeros((2, N_QUERIES)), 0
    for number, query in enumerate(queries):
        started = time.perf_counter()
        nearest = np.argpartition(-(exact @ query), 10)[:10]
        seconds[0, number] = time.perf_counter() - started
        started = time.perf_counter()
        near, _ = index.search(query[None], 10)
        seconds[1, number] = time.perf_counter() - started
        found += len(np.intersect1d(near, nearest))
    middle, late = 1000 * np.median(seconds[1]), 1000 * np.quantile(seconds[1], 0.95)
    told = f"built in {built:.1f} s, a query takes {middle:.1f} ms (95%: {late:.1f} ms), recall@10 "
    return (1 / np.median(seconds, axis=1)).tolist(), told + f"{found / (10 * N_QUERIES):.3f}"
