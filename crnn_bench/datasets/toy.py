"""Music that the package composes itself: the measuring stick for the producer effect."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crnn_bench import composer
from crnn_bench.datasets import Dataset
from crnn_bench.plugins import Choice, digest, refuse_below
from crnn_bench.seeds import generator

VERSION = 1  # raise it whenever the same parameters sound otherwise


class Toy(Dataset):
    """Artists with habits of their own, on albums with a production of their own; no files, nothing to download.

    With `album_effect` 0 every album sounds alike, and song and album splits score alike; the gap between them grows
    with it. Only the production changes with it: the notes stay.

    Args:
        n_artists, n_albums, n_songs: artists, albums of each, songs on each.
        seconds: length of a song.
        album_effect: strength of the albums' productions, 0 or more; 1 is a plain difference, 3 a gross one.
        seed: another one composes other music.
    """

    def __init__(
        self,
        n_artists: int = 4,
        n_albums: int = 4,
        n_songs: int = 3,
        seconds: float = 20.0,
        album_effect: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.n_artists = n_artists
        self.n_albums = n_albums
        self.n_songs = n_songs
        self.seconds = seconds
        self.album_effect = album_effect
        self.seed = seed
        refuse_below(self, n_artists=2, n_albums=1, n_songs=1, seconds=1, album_effect=0)

    def tracks(self) -> pd.DataFrame:
        music = digest([Choice.of(self).describe()["init_args"], VERSION])
        rows = [
            {
                "track_id": f"artist-{artist}/album-{album}/song-{song}",
                "path": "",
                "label": f"artist-{artist}",
                "artist": f"artist-{artist}",
                "album": f"album-{album}",
                "title": f"song-{song}",
                "fingerprint": music,
            }
            for artist in range(1, self.n_artists + 1)
            for album in range(1, self.n_albums + 1)
            for song in range(1, self.n_songs + 1)
        ]
        return pd.DataFrame(rows)

    def read(self, track: pd.Series, sample_rate: float) -> NDArray[np.float32]:
        """Composes a track; the same samples in any order and process."""
        artist, album, song = track["track_id"].split("/")
        style = composer.draw_style(self._rng("style", artist))
        production = composer.draw_production(self._rng("production", artist, album), self.album_effect)
        rng = self._rng("song", artist, album, song)
        dry = composer.compose(style, rng, self.seconds, production.cents, int(sample_rate))
        return composer.produce(dry, production, self._rng("room", artist, album, song), int(sample_rate))

    def _rng(self, *names: str) -> np.random.Generator:
        return generator(self.seed, "/".join(names))
