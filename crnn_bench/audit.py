"""Songs, their splits and their fingerprints → what is wrong with them: leaks first, then what to know of the data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from crnn_bench.fingerprints import Comparison, Match
from crnn_bench.records import PARTS, Split
from crnn_bench.splits import groups

Severity = Literal["leak", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")
SURELY_SAME = 0.15  # share of the fingerprint; variants of a piece have less, copies more but at 16 kbit/s
WORST_CLIPPED = 1e-3  # share of samples: 44 a second of a CD
MOST_SILENT = 0.3  # share of the song
USUAL = 0.8  # share of songs within `USUAL_WITHIN` of the median that makes it the usual length
USUAL_WITHIN = 0.02
TOO_SHORT = 0.9  # of the usual length
ODDLY_SHORT = 0.1  # of the median, where songs last as they like
MOST_UNEQUAL = 5.0  # largest label against the smallest, in songs
FEW_TESTED = 3  # songs of a label: one is a third of its score


@dataclass(frozen=True)
class Finding:
    """Something that the audit has to tell.

    Attributes:
        kind: what it is.
        severity: `leak` where parts share what should lie in one of them; `warning` or `note`.
        tracks: which songs, if some.
        parts: theirs, in the first split concerned; empty for a song that the split does not use.
        labels: theirs, or the labels concerned.
        detail: the rest, in words.
    """

    kind: str
    severity: Severity
    tracks: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Songs:
    """What a dataset's audit looks at.

    Attributes:
        table: one row a track: `track_id, label, artist, album, seconds, content, reason, clipped, silent` (these two
            NaN where nobody measured them).
        splits: by their names.
        compared: the tracks that the comparison's positions stand for.
        comparison: of their fingerprints, if they were compared.
        frames_per_second: of what was compared.
    """

    table: pd.DataFrame
    splits: Mapping[str, Split]
    compared: Sequence[str] = ()
    comparison: Comparison = field(default_factory=Comparison)
    frames_per_second: float = 1.0

    @property
    def usable(self) -> pd.DataFrame:
        """The rows of songs whose audio is fine."""
        return self.table[self.table["reason"] == ""]


def findings(songs: Songs) -> list[Finding]:
    """All that is found, the worst first."""
    found = [
        *_overlaps(songs),
        *_near_duplicates(songs),
        *_exact_copies(songs.usable),
        *_unusable(songs.table),
        *_sound(songs.usable),
        *_lengths(songs.usable),
        *_balance(songs),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def labels(songs: Songs) -> pd.DataFrame:
    """One row a label: songs, minutes, median, shortest and longest seconds, songs in each part over the splits."""
    rows = []
    for label, own in songs.usable.groupby("label"):
        seconds = own["seconds"]
        row = {"label": label, "songs": len(own), "minutes": round(seconds.sum() / 60, 1)}
        row |= {"median s": round(seconds.median(), 1), "shortest s": round(seconds.min(), 1)}
        row |= {"longest s": round(seconds.max(), 1)}
        for part in PARTS:
            counts = [own["track_id"].isin(getattr(split, part)).sum() for split in songs.splits.values()]
            row[part] = _range(counts)
        rows.append(row)
    return pd.DataFrame(rows)


def _range(counts: Sequence[int]) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    return str(least) if least == most else f"{least}–{most}"


def _overlaps(songs: Songs) -> Iterator[Finding]:
    """Albums and artists of test songs that are heard in training, split by split, told once for splits alike."""
    told: dict[tuple[str, Severity], list[tuple[str, int, int, list[str]]]] = {}
    for name, split in songs.splits.items():
        for group in ("album", "artist"):
            named = songs.usable[songs.usable[group] != ""]
            if group == "artist" and (named["artist"] == named["label"]).all():
                continue
            of_track = dict(zip(named["track_id"], groups(named, group), strict=True))
            test = {of_track[track] for track in split.test if track in of_track}
            heard = test & {of_track[track] for track in (*split.train, *split.validation) if track in of_track}
            artists_known = (named["artist"] != "").all()  # a song of none may be parted from its album
            kept = split.group == group or ((split.group, group) == ("artist", "album") and artists_known)
            if heard:
                told.setdefault((group, "leak" if kept else "note"), []).append(
                    (name, len(heard), len(test), sorted(heard))
                )
    for (group, severity), cases in told.items():
        name, heard_first, tested, names = cases[0]
        claim = "though the split keeps them apart" if severity == "leak" else f"the split does not keep {group}s apart"
        yield Finding(
            f"{group} overlap",
            severity,
            labels=tuple(names) if severity == "leak" else (),
            detail=f"{heard_first} of {tested} test {group}s are heard in training or validation ({name}"
            + (f", and likewise in {len(cases) - 1} more" if len(cases) > 1 else "")
            + f"): {claim}",
        )


def _near_duplicates(songs: Songs) -> Iterator[Finding]:
    for match in songs.comparison.matches:
        pair = (songs.compared[match.first], songs.compared[match.second])
        alike = _alike(match, songs.frames_per_second)
        across = [(name, parts) for name, split in songs.splits.items() if (parts := _apart(pair, split))]
        own = _labels(songs.table, pair)
        if across:
            where = f"in {len(across)} of {len(songs.splits)} splits, e.g. {across[0][0]}"
            yield Finding("near-duplicate", "leak", pair, across[0][1], own, f"{alike}; {where}")
        else:
            parts = _parts(pair, next(iter(songs.splits.values()))) if songs.splits else ()
            yield Finding("near-duplicate", "note", pair, parts, own, f"{alike}; never in two parts")
        if len(own) > 1:
            yield Finding("label conflict", "warning", pair, labels=own, detail=alike)
    for match in songs.comparison.backwards:
        pair = (songs.compared[match.first], songs.compared[match.second])
        share = f"{match.share:.0%} of the fingerprint"
        detail = f"one sounds like the other played backwards, or that is a false alarm: {share}"
        yield Finding("backwards", "note", pair, labels=_labels(songs.table, pair), detail=detail)
    if songs.comparison.mute:
        mute = tuple(songs.compared[place] for place in songs.comparison.mute)
        yield Finding("not compared", "note", mute, detail="too little in them tells them from the other songs")


def _alike(match: Match, frames_per_second: float) -> str:
    what = "the same recording" if match.share >= SURELY_SAME else "a variant, or a badly coded copy"
    later = match.offset_frames / frames_per_second
    return f"{what}: {match.share:.0%} of the fingerprint, {later:+.1f} s"


def _parts(tracks: Sequence[str], split: Split) -> tuple[str, ...]:
    return tuple(next((part for part in PARTS if track in getattr(split, part)), "") for track in tracks)


def _apart(pair: tuple[str, str], split: Split) -> tuple[str, ...]:
    """The parts of two songs, where they are two."""
    parts = _parts(pair, split)
    return parts if "" not in parts and len(set(parts)) > 1 else ()


def _labels(table: pd.DataFrame, tracks: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(table.loc[table["track_id"].isin(tracks), "label"])))


def _exact_copies(usable: pd.DataFrame) -> Iterator[Finding]:
    """Songs of the same samples; the catalogue leaves them out of every split."""
    known = usable[usable["content"] != ""]
    for _, same in known[known.duplicated("content", keep=False)].groupby("content", sort=False):
        tracks, own = tuple(same["track_id"]), tuple(sorted(set(same["label"])))
        if len(own) > 1:
            yield Finding("label conflict", "warning", tracks, labels=own, detail="the same samples: all left out")
        else:
            yield Finding("exact copy", "note", tracks, labels=own, detail="the same samples: kept once")


def _unusable(table: pd.DataFrame) -> Iterator[Finding]:
    for row in table[table["reason"] != ""].itertuples():
        yield Finding("unusable", "warning", (row.track_id,), labels=(row.label,), detail=f"left out: {row.reason}")


def _sound(usable: pd.DataFrame) -> Iterator[Finding]:
    for row in usable[usable["clipped"] >= WORST_CLIPPED].itertuples():
        yield _of_song(row, "clipping", f"{row.clipped:.1%} of its samples are cut off at full scale")
    for row in usable[usable["silent"] >= MOST_SILENT].itertuples():
        yield _of_song(row, "silence", f"{row.silent:.0%} of it is silent (below -60 dBFS)")
    unknown = usable[["clipped", "silent"]].isna().any(axis=1).sum()
    if unknown:
        detail = f"clipping and silence of {unknown} songs are not known; a fresh feature cache measures them"
        yield Finding("not measured", "note", detail=detail)


def _of_song(row: Any, kind: str, detail: str) -> Finding:
    return Finding(kind, "warning", (row.track_id,), labels=(row.label,), detail=detail)


def _lengths(usable: pd.DataFrame) -> Iterator[Finding]:
    """Songs that are cut short, by the usual length where there is one."""
    median = usable["seconds"].median()
    usual = ((usable["seconds"] - median).abs() <= USUAL_WITHIN * median).mean() >= USUAL
    for row in usable[usable["seconds"] < (TOO_SHORT if usual else ODDLY_SHORT) * median].itertuples():
        others = f"most last {median:.1f} s" if usual else f"the median is {median:.1f} s"
        yield _of_song(row, "length", f"only {row.seconds:.1f} s; {others}")


def _balance(songs: Songs) -> Iterator[Finding]:
    counts = songs.usable["label"].value_counts()
    if counts.max() > counts.min():
        most, least = counts.idxmax(), counts.idxmin()
        ratio = counts.max() / counts.min()
        detail = f"{most} has {counts.max()} songs, {least} has {counts.min()}: {ratio:.1f} times as many"
        yield Finding(
            "class balance", "warning" if ratio >= MOST_UNEQUAL else "note", labels=(most, least), detail=detail
        )
    label = dict(zip(songs.table["track_id"], songs.table["label"], strict=True))
    for name, split in songs.splits.items():
        tested = pd.Series([label[track] for track in split.test]).value_counts()
        few = sorted(tested.index[tested < FEW_TESTED])
        if few:
            least = f"{tested.min()} to {FEW_TESTED - 1}" if tested.min() < FEW_TESTED - 1 else str(FEW_TESTED - 1)
            detail = f"{len(few)} of {len(counts)} labels have only {least} test songs ({name})"
            yield Finding("few test songs", "note", labels=tuple(few), detail=detail)
            return  # the other splits are much the same
