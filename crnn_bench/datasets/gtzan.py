"""GTZAN: 10 genres × 100 clips of 30 s (Tzanetakis & Cook 2002), with the artists that Sturm (2012) identified."""

from pathlib import Path

import pandas as pd

from crnn_bench.audio import EXTENSIONS
from crnn_bench.datasets import Dataset, fingerprint
from crnn_bench.errors import BenchError

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
N_CLIPS = 100
PLACES = ("genres", "genres_original", "*/genres", "*/genres_original")
INDEX = Path(__file__).with_name("gtzan_index.csv")


class Gtzan(Dataset):
    """The original layout, `genres/blues/blues.00000.au`, or that of its mirrors, `genres_original/…/blues.00000.wav`.

    The label is the genre; the artist of 81 clips is unknown, and artists who play together (`Lauryn Hill and Bob
    Marley`) are an artist of their own. A copy with other than 100 clips a genre goes on with a
    remark. `jazz.00054.wav` of a common mirror cannot be decoded, and extraction leaves it out by name.

    Args:
        root: the folder that holds the genres' folders, or one above it.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def tracks(self) -> pd.DataFrame:
        folder = self._folder()
        clips = {genre: _clips(folder / genre) for genre in GENRES}
        counts = {genre: len(files) for genre, files in clips.items()}
        if not all(counts.values()):
            raise BenchError(f"{folder}: no clips of {', '.join(genre for genre in GENRES if not counts[genre])}")
        files = [file for genre in GENRES for file in clips[genre]]
        genres = [file.parent.name for file in files]
        known = index().reindex([file.stem for file in files], fill_value="").reset_index(drop=True)
        table = pd.DataFrame(
            {
                "track_id": [f"{genre}/{file.name}" for genre, file in zip(genres, files, strict=True)],
                "path": [str(file.absolute()) for file in files],
                "label": genres,
                "artist": known["artist"],
                "album": "",
                "title": known["title"],
                "fingerprint": [fingerprint(file) for file in files],
            }
        )
        odd = [f"{genre} has {count}" for genre, count in counts.items() if count != N_CLIPS]
        table.attrs["remark"] = f"not {N_CLIPS} clips a genre: {', '.join(odd)}" if odd else ""
        return table

    def _folder(self) -> Path:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise BenchError(f"no folder {root}; dataset.root must hold GTZAN's genres/ or genres_original/")
        for place in [root, *(place for pattern in PLACES for place in sorted(root.glob(pattern)))]:
            there = {path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")}
            if there & set(GENRES):
                faults = [f"{genre} is missing" for genre in GENRES if genre not in there]
                faults += [f"{name} is none of it" for name in sorted(there - set(GENRES))]
                if faults:
                    raise BenchError(f"{place} does not hold GTZAN's ten genres: {'; '.join(faults)}")
                return place
        raise BenchError(f"no GTZAN in {root}: expected genres/ or genres_original/ with {', '.join(GENRES)}")


def index() -> pd.DataFrame:
    """The artist and title of each of the 1,000 clips, by its name such as `blues.00000`; empty where unknown."""
    return pd.read_csv(INDEX, comment="#", dtype=str, keep_default_na=False, index_col="track")


def _clips(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob(f"{folder.name}.*")) if file.name.lower().endswith(EXTENSIONS)]
