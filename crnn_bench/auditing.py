"""An experiment's audit: its songs and splits looked at, told in the terminal and written down.

Comparing songs depends on their sound alone, so what it finds is kept beside the feature store, and only the splits'
part is done again.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from crnn_bench import audit, fingerprints
from crnn_bench.audit import Finding, Songs
from crnn_bench.cells import Cell, Experiment
from crnn_bench.engines.processes import Processes
from crnn_bench.feature_store import SOUND, FeatureStore
from crnn_bench.features.log_mel import LogMel
from crnn_bench.fingerprints import Comparison, Match
from crnn_bench.planning import Plan
from crnn_bench.plans import of_cells
from crnn_bench.plugins import Choice, digest
from crnn_bench.preparing import Prepared, listings, prepare
from crnn_bench.records import Split
from crnn_bench.terminal import say, show, table_of
from crnn_bench.whole import replacing

TOLD = 10  # findings of one kind in the terminal, and songs of one finding
WARNED = 3  # leaks that a run names
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        songs: what was looked at, by dataset.
        findings: by dataset, the worst first.
        remarks: by dataset, why songs were not compared; empty where they were.
    """

    songs: Mapping[str, Songs]
    findings: Mapping[str, Sequence[Finding]]
    remarks: Mapping[str, str]

    @property
    def leaks(self) -> list[Finding]:
        """Those that make an experiment's numbers too good."""
        return [finding for found in self.findings.values() for finding in found if finding.severity == "leak"]

    @property
    def tags(self) -> dict[str, str]:
        """The verdict, for the tracked run."""
        clean = "clean, but near-duplicates were not looked for" if any(self.remarks.values()) else "clean"
        return {"audit": f"leaks: {len(self.leaks)}" if self.leaks else clean}

    def write(self, out: Path) -> list[Path]:
        """Writes `audit.csv`, one row a finding, and `audit.json`, which holds the tables and rates, too."""
        rows = [{"dataset": name, **asdict(one)} for name, found in self.findings.items() for one in found]
        columns = ["kind", "severity", "dataset", "tracks", "parts", "labels", "detail"]
        joined = [{k: "; ".join(v) if isinstance(v, tuple) else v for k, v in row.items()} for row in rows]
        content = {
            "verdict": self.tags["audit"],
            "findings": rows,
            "labels": {name: audit.labels(songs).to_dict("records") for name, songs in self.songs.items()},
            "near_duplicates": {name: self._sureness(name) for name in self.songs},
        }
        texts = {
            "audit.csv": pd.DataFrame(joined, columns=columns).to_csv(index=False, lineterminator="\n"),
            "audit.json": json.dumps(content, indent=1, ensure_ascii=False),
        }
        for name, text in texts.items():
            with replacing(out / name) as part:
                part.write_text(text, encoding="utf-8")
        return [out / name for name in texts]

    def _sureness(self, name: str) -> dict[str, Any]:
        songs = self.songs[name]
        comparison = songs.comparison
        return {
            "songs": len(songs.compared),
            "threshold": comparison.threshold,
            "distinct_pairs": comparison.distinct_pairs,
            "false_alarms": comparison.false_alarms,
            "false_alarm_rate_at_most": _at_most(comparison),
            "in_words": self.remarks[name] or _in_words(songs),
        }


def of(plans: Sequence[Plan], prepared: Prepared) -> Audit:
    """Audits planned cells, whose features are stored; looks for near-duplicates where log-mel frames are stored, too.

    Args:
        plans: of some cells, or all.
        prepared: what they were planned from.
    """
    songs: dict[str, Songs] = {}
    remarks: dict[str, str] = {}
    for chosen, tracks in prepared.listings.items():
        mine = [planned for planned in plans if planned.cell.dataset == chosen]
        name = mine[0].dataset.name if mine[0].dataset.name not in songs else f"{mine[0].dataset.name} {len(songs) + 1}"
        listed = tracks.drop_duplicates("track_id", ignore_index=True)
        one = Songs(_table(mine[0].store, listed), _splits(mine))
        remarks[name] = "" if mine[0].dataset.features is None else "not looked for: no audio, its features are ready"
        songs[name] = one
        if not remarks[name]:
            songs[name], remarks[name] = _compared(one, listed, FeatureStore(prepared.root, LogMel()))
    return Audit(songs, {name: audit.findings(one) for name, one in songs.items()}, remarks)


def _table(store: FeatureStore, listed: pd.DataFrame) -> pd.DataFrame:
    """The listing with what is stored of each track's sound."""
    measured = ["track_id", "seconds", "content", "reason", *SOUND]
    table = listed.merge(store.lookup(listed)[measured], on="track_id", how="left")
    return table.fillna({"reason": "cannot be opened", "seconds": 0.0, "content": ""})


def _splits(plans: Sequence[Plan]) -> dict[str, Split]:
    """The different splits of some cells, by their names."""
    different = {digest(planned.split.table.to_numpy().tolist()): planned for planned in reversed(plans)}
    return {_name(planned.cell): planned.split for planned in reversed(different.values())}


def _name(cell: Cell) -> str:
    fold = cell.split.arguments.get("fold")
    return cell.split.label + ("" if fold is None else f" fold {fold}") + f", seed {cell.split_seed}"


def _compared(songs: Songs, listed: pd.DataFrame, store: FeatureStore) -> tuple[Songs, str]:
    """The songs with what comparing their fingerprints found, or why that was not done."""
    usable = songs.usable
    heard = usable[(usable["content"] == "") | ~usable.duplicated("content")]  # of exact copies one
    stored = store.lookup(heard)
    if len(stored) < len(heard):
        return songs, "not looked for, since log-mel frames are not stored; `crnn-bench audit` does it"
    names = heard["track_id"].tolist()
    comparison = _kept(store, heard)
    return replace(songs, compared=names, comparison=comparison, frames_per_second=store.feature.frames_per_second), ""


