"""Songs that a model knows, and songs that it does not."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crnn_bench import familiar
from crnn_bench.errors import BenchError
from crnn_bench.familiar import Familiarity
from crnn_bench.songs import Songs

WIDTHS = st.sampled_from([1, 6, 32, 1000])
SEEDS = st.integers(0, 10_000)


def placed(vectors: NDArray[np.floating], n_train: int, n_validation: int) -> Songs:
    """Training songs first, then validation songs, then test songs."""
    n = len(vectors)
    parts = (["train"] * n_train + ["validation"] * n_validation + ["test"] * n)[:n]
    table = pd.DataFrame({"track_id": [f"song {number}" for number in range(n)], "part": parts})
    table.attrs = {"classes": ["a", "b"]}
    return Songs(table, vectors.astype(np.float32), np.full((n, 2), 0.5, np.float32), ("a", "b"))


def known(songs: Songs) -> Familiarity:
    found = familiar.of(songs)
    assert found is not None
    return found


def noise(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, width=WIDTHS, n_train=st.integers(2, 30), n_validation=st.integers(1, 60))
def test_at_least_95_percent_of_validation_songs_are_known(
    seed: int, width: int, n_train: int, n_validation: int
) -> None:
    songs = placed(noise(seed, n_train + n_validation, width), n_train, n_validation)
    found = known(songs)
    answers = [found.known(vector) for vector in songs.vectors[n_train:]]
    assert sum(answers) == min(n_validation, math.ceil(0.95 * (n_validation + 1)))
    assert found.distance(songs.vectors[:n_train]) == pytest.approx(np.zeros(n_train), abs=1e-9)


def test_of_new_songs_of_the_same_kind_as_few_are_unknown_as_is_promised() -> None:
    """Mean over experiments: at most 5%, and 1 in n + 1 where validation songs are fewer than 19."""
    shares = {n: np.mean([share_unknown(seed, n) for seed in range(200)]) for n in (10, 39, 59)}
    assert shares[39] == pytest.approx(2 / 40, abs=0.012)
    assert shares[59] == pytest.approx(3 / 60, abs=0.012)
    assert shares[10] == pytest.approx(1 / 11, abs=0.02)


def share_unknown(seed: int, n_validation: int) -> float:
    songs = placed(noise(seed, 40 + n_validation + 100, 8), 40, n_validation)
    found = known(songs)
    return float(np.mean(found.distance(songs.vectors[40 + n_validation :]) > found.threshold))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, width=WIDTHS, scale=st.floats(-12, 12), shift=st.floats(-100, 100))
def test_scale_place_and_order_of_columns_and_songs_change_nothing(
    seed: int, width: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = noise(seed, 25, width).astype(np.float64), noise(seed + 1, 5, width).astype(np.float64)
    usual = familiar._of(vectors, np.array(["train"] * 15 + ["validation"] * 10, object))
    songs, columns = rng.permutation(25), rng.permutation(width)
    moved = (vectors * 2.0**scale + shift * 2.0**scale)[songs][:, columns]
    parts = np.array(["train"] * 15 + ["validation"] * 10, object)[songs]
    other = familiar._of(moved, parts)
    assert usual is not None
    assert other is not None
    asked = (queries * 2.0**scale + shift * 2.0**scale)[:, columns]
    np.testing.assert_allclose(other.distance(asked), usual.distance(queries), rtol=1e-6)
    assert other.threshold == pytest.approx(usual.threshold, rel=1e-6)
    place, similarity = usual.nearest(queries[0], 3)
    its_place, its_similarity = other.nearest(asked[0], 3)
    np.testing.assert_allclose(its_similarity, similarity, rtol=0, atol=1e-6)
    if similarity[0] - similarity[1] > 1e-6 and width > 1:  # in one column all that lie on one side are even
        assert songs[its_place[0]] == place[0]


def test_a_song_far_from_all_others_is_unknown_and_a_copy_is_known() -> None:
    songs = placed(noise(0, 60, 16), 40, 20)
    found = known(songs)
    assert not found.known(np.full(16, 30.0))
    assert found.known(songs.vectors[3])
    assert found.distance(np.full((2, 16), 30.0)).shape == (2,)


def test_the_distance_is_that_to_the_nearest_training_song() -> None:
    train = np.array([[0.0, 0.0], [2.0, 20.0], [4.0, 40.0]])  # deviations 1.633 and 16.33
    found = known(placed(np.concatenate([train, [[3.0, 20.0]], [[9.0, 90.0]]]), 3, 1))
    deviation = np.sqrt(8 / 3)
    assert found.threshold == pytest.approx(1 / deviation, rel=1e-6)
    far = np.sqrt(2) * 5 / deviation
    assert found.distance(np.array([[9.0, 90.0]])) == pytest.approx([far], rel=1e-6), "test songs are no reference"


@pytest.mark.parametrize("constant", [0.0, 1.0, -4e5, 1e-20])
def test_a_constant_column_tells_nothing(constant: float) -> None:
    vectors = noise(1, 30, 4)
    wider = np.concatenate([vectors, np.full((30, 1), constant, np.float32)], axis=1)
    usual, found = known(placed(vectors, 20, 10)), known(placed(wider, 20, 10))
    assert found.threshold == usual.threshold
    assert found.distance(np.array([[0.5, 0.5, 0.5, 0.5, 99.0]])) == usual.distance(np.full((1, 4), 0.5))


@pytest.mark.parametrize(("n_train", "n_validation"), [(0, 5), (1, 5), (5, 0), (0, 0)])
def test_without_training_or_validation_songs_nothing_is_known(n_train: int, n_validation: int) -> None:
    assert familiar.of(placed(noise(0, n_train + n_validation, 4), n_train, n_validation)) is None


def test_training_songs_that_are_all_alike_leave_no_nan() -> None:
    found = known(placed(np.concatenate([np.ones((3, 6)), noise(2, 2, 6)]), 3, 2))
    assert found.threshold == 0
    assert found.known(np.full(6, 7.0))
    order, similarities = found.nearest(np.full(6, 7.0), 9)
    assert len(order) == 5
    assert np.isfinite(similarities).all()


def test_similar_songs_are_those_of_all_parts_in_the_same_direction() -> None:
    songs = placed(noise(3, 40, 12), 20, 10)
    found = known(songs)
    for number in (4, 25, 39):
        order, similarities = found.nearest(songs.vectors[number], 10)
        assert order[0] == number
        assert similarities[0] == pytest.approx(1)
        assert (np.diff(similarities) <= 0).all()
        assert similarities.min() >= -1
    assert len(found.nearest(songs.vectors[0], 1000)[0]) == 40


def test_what_is_read_from_a_file_is_the_same(tmp_path: Path) -> None:
    songs = placed(noise(4, 30, 7), 15, 10)
    songs.save(tmp_path / "songs.parquet")
    read, found = familiar.read(tmp_path / "songs.parquet"), known(songs)
    assert read is not None
    assert read.threshold == found.threshold
    assert np.array_equal(read.distance(songs.vectors), found.distance(songs.vectors))


def test_a_file_that_holds_no_songs_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no songs")
    pd.DataFrame({"part": ["train"]}).to_parquet(tmp_path / "other.parquet")
    for name in ("text", "other", "none"):
        with pytest.raises(BenchError, match=rf"{name}\.parquet holds no songs of a model") as caught:
            familiar.read(tmp_path / f"{name}.parquet")
        assert "\n" not in str(caught.value)
