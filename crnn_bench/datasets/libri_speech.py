"""LibriSpeech: speakers who read chapters of audio books (Panayotov et al., ICASSP 2015)."""

from pathlib import Path

import pandas as pd

from crnn_bench.datasets import Dataset, fingerprint
from crnn_bench.errors import BenchError


class LibriSpeech(Dataset):
    """`root/LibriSpeech/subset/speaker/chapter/speaker-chapter-utterance.flac`; the label is the speaker.

    The chapter stands for the album, so an album split keeps recordings of one session apart.

    Args:
        root: the folder that holds `LibriSpeech`, or that folder itself.
        subset: such as `train-clean-100`.
    """

    def __init__(self, root: str, subset: str = "train-clean-100") -> None:
        self.root = root
        self.subset = subset

    @property
    def name(self) -> str:
        return f"LibriSpeech-{self.subset}"

    def tracks(self) -> pd.DataFrame:
        root = Path(self.root).expanduser()
        home = root / "LibriSpeech" if (root / "LibriSpeech").is_dir() else root
        folder = home / self.subset
        if not folder.is_dir():
            there = sorted(path.name for path in home.glob("*") if path.is_dir())
            raise BenchError(f"no folder {folder}; there are {', '.join(there) or 'none'} in {home}")
        rows = [self._row(home, file) for file in folder.glob("*/*/[!.]*.flac")]
        if not rows:
            raise BenchError(f"no audio in {folder}: expected speaker/chapter/speaker-chapter-utterance.flac")
        return pd.DataFrame(rows)

    def _row(self, home: Path, file: Path) -> dict[str, str]:
        _, speaker, chapter, _ = parts = file.relative_to(home).parts[-4:]
        return {
            "track_id": "/".join(parts),
            "path": str(file.absolute()),
            "label": speaker,
            "artist": speaker,
            "album": chapter,
            "title": file.stem,
            "fingerprint": fingerprint(file),
        }
