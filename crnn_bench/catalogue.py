"""A dataset's listing and what extraction learnt of each file → the checked, sorted catalogue."""

import pandas as pd

from crnn_bench.datasets import Dataset
from crnn_bench.errors import BenchError
from crnn_bench.records import PARTS, TRACK_COLUMNS, Catalogue

FINDINGS = ["track_id", "seconds", "content", "reason", "n_frames"]


def listing(dataset: Dataset) -> pd.DataFrame:
    """Lists a dataset's tracks, sorted by id, each once.

    Raises:
        BenchError: a column is missing, a label is empty, an official part is none, or one track has two labels.
    """
    tracks = dataset.tracks()
    name = type(dataset).__name__
    missing = [column for column in TRACK_COLUMNS if column not in tracks]
    if missing:
        raise BenchError(f"{name}.tracks() gives no column {missing[0]!r}; expected {', '.join(TRACK_COLUMNS)}")
    tracks = tracks if "official" in tracks else tracks.assign(official="")
    tracks = tracks[[*TRACK_COLUMNS, "official"]].sort_values(["track_id", "label"], ignore_index=True)
    empty = tracks[tracks["label"].str.strip() == ""]
    if len(empty):
        raise BenchError(f"{name}: {empty['track_id'].iloc[0]} has an empty label")
    odd = tracks[~tracks["official"].isin(["", *PARTS])]
    if len(odd):
        raise BenchError(
            f"{name}: {odd['track_id'].iloc[0]} has the official part {odd['official'].iloc[0]!r}; "
            f"expected {', '.join(PARTS)} or nothing"
        )
    labels = tracks.groupby("track_id")["label"].unique()
    torn = labels[labels.map(len) > 1]
    if len(torn):
        raise BenchError(f"{name}: {torn.index[0]} is listed with the labels {' and '.join(torn.iloc[0])}; keep one")
    return tracks


def build(tracks: pd.DataFrame, findings: pd.DataFrame, min_seconds: float, min_frames: int = 1) -> Catalogue:
    """Joins the listing with what extraction found, and leaves out, by name, what cannot be used.

    Args:
        tracks: of `listing`.
        findings: `track_id, seconds, content, reason, n_frames` (reason empty where the audio is fine).
        min_seconds: songs shorter than a slice of this length are left out.
        min_frames: songs with fewer frames give no slice, and are left out, too.

    Raises:
        BenchError: fewer than two labels are left; says so where it is the slices' length that leaves no more.
    """
    repeated = tracks.duplicated("track_id")
    duplicates = tracks.loc[repeated, ["track_id"]].assign(reason="listed more than once; kept once", seconds=1.0)
    table = tracks[~repeated].merge(findings[FINDINGS], on="track_id", how="left", validate="one_to_one")
    table = table.fillna({"reason": "cannot be opened", "seconds": 0.0, "content": "", "n_frames": 0})
    short = _too_short(table[table["reason"] == ""], min_seconds, min_frames)
    table.loc[short.index, "reason"] = short
    copies = _copies(table[table["reason"] == ""])
    table.loc[copies.index, "reason"] = copies
    bad = table["reason"] != ""
    left = table.loc[~bad, "label"].nunique()
    if left < 2 <= table.loc[~bad | bad.index.isin(short.index), "label"].nunique():
        raise BenchError(
            f"{len(short)} of {len(table)} songs are shorter than the longest slice, {min_seconds:g} s, which leaves "
            f"{left} of the labels; give a shorter clip_seconds"
        )
    rejected = pd.concat([table.loc[bad, ["track_id", "reason", "seconds"]], duplicates], ignore_index=True)
    usable = table[~bad].drop(columns=["reason", "n_frames"]).reset_index(drop=True)
    return Catalogue(usable, rejected.sort_values("track_id", ignore_index=True))


def _too_short(table: pd.DataFrame, min_seconds: float, min_frames: int) -> pd.Series:
    """Why tracks that give no slice are left out."""
    short = table[(table["seconds"] < min_seconds) | (table["n_frames"] < min_frames)]
    slice_ = f"is shorter than a slice of {min_seconds:g} s"
    reasons = [f"{s:.2f} s {slice_ if s < min_seconds else 'gives no slice'}" for s in short["seconds"]]
    return pd.Series(reasons, index=short.index, dtype=object)


def _copies(usable: pd.DataFrame) -> pd.Series:
    """Why tracks whose samples are another track's are left out: on both sides of a split they would leak."""
    reasons: dict[int, str] = {}
    known = usable[usable["content"] != ""]
    for _, same in known[known.duplicated("content", keep=False)].groupby("content"):
        labels = sorted(set(same["label"]))
        if len(labels) > 1:
            reasons |= dict.fromkeys(same.index, f"same audio under the labels {' and '.join(labels)}")
        else:
            reasons |= dict.fromkeys(same.index[1:], f"same audio as {same['track_id'].iloc[0]}; kept once")
    return pd.Series(reasons, dtype=object)
