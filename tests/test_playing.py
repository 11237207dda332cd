"""Songs of an experiment as sound."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from crnn_bench import playing
from crnn_bench.datasets.toy import Toy
from crnn_bench.errors import BenchError

PARAMETERS = {"dataset": "Toy", "dataset.n_artists": 3, "dataset.seconds": 2.0, "model": "CRNN"}


def test_a_dataset_is_built_again_and_makes_the_same_song() -> None:
    toy = Toy(n_artists=3, seconds=2.0)
    song = toy.tracks().iloc[4]
    again = playing.dataset(PARAMETERS)
    assert np.array_equal(again.read(song, 16000), toy.read(song, 16000))


def test_a_song_is_an_mp3_of_its_length() -> None:
    samples = Toy(seconds=2.0).read(Toy(seconds=2.0).tracks().iloc[0], 22050)
    heard, rate = soundfile.read(io.BytesIO(playing.mp3(samples, 22050)))
    assert rate == 22050
    assert len(heard) == pytest.approx(len(samples), abs=0.1 * rate)
    n = min(len(heard), len(samples))
    assert np.corrcoef(heard[:n], samples[:n])[0, 1] > 0.9


def test_what_can_be_played(tmp_path: Path) -> None:
    there = tmp_path / "song.wav"
    there.touch()
    assert playing.has_sound(str(there), {})
    assert not playing.has_sound(str(tmp_path / "gone.wav"), PARAMETERS)
    assert playing.has_sound("", PARAMETERS)
    assert not playing.has_sound("", {"dataset": "FeatureTable", "dataset.path": str(there)})


def test_a_dataset_of_other_arguments_is_refused() -> None:
    with pytest.raises(BenchError, match="Toy of today does not take its arguments"):
        playing.dataset({"dataset": "Toy", "dataset.n_artists": "many"})
