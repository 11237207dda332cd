"""The Million Song Dataset's metadata (Bertin-Mahieux et al., ISMIR 2011), joined with audio of one's own."""

from pathlib import Path

import pandas as pd

from crnn_bench.datasets import Dataset, fingerprint
from crnn_bench.datasets.manifest import read_rows
from crnn_bench.errors import BenchError

FIELDS = {"artist": "artist_name", "album": "release", "title": "title"}


class MillionSong(Dataset):
    """Songs of the summary file for which a CSV names an audio file; the label is the artist.

    The dataset itself holds no audio. Needs h5py: `pip install crnn-bench[millionsong]`.

    Args:
        summary: the summary HDF5 of the whole set or of its subset, e.g. `subset_msd_summary_file.h5`.
        manifest: a CSV with the columns `track_id,path`; its track ids are the dataset's, `TR…`.
        root: what the paths are relative to; the CSV's folder without it.
    """

    def __init__(self, summary: str, manifest: str, root: str | None = None) -> None:
        self.summary = summary
        self.manifest = manifest
        self.root = root

    def tracks(self) -> pd.DataFrame:
        csv = Path(self.manifest).expanduser()
        listed = read_rows(csv, ("track_id", "path"))
        songs = _read_summary(Path(self.summary).expanduser())
        lost = listed.loc[~listed["track_id"].isin(songs.index), "track_id"].tolist()
        if lost:
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            raise BenchError(f"{csv}: {', '.join(lost[:5])}{more}: not in {self.summary}; leave these rows out")
        root = Path(self.root).expanduser() if self.root else csv.parent
        paths = [root / name for name in listed["path"]]
        if not any(path.is_file() for path in paths):
            raise BenchError(f"{csv}: none of its {len(listed)} files is in {root}, e.g. {paths[0]}")
        found = songs.loc[listed["track_id"]].rename_axis("track_id").reset_index()
        return found.assign(
            label=found["artist"],
            path=[str(path.absolute()) for path in paths],
            fingerprint=[fingerprint(path) for path in paths],
        )


def _read_summary(path: Path) -> pd.DataFrame:
    """Artist, album and title of every song, by its track id."""
    try:
        import h5py
    except ImportError:
        raise BenchError(f"{path} needs h5py to be read: pip install crnn-bench[millionsong]") from None
    if not path.is_file():
        raise BenchError(f"no summary file {path}")
    try:
        with h5py.File(path) as file:
            raw = {name: file["metadata/songs"][field] for name, field in FIELDS.items()}
            track_ids = file["analysis/songs"]["track_id"]
    except (OSError, KeyError, ValueError) as error:
        raise BenchError(f"{path}: no summary file of the Million Song Dataset ({error})") from None
    texts = {name: [value.decode(errors="replace") for value in values] for name, values in raw.items()}
    return pd.DataFrame(texts, index=[value.decode() for value in track_ids])