def _kept(store: FeatureStore, heard: pd.DataFrame) -> Comparison:
    """The comparison of some songs, from disk where the very same were compared before."""
    sounds = heard["content"].where(heard["content"] != "", heard["fingerprint"]).tolist()
    key = digest([fingerprints.VERSION, store.feature.key, sounds])
    path = store.root.parent / "comparisons" / f"{key}.json"
    try:
        return _read(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError, LookupError):
        comparison = _compare(store, heard)
    with replacing(path) as part:
        part.write_text(json.dumps(asdict(comparison)))
    return comparison


def _read(content: Mapping[str, Any]) -> Comparison:
    matches = {name: tuple(Match(**match) for match in content[name]) for name in ("matches", "backwards")}
    return Comparison(**{**content, **matches, "mute": tuple(content["mute"])})


def _compare(store: FeatureStore, heard: pd.DataFrame) -> Comparison:
    from joblib import Parallel, delayed

    arrays = store.arrays(heard)
    found = Parallel(n_jobs=-1, prefer="threads")(delayed(fingerprints.peaks)(array) for array in arrays)
    return fingerprints.compare(found, [len(array) for array in arrays])


def of_run(plans: Sequence[Plan], prepared: Prepared, out: Path) -> tuple[dict[str, str], list[Path]]:
    """Audits a run's cells, warns of leaks, and writes what is found into the results' folder.

    Returns:
        Tags for the tracked run, and the files written.
    """
    found = of(plans, prepared)
    for name, remark in found.remarks.items():
        if remark:
            say(f"audit: {name}: near-duplicates {remark}")
    for leak in found.leaks[:WARNED]:
        about = f"{' and '.join(_placed(leak))}: " if leak.tracks else ""
        say(f"audit: leak: {leak.kind}: {about}{leak.detail}")
    if len(found.leaks) > WARNED:
        say(f"audit: {len(found.leaks)} leaks in all; {out / 'audit.csv'} lists them")
    return found.tags, found.write(out)


def command(work: Experiment, out: Path) -> int:
    """Audits an experiment before anything is trained; extracts the features that are missing, and log-mel frames.

    Args:
        work: the experiment.
        out: folder of `audit.csv` and `audit.json`.

    Returns:
        The exit code: 1 when parts leak, else 0.
    """
    listed = listings(work)
    out.mkdir(parents=True, exist_ok=True)  # or it is refused before the long work
    cells = list(dict.fromkeys(_bare(cell) for cell in work.cells))
    sounding = [cell for cell in cells if cell.dataset.build().features is None]
    with_log_mel = {cell.dataset for cell in cells if cell.features.build().key == LogMel().key}
    more = [replace(cell, features=Choice(LogMel, {})) for cell in sounding if cell.dataset not in with_log_mel]
    with Processes() as processes:
        prepared = prepare(replace(work, cells=(*cells, *more)), listed, processes)
    found = of(of_cells(cells, prepared), prepared)
    for name in found.songs:
        _tell(found, name)
    paths = found.write(out)
    say(found.tags["audit"])
    for path in paths:
        say(str(path))
    return 1 if found.leaks else 0


def _bare(cell: Cell) -> Cell:
    """A cell with what decides the songs and their parts, and as little else as can be."""
    return replace(cell, augment=(), robustness=(), init_from=None, search=None, model_seed=0)


def _tell(found: Audit, name: str) -> None:
    songs = found.songs[name]
    hours = songs.usable["seconds"].sum() / 3600
    say(f"{name}: {len(songs.usable)} songs, {hours:.1f} hours, {len(songs.splits)} splits")
    table = audit.labels(songs).astype(str)
    show(table_of(table, list(table.columns[1:])))
    say(f"near-duplicates: {found.remarks[name] or _in_words(songs)}")
    if not found.findings[name]:
        return
    counts = Counter[str]()
    rows = []
    for finding in found.findings[name]:
        counts[finding.kind] += 1
        if counts[finding.kind] <= TOLD:
            placed = _placed(finding)
            about = "\n".join(placed[:TOLD]) or ", ".join(finding.labels)
            about += f"\nand {len(placed) - TOLD} more" if len(placed) > TOLD else ""
            rows.append({"": finding.severity, "kind": finding.kind, "of": about, "what": finding.detail})
    show(table_of(pd.DataFrame(rows), []))
    more = ", ".join(f"{number - TOLD} of {kind}" for kind, number in counts.items() if number > TOLD)
    if more:
        say(f"and more, in audit.csv: {more}")


def _placed(finding: Finding) -> list[str]:
    """Its tracks, with their parts."""
    parts = finding.parts or [""] * len(finding.tracks)
    return [f"{track} ({part})" if part else track for track, part in zip(finding.tracks, parts, strict=True)]


def _in_words(songs: Songs) -> str:
    comparison = songs.comparison
    told = f"songs that share at least {comparison.threshold:.0%} of their fingerprint at one offset"
    if not comparison.distinct_pairs:
        return f"{told}; too few songs to count false alarms"
    return (
        f"{told}; false alarms: {comparison.false_alarms} of {comparison.distinct_pairs:,} pairs of distinct songs "
        f"(below {_at_most(comparison):.2%} with {CONFIDENCE:.0%} confidence)"
    )


def _at_most(comparison: Comparison) -> float:
    """The exact upper limit of the rate of false alarms (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    alarms, pairs = comparison.false_alarms, comparison.distinct_pairs
    return float(beta.ppf(CONFIDENCE, alarms + 1, pairs - alarms)) if alarms < pairs else 1.0
