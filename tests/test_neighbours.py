"""Exact and approximate search."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crnn_bench.app import neighbours
from crnn_bench.app.neighbours import Cells, Exact


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 50), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_exact_search_ranks_all_cosines(n: int, width: int, wanted: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = rng.normal(size=(n, width)), rng.normal(size=(3, width))
    vectors[rng.random(n) < 0.1] = 0
    found, cosines = Exact(vectors).search(queries, wanted)
    assert found.shape == cosines.shape == (3, min(n, wanted))
    lengths = np.linalg.norm(vectors, axis=1)
    for query, places, told in zip(queries, found, cosines, strict=True):
        expected = vectors @ query / np.where(lengths > 0, lengths, 1) / np.linalg.norm(query)
        np.testing.assert_allclose(told, np.sort(expected)[::-1][:wanted], atol=1e-5)
        np.testing.assert_allclose(expected[places], told, atol=1e-5)
        assert len(set(places.tolist())) == len(places)


def test_of_equal_songs_the_first_comes_first() -> None:
    found, _ = Exact(np.ones((50, 4))).search(np.ones((1, 4)), 10)
    assert found.tolist() == [list(range(10))]


def test_many_vectors_are_searched_in_cells_and_nearly_all_neighbours_found() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(600, 24))[rng.integers(600, size=60_000)] + rng.normal(size=(60_000, 24))
    vectors = vectors.astype(np.float32)
    index, exact = neighbours.build(vectors), Exact(vectors)
    assert isinstance(index, Cells)
    assert isinstance(neighbours.build(vectors[: neighbours.MOST_EXACT - 1]), Exact)
    queries = vectors[:100]
    found, cosines = index.search(queries, 10)
    right, all_cosines = exact.search(queries, 10)
    assert np.array_equal(found[:, 0], np.arange(100)), "a song is the nearest to itself"
    recall = np.mean([len(np.intersect1d(*pair)) / 10 for pair in zip(found, right, strict=True)])
    assert recall > 0.9
    same = found == right
    np.testing.assert_allclose(cosines[same], all_cosines[same], atol=1e-5)
    assert np.array_equal(neighbours.build(vectors).search(queries, 10)[0], found), "built again, it finds the same"
