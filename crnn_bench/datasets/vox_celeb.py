"""VoxCeleb: celebrities in videos (Nagrani et al., Interspeech 2017; Chung et al., Interspeech 2018)."""

import re
from pathlib import Path

import pandas as pd

from crnn_bench.datasets import Dataset, fingerprint
from crnn_bench.datasets.folder import audio_files
from crnn_bench.errors import BenchError

SPEAKER = re.compile(r"id\d{5}")


class VoxCeleb(Dataset):
    """`id10001/video/00001.wav` anywhere below `root` (in `wav/`, `dev/wav/`, …); the label is the speaker.

    The video stands for the album, so an album split keeps recordings of one room apart.

    Args:
        root: a folder above the speakers'.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def tracks(self) -> pd.DataFrame:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise BenchError(f"no folder {root}; dataset.root must hold VoxCeleb's idNNNNN/video/00001.wav files")
        rows = [row for file in audio_files(root) if (row := self._row(root, file))]
        if not rows and any(root.rglob("id*/*/*.m4a")):
            raise BenchError(f"{root} holds .m4a files alone, which cannot be read; convert them to .wav with ffmpeg")
        if not rows:
            raise BenchError(f"no VoxCeleb in {root}: expected idNNNNN/video/00001.wav somewhere below")
        return pd.DataFrame(rows)

    def _row(self, root: Path, file: Path) -> dict[str, str] | None:
        parts = file.relative_to(root).parts[-3:]
        if len(parts) < 3 or not SPEAKER.fullmatch(parts[0]) or file.name.startswith("."):
            return None
        return {
            "track_id": "/".join(parts),
            "path": str(file.absolute()),
            "label": parts[0],
            "artist": parts[0],
            "album": parts[1],
            "title": file.stem,
            "fingerprint": fingerprint(file),
        }
