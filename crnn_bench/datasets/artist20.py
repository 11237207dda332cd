"""artist20: 1,413 tracks, 20 artists with 6 albums each (LabROSA; Ellis, ISMIR 2007). Given out on request only."""

import pandas as pd

from crnn_bench.datasets.folder import Folder
from crnn_bench.errors import BenchError

ARTISTS = (
    "aerosmith", "beatles", "creedence_clearwater_revival", "cure", "dave_matthews_band", "depeche_mode",
    "fleetwood_mac", "garth_brooks", "green_day", "led_zeppelin", "madonna", "metallica", "prince", "queen",
    "radiohead", "roxette", "steely_dan", "suzanne_vega", "tori_amos", "u2",
)  # fmt: skip
N_ALBUMS = 6
N_TRACKS = 1413


class Artist20(Folder):
    """The original layout, `artist/album/song.mp3`; refuses a copy that is not whole and says what is missing.

    Args:
        root: the folder that holds the 20 artists' folders.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)

    @property
    def name(self) -> str:
        return "artist20"

    def tracks(self) -> pd.DataFrame:
        table = super().tracks()
        albums = table.groupby("artist")["album"].nunique()
        faults = [
            f"{artist} has {number} of {N_ALBUMS} albums" for artist, number in albums.items() if number != N_ALBUMS
        ]
        faults[:0] = [f"{artist} is none of it" for artist in albums.index if artist not in ARTISTS]
        faults[:0] = [f"{artist} is missing" for artist in ARTISTS if artist not in albums.index]
        if not faults and len(table) != N_TRACKS:
            faults.append(f"{len(table)} of {N_TRACKS} tracks")
        if faults:
            raise BenchError(f"{self.root} is not the whole artist20: {'; '.join(faults)}; use Folder for a part of it")
        return table
