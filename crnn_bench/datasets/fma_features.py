"""The feature table that the authors of the Free Music Archive dataset published (Defferrard et al. 2017)."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import pandas as pd

from crnn_bench.datasets import ReadyMade, Table, fingerprint, fma
from crnn_bench.errors import BenchError


class FmaFeatures(ReadyMade):
    """`fma_metadata/features.csv`, 518 numbers a track, joined to genres, artists and the official split; no audio.

    Args:
        root: the folder that holds `fma_metadata`.
        subset: `small` (8,000 tracks, 8 genres), `medium` or `large`; tracks without a top genre are left out.
    """

    def __init__(self, root: str, subset: Literal["small", "medium", "large"] = "small") -> None:
        self.root = root
        self.subset = subset

    @property
    def name(self) -> str:
        return f"fma_{self.subset}"

    def table(self) -> Table:
        folder = Path(self.root).expanduser() / "fma_metadata"
        return _read(folder, fingerprint(folder / "features.csv"), fingerprint(folder / "tracks.csv"), self.subset)

    def tracks(self) -> pd.DataFrame:
        print_ = fingerprint(Path(self.root).expanduser() / "fma_metadata" / "features.csv")
        return self.table().about.assign(path="", fingerprint=print_)


@lru_cache(maxsize=2)
def _read(folder: Path, _: str, __: str, subset: str) -> Table:
    """Reads both files once for as long as their fingerprints stay."""
    path = folder / "features.csv"
    about = fma.read_metadata(folder / "tracks.csv", subset)
    if not path.is_file():
        raise BenchError(f"no {path}; it is in the FMA's fma_metadata.zip")
    try:
        values = pd.read_csv(path, index_col=0, header=[0, 1, 2])
    except ValueError as error:  # pandas' own faults are ValueErrors
        raise BenchError(f"{path}: not the FMA's feature table ({str(error).splitlines()[0]})") from None
    values.columns = [" ".join(map(str, names)) for names in values.columns]
    known = about[about.index.isin(values.index)]
    if known.empty:
        raise BenchError(f"{path} has none of the {len(about)} tracks of fma_{subset}")
    tracks = [f"{number:06}" for number in known.index]
    return Table(known.assign(track_id=tracks).reset_index(drop=True), values.loc[known.index].reset_index(drop=True))
